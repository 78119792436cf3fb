/**
 * What no limit set by the operator would ever hold is refused; jobs taken in before the operator lowered the limits end. What a limit may hold again waits.
 */
import { describe, expect, it } from "vitest";
import { LEVERS } from "../../durable-objects/coordinator/condition/levers.ts";
import { openDesk, POOL } from "./desk.ts";

const EXCEEDS = { code: "reservation_exceeds_budget" };

describe("a job that no limit of its pool would ever hold", () => {
  it("is refused, though another limit is lowered now", () => {
    const { send, told } = openDesk();
    told(300, "requests");
    expect(send("a", 5_000_000)[0]!.problem).toMatchObject(EXCEEDS);
  });

  it("is refused, though its own limit is lowered now", () => {
    const { send, told } = openDesk();
    told(50_000);
    expect(send("a", 60_000)[0]!.problem).toBeNull();
    expect(send("a", 100_001)[0]!.problem).toMatchObject(EXCEEDS);
  });

  it("is taken in as far as limits may be learned", () => {
    const { send } = openDesk({ ...POOL, learn: { max_tpm: 200_000 } });
    expect(send("a", 150_000)[0]!.problem).toBeNull();
    expect(send("a", 200_001)[0]!.problem).toMatchObject(EXCEEDS);
  });

  it("where nothing is learned: as far as is configured", () => {
    const { send } = openDesk({ ...POOL, learn: false });
    expect(send("a", 100_000)[0]!.problem).toBeNull();
    expect(send("a", 100_001)[0]!.problem).toMatchObject(EXCEEDS);
  });
});

it("a raised limit falls back to what is configured: what only that held is called, to see", () => {
  const { book, passes, send, started, state, told, turn } = openDesk({ ...POOL, learn: { max_tpm: 200_000 } });
  for (let step = 0; step < 8; step++) {
    state.now += 10_001;
    told(200_000);
  }
  turn((book, now) => LEVERS.pause(book, { kind: "all" }, now));
  const [large] = send("a", 150_000);
  told(100_000);
  turn(() => {
    book.conditions.pausedAt = null;
  });
  passes(state.now + 3_600_000);
  expect(started.map(({ job }) => job)).toContain(large!.job);
});

describe("the operator lowers a limit for good", () => {
  function lowered(awakeMost: number) {
    const desk = openDesk({ ...POOL, tpm: 500_000 });
    desk.state.awakeMost = awakeMost;
    desk.restart();
    const [first] = desk.send("a", 480_000);
    const jobs = desk.send("a", 150_000, 300);
    desk.end(first!.job);
    desk.send("a", 10, 100);
    desk.turn(() => {});
    desk.state.pool = { ...POOL, tpm: 100_000 };
    desk.restart();
    return { desk, jobs };
  }

  it.each([
    { where: "in memory", awakeMost: 20_000 },
    { where: "at rest", awakeMost: 40 },
  ])("jobs that were taken in before, and are too large now, fail, each once, and the others go on ($where)", ({ awakeMost }) => {
    const { desk, jobs } = lowered(awakeMost);
    desk.passes(desk.state.now + 200_000);
    const failed = desk.verdicts.filter(({ kind }) => kind === "failed");
    expect(new Set(failed.map(({ job }) => job))).toEqual(new Set(jobs.map(({ job }) => job)));
    expect(failed[0]).toMatchObject({ problem: EXCEEDS });
    expect(desk.queue()).toMatchObject({ depth: 0, condition: { state: "normal" } });
    desk.restart();
    expect(desk.book.endings.size).toBe(300);
  });
});
