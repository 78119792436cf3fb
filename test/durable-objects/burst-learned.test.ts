import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { LimitReading } from "../../schemas/rate.ts";
import type { Outcome } from "../../schemas/rpc.ts";
import { committed, enqueue, playAll, ticket } from "../support/desk.ts";
import { advanceTo, coordinator, pool, until } from "../support/service.ts";
import { cleared, kill } from "../support/stand.ts";
import { EPOCH, resetWorld, world } from "../support/world.ts";

beforeEach(resetWorld);
afterEach(cleared);
afterEach(() => {
  vi.restoreAllMocks();
});

const POOL = "gpt-5-mini";
const configured = (more: object = {}) => {
  world.env.SLUICE_POOLS = JSON.stringify({ [POOL]: { models: ["gpt-5-mini*"], rpm: 600, tpm: 600_000, ...more } });
};
const jobs = (name: string, count: number) => enqueue(Array.from({ length: count }, (_, index) => ticket(`${name}${index}`)));

/** A reading of a continuously refilling bucket: `of` of a minute's limit are spent. */
const spent = (limit: number, of: number): LimitReading => ({ limit, remaining: limit - of, resetMs: Math.round((of / limit) * 60_000) });
const FEW = { requests: spent(600, 5), tokens: spent(600_000, 100) };

/** Gives the coordinator an answer's headers, with the end of `job`'s call if there is one. */
async function read(
  told: { requests: LimitReading | null; tokens: LimitReading | null },
  job?: string,
  outcome: Outcome = committed,
): Promise<void> {
  const at = world.now;
  const held = job ? (await coordinator().locate([job]))[0]!.held! : null;
  const settlements = job ? [{ job, attempt: held!.attempt, outcome, headersMs: null }] : [];
  const readings = [{ pool: POOL, job: job ?? "none", sentAt: at - 50, at, ...told }];
  await coordinator().settle({ dispatcher: held?.dispatcher ?? "disp-wnam-00", boot: "first", settlements, readings });
}

/** The logged `burst_learned` events. */
function told(): { read: () => object[] } {
  const logs = [vi.spyOn(console, "info"), vi.spyOn(console, "warn")];
  const lines = () => logs.flatMap(({ mock }) => mock.calls.map(([line]) => JSON.parse(line as string) as { event: string }));
  return { read: () => lines().filter(({ event }) => event === "burst_learned") };
}

describe("how much may be spent at once, where it is not written", () => {
  it.each([false, true])(
    "is a second; then what headers show, and more, and a restart changes nothing (between answers it sleeps: %s)",
    async (sleeps) => {
      configured({ burst_seconds: null });
      const log = told();
      const played = playAll();
      await jobs("first", 5);
      // Half of a second's ten are held back, because calls may arrive late.
      await until(() => played.starts.length === 5);
      await jobs("next", 1);
      expect(played.starts.length).toBe(5);
      for (const second of [1, 2, 3]) {
        world.now = EPOCH + second * 1_000;
        await read(FEW);
        if (sleeps) await kill(coordinator());
      }
      // Five at once were seen: half a second. A reading of a call that left before the coordinator slept shows only that there is a bucket.
      expect((await pool()).burst_seconds).toEqual({ requests: sleeps ? 1 : (0.5 * 1.25 + 0.25) * 2, tokens: 1 });
      world.now = EPOCH + 10_000;
      await read({ ...FEW, requests: spent(600, 480) });
      expect((await pool()).burst_seconds).toEqual({ requests: 60, tokens: 1 });
      expect(log.read().at(-1)).toMatchObject({ level: "info", pool: POOL, resource: "requests", to: 60 });
      await kill(coordinator());
      expect((await pool()).burst_seconds).toEqual({ requests: 60, tokens: 1 });
      world.now = EPOCH + 120_000;
      await jobs("all", 100);
      await until(() => played.starts.filter(({ at }) => at === world.now).length >= 100);
    },
  );

  it("without headers it stays a second, and all goes at the rate", async () => {
    configured({ burst_seconds: null });
    const played = playAll();
    await jobs("job", 25);
    await until(() => played.starts.length === 5);
    for (let tenth = 1; tenth <= 20; tenth++) await advanceTo(EPOCH + tenth * 100);
    await until(() => played.starts.length === 25);
    expect((await pool()).burst_seconds).toEqual({ requests: 1, tokens: 1 });
  });
});

describe("a refusal although its own headers say that enough is left", () => {
  const refused: Outcome = { kind: "rate_limited", retryAfterMs: 1_000 };

  it("halves what is written, once for all that were under way; after a restart too, until an operator resumes the pool", async () => {
    configured({ burst_seconds: 40 });
    const log = told();
    const played = playAll();
    await jobs("job", 200);
    await until(() => played.starts.length === 200);
    world.now = EPOCH + 500;
    for (const job of ["job0", "job1", "job2"]) await read(FEW, job, refused);
    expect((await pool()).burst_seconds).toEqual({ requests: 20, tokens: 40 });
    await kill(coordinator());
    expect((await pool()).burst_seconds).toEqual({ requests: 20, tokens: 40 });
    expect(log.read()).toMatchObject([{ level: "warn", pool: POOL, resource: "requests", from: 40, to: 20 }]);
    await coordinator().pull("resume", { kind: "pool", id: POOL });
    expect((await pool()).burst_seconds).toEqual({ requests: 40, tokens: 40 });
    await kill(coordinator());
    expect((await pool()).burst_seconds).toEqual({ requests: 40, tokens: 40 });
  });

  it("too little is left -> others may have spent it: nothing is learned", async () => {
    configured({ burst_seconds: 40 });
    const played = playAll();
    await jobs("job", 200);
    await until(() => played.starts.length === 200);
    world.now = EPOCH + 500;
    await read({ ...FEW, requests: spent(600, 599) }, "job0", refused);
    expect((await pool()).burst_seconds).toEqual({ requests: 40, tokens: 40 });
  });
});
