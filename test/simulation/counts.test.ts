/** What is reported of jobs that wait without standing in line: those that are refused again and again, and those that are too large for a lowered limit. */
import { describe, expect, it } from "vitest";
import { LEVERS } from "../../durable-objects/coordinator/condition/levers.ts";
import { openDesk, POOL, START } from "./desk.ts";

const REFUSED = { kind: "rate_limited" as const, retryAfterMs: null };

describe("jobs that upstream refuses for an hour", () => {
  it("are queued, and have waited for an hour, after a restart too", () => {
    const { end, passes, queue, restart, send, started, state } = openDesk();
    send("a", 1_000, 3);
    let heard = 0;
    for (; state.now < START + 3_600_000; passes(state.now + 1_000)) {
      for (; heard < started.length; heard++) end(started[heard]!.job, REFUSED);
      expect(queue().oldest_wait_seconds).toBeGreaterThanOrEqual(queue().depth === 0 ? 0 : (state.now - START) / 1_000 - 1);
    }
    for (; heard < started.length; heard++) end(started[heard]!.job, REFUSED);
    for (let time = 0; time < 2; time++) {
      expect(queue()).toMatchObject({ depth: 3, scheduled: 0, tenants: [{ id: "a", depth: 3 }] });
      expect(queue().oldest_wait_seconds).toBeGreaterThan(3_500);
      restart();
    }
  });

  it("are told when they may start, and why not before", () => {
    const { end, passes, place, queue, send, started, state, why } = openDesk({ ...POOL, burst_seconds: 2 });
    const jobs = send("a", 100, 600);
    let heard = 0;
    for (; state.now < START + 1_800_000; passes(state.now + 500))
      for (; heard < started.length; heard++) end(started[heard]!.job, REFUSED);
    const last = jobs
      .map(({ job }) => job)
      .filter((job) => place(job)?.position)
      .at(-1)!;
    expect(queue().condition).toMatchObject({ state: "slowed", reason: "rate_limit" });
    expect(place(last)!.eta).toMatchObject({ limited_by: "retry" });
    expect(place(last)!.eta!.p50).toBeGreaterThan(19 * (place(last)!.position! - 2));
    expect(why(last)).toContain("until it accepts them again, one call is made every twenty seconds");
  });
});

describe("jobs that are too large for a lowered limit", () => {
  it("are queued: they count in depth, in their tenant's, and in the oldest wait", () => {
    const { passes, queue, send, state, told } = openDesk();
    send("a", 1_000);
    told(50_000);
    send("b", 60_000, 3);
    passes(state.now + 30_000);
    expect(queue()).toMatchObject({ depth: 2, scheduled: 0, tenants: [{ id: "a" }, { id: "b", depth: 2 }] });
    expect(queue().oldest_wait_seconds).toBe(30);
  });

  it("say so themselves, before their turn too; and what stops all is named first", () => {
    const { place, send, told, turn, why } = openDesk();
    send("a", 90_000);
    told(50_000);
    const [job] = send("b", 60_000);
    const [small] = send("b", 10);
    expect(place(job!.job)).toEqual({ state: "waiting", position: null, eta: null });
    expect(why(job!.job)).toContain("it reserves 60,000 tokens, more than the limit now allows");
    expect(why(small!.job)).not.toContain("more than the limit now allows");
    turn((book, now) => LEVERS.pause(book, { kind: "all" }, now));
    expect(why(job!.job)).toBe("The job waits: everything is paused by an operator.");
  });
});

it("a job whose not_before lies ahead is scheduled, and waits from then on", () => {
  const { passes, queue, send, state } = openDesk({ ...POOL, rpm: 1, burst_seconds: 1 });
  send("a", 10);
  send("a", 10, 1, "c", { notBefore: START + 10_000 });
  expect(queue()).toMatchObject({ depth: 0, scheduled: 1 });
  passes(state.now + 15_000);
  expect(queue()).toMatchObject({ depth: 1, scheduled: 0, oldest_wait_seconds: 5 });
});
