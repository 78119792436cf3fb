/** How many of the waiting jobs the limits would never hold, in memory and at rest. */
import { describe, expect, it } from "vitest";
import { inspected } from "../../durable-objects/coordinator/too-large.ts";
import type { PoolTuning } from "../../schemas/tuning.ts";
import { BATCH, openDesk } from "./desk.ts";

const SLOW = { rpm: 1, tpm: 120_000, burst_seconds: 60, transit_ms: 0, ramp_tpm: null };
type Desk = ReturnType<typeof openDesk>;
const looked = ({ book, state }: Desk, set: PoolTuning) => inspected(book, { p: set }, state.now).tooLarge!;
const resting = ({ book }: Desk) => [...book.resting.runs].reduce((sum, { size }) => sum + size, 0);
const none = { jobs: 0, tokens: 0 };

/** Most of what is sent rests. */
function crowd(send: (desk: Desk) => void): Desk {
  const desk = openDesk(SLOW);
  desk.state.awakeMost = 40;
  desk.restart();
  desk.send("first", 10);
  send(desk);
  desk.turn(() => {});
  return desk;
}

describe("jobs that limits would never hold", () => {
  it("in memory -> counted one by one, a tenant's batches apart; those that still fit are not counted", () => {
    const desk = openDesk(SLOW);
    desk.send("first", 10);
    desk.send("a", 2_000, 3);
    desk.send("a", 1_000, 2);
    desk.send("a", 3_000, 4, BATCH);
    desk.send("b", 1_000, 5);
    const of = (tenant: string, batch: boolean, jobs: number, tokens: number) => ({
      pool: "p",
      tenant,
      batch,
      asIs: none,
      simulated: { jobs, tokens },
    });
    expect(looked(desk, { tpm: 1_000 })).toEqual([of("a", false, 3, 6_000), of("a", true, 4, 12_000)]);
    expect(looked(desk, { burst_seconds: 1 })).toEqual([of("a", true, 4, 12_000)]);
    expect(looked(desk, { rpm: 0.5, tpm: 3_000 })).toEqual([]);
    expect(looked(desk, {})).toEqual([]);
  });

  it("too large already -> also as it is; a raised limit frees them", () => {
    const desk = openDesk(SLOW);
    desk.send("first", 10);
    desk.send("a", 60_000, 2);
    desk.told(50_000);
    const held = { jobs: 2, tokens: 120_000 };
    expect(looked(desk, {})).toEqual([{ pool: "p", tenant: "a", batch: false, asIs: held, simulated: held }]);
    expect(looked(desk, { tpm: 60_000 })).toEqual([{ pool: "p", tenant: "a", batch: false, asIs: held, simulated: none }]);
  });

  it("at rest, alike -> counted exactly; of two sizes -> nearly so", () => {
    const alike = crowd(({ send }) => send("a", 2_000, 300));
    expect(resting(alike)).toBeGreaterThan(200);
    expect(looked(alike, { tpm: 1_999 })[0]!.simulated).toEqual({ jobs: 300, tokens: 600_000 });
    expect(looked(alike, { tpm: 2_000 })).toEqual([]);
    const two = crowd(({ send }) => {
      for (let n = 0; n < 100; n++) {
        send("a", 100, 2);
        send("a", 5_000);
      }
    });
    expect(resting(two)).toBeGreaterThan(200);
    const [large] = looked(two, { tpm: 1_000 });
    expect(Math.abs(large!.simulated.jobs - 100)).toBeLessThanOrEqual(300 / 16);
    expect(Math.abs(large!.simulated.tokens / 500_000 - 1)).toBeLessThan(1 / 16);
  });

  it("at rest, of all sizes together -> counted to a sixteenth of them", () => {
    const sizes = Array.from({ length: 300 }, (_, n) => 100 + ((n * 37) % 300) * 10);
    const desk = crowd(({ send }) => {
      for (const tokens of sizes) send("a", tokens);
    });
    expect(resting(desk)).toBeGreaterThan(200);
    for (const tpm of [600, 1_600, 2_600]) {
      const [large] = looked(desk, { tpm });
      const exact = sizes.filter((tokens) => tokens > tpm).length;
      expect(Math.abs(large!.simulated.jobs - exact)).toBeLessThanOrEqual(300 / 16);
      const tokens = sizes.filter((each) => each > tpm).reduce((sum, each) => sum + each, 0);
      expect(Math.abs(large!.simulated.tokens / tokens - 1)).toBeLessThan(1 / 8);
    }
  });
});
