/** Jobs too large for a limit that upstream lowered stand aside, and one of them is called to see if nobody else waits for the pool. */
import { describe, expect, it } from "vitest";
import { cancel } from "../../durable-objects/coordinator/cancel.ts";
import { LEVERS } from "../../durable-objects/coordinator/condition/levers.ts";
import { keyOf, openDesk, START } from "./desk.ts";

const HOUR_MS = 3_600_000;
type Desk = ReturnType<typeof openDesk>;
const pause = ({ turn }: Desk, id: string) => turn((book, now) => LEVERS.pause(book, { kind: "tenant", id }, now));

describe("where a limit is below what a job reserves, and nothing else may be called", () => {
  it("the job of a paused tenant waits as well: the one that stands aside is called all the same", () => {
    const desk = openDesk(undefined, [keyOf("paused")]);
    const { passes, send, started, state, told } = desk;
    pause(desk, "paused");
    send("paused", 1_000);
    send("a", 60_000);
    told(50_000);
    const [second] = send("a", 60_000);
    passes(state.now + HOUR_MS);
    expect(started.map(({ job }) => job)).toContain(second!.job);
  });

  it("a paused tenant's own is not called, and keeps no other from it", () => {
    const desk = openDesk(undefined, [keyOf("paused")]);
    const { passes, send, started, state, told } = desk;
    pause(desk, "paused");
    told(50_000);
    const [first] = send("paused", 60_000);
    const [second] = send("a", 70_000);
    passes(state.now + HOUR_MS);
    const jobs = started.map(({ job }) => job);
    expect(jobs).toContain(second!.job);
    expect(jobs).not.toContain(first!.job);
  });

  it("no other job of the same tenant is called in its stead", () => {
    const desk = openDesk(undefined, [{ key_sha256: "0".repeat(64), tenant: "a", rpm: 1 }]);
    const { passes, send, started, state, told } = desk;
    told(50_000);
    const [large] = send("a", 60_000);
    const [, small] = send("a", 1_000, 2);
    expect(started.map(({ job }) => job)).not.toContain(small!.job);
    passes(state.now + HOUR_MS);
    expect(new Set(started.map(({ job }) => job)).size).toBe(3);
    expect(started.map(({ job }) => job)).toContain(large!.job);
  });
});

describe("many are too large for a limit that was lowered", () => {
  /** One start a second; of 300 jobs the last 200 are large. */
  function crowd() {
    const desk = openDesk({ rpm: 60, tpm: 120_000_000, burst_seconds: 60, transit_ms: 0, ramp_tpm: null });
    desk.state.awakeMost = 40;
    desk.restart();
    desk.send("b", 10, 60);
    const small = desk.send("a", 10, 100);
    const large = desk.send("a", 4_000_000, 200);
    desk.turn(() => {});
    const resting = () => [...desk.book.resting.runs].reduce((sum, { size }) => sum + size, 0);
    let ended = 0;
    /** A call takes a second. */
    const seconds = (count: number) => {
      for (let second = 0; second < count; second++) {
        desk.passes(desk.state.now + 1_000);
        while (ended < desk.started.length && desk.started[ended]!.at < desk.state.now) desk.end(desk.started[ended++]!.job);
      }
    };
    return {
      desk,
      small,
      large,
      resting,
      seconds,
      startsOf: (jobs: { job: string }[]) => jobs.filter(({ job }) => desk.started.some((each) => each.job === job)),
    };
  }

  it("they rest on where they rested, in line and aside, through a restart; when it is raised they start in their order", () => {
    const { desk, large, resting, seconds, small, startsOf } = crowd();
    const before = resting();
    expect(before).toBeGreaterThan(200);
    desk.told(3_000_000);
    expect(resting()).toBe(before);
    expect(desk.place(large[0]!.job)).toEqual({ state: "waiting", position: null, eta: null });
    seconds(105);
    expect(startsOf(small)).toHaveLength(100);
    desk.turn((book) => book.conditions.pausedTenants.set("a", START));
    const asleep = resting();
    expect(asleep).toBeGreaterThan(150);
    expect(desk.book.aside.awake).toBeLessThan(42);
    const { depth } = desk.queue();
    desk.restart();
    desk.turn((book) => book.conditions.pausedTenants.set("a", START));
    expect(desk.queue().depth).toBe(depth);
    expect(resting()).toBeGreaterThanOrEqual(asleep);
    expect(desk.queue().condition).toMatchObject({ reason: "lowered_limit" });
    desk.turn((book) => book.conditions.pausedTenants.clear());
    for (let step = 0; step < 18; step++) {
      seconds(11);
      desk.told(120_000_000);
    }
    seconds(600);
    const jobs = large.map(({ job }) => job);
    expect(startsOf(large)).toHaveLength(200);
    const order = desk.started.map(({ job }) => job).filter((job) => jobs.includes(job));
    expect(new Set(order).size).toBe(order.length);
    expect(desk.queue()).toMatchObject({ depth: 0, condition: { state: "normal" } });
  });

  it("one that rests aside is the probe, if it is the smallest", () => {
    const { desk, large, seconds, startsOf } = crowd();
    desk.told(3_000_000);
    seconds(300);
    expect(startsOf(large).length).toBeGreaterThan(0);
  });

  it("one of them is cancelled: it never starts", () => {
    const { desk, large, seconds, startsOf } = crowd();
    desk.told(3_000_000);
    seconds(105);
    const [depth, one] = [desk.queue().depth, large[150]!];
    desk.turn((book, now) => cancel(book, [one.job], now));
    expect(desk.queue().depth).toBe(depth - 1);
    for (let step = 0; step < 18; step++) {
      seconds(11);
      desk.told(120_000_000);
    }
    seconds(600);
    expect(startsOf([one])).toEqual([]);
    expect(desk.queue().depth).toBe(0);
  });

  it("a turn finds two thousand of them at the most", () => {
    const desk = openDesk();
    desk.turn((book, now) => LEVERS.pause(book, { kind: "all" }, now));
    for (let time = 0; time < 5; time++) desk.send("a", 60_000, 1_000);
    desk.told(50_000);
    desk.turn((book, now) => LEVERS.resume(book, { kind: "all" }, now));
    desk.told(50_000);
    desk.send("b", 10);
    expect(desk.book.aside.awake).toBeLessThanOrEqual(4_000);
    desk.passes(desk.state.now + 20_000);
    expect(desk.book.aside.awake).toBeGreaterThan(4_990);
  });
});
