/** Refusals of one kind coincide with refusals of another. */
import { describe, expect, it } from "vitest";
import type { Outcome } from "../../schemas/rpc.ts";
import { play, type Sender, START, started } from "./neighbours.ts";

const problem = { status: 403, type: "x", code: null, message: "x", param: null };
const forbidden: Outcome = { kind: "halted", reason: "credentials", retryAfterMs: null, problem };
const good: Sender = { tenant: "good", everyMs: 1_000, from: 1 };

describe("one job that alone is told to slow down, always", () => {
  const slow: Outcome = { kind: "slow_down", retryAfterMs: null };
  it("of the same tenant: its others are called", () => {
    const { seen } = play(
      [
        { ...good, everyMs: 10_000 },
        { tenant: "good", outcome: slow, count: 1 },
      ],
      60,
    );
    expect(started(seen[0]!)).toBeGreaterThan(0.9);
  }, 60_000);
  it("of another tenant: others are called", () => {
    const { seen } = play(
      [
        { ...good, everyMs: 10_000 },
        { tenant: "bad", outcome: slow, count: 1 },
      ],
      60,
    );
    expect(started(seen[0]!)).toBeGreaterThan(0.9);
  }, 60_000);
});

describe("jobs that were told to wait for minutes", () => {
  it.each<[string, Outcome]>([
    ["no capacity", { kind: "no_capacity", retryAfterMs: 600_000 }],
    ["rate", { kind: "rate_limited", retryAfterMs: 600_000 }],
  ])(
    "%s: another's job that is answered 403 does not bring them back before",
    (_, outcome) => {
      const run = (more: Sender[]) => play([good, { tenant: "full", outcome, count: 200 }, ...more], 60);
      const alone = run([]).seen[1]!;
      const beside = run([{ tenant: "bad", outcome: forbidden, everyMs: 20_000 }]).seen[1]!;
      expect(beside.calls).toBeLessThan(alone.calls * 1.5);
    },
    60_000,
  );
});

describe("a pool that is refused for minutes, then taken but for a call now and then", () => {
  const refused: Outcome = { kind: "rate_limited", retryAfterMs: null };
  const taken: Outcome = { kind: "committed", usage: null };
  const minutes = (now: number) => (now - START) / 60_000;
  // Never quiet for a minute, so the pool is in doubt to the end.
  const between = (now: number): Outcome => ((now - START) % 40_000 < 1_000 ? refused : taken);

  it("is said to have come back, and to stand when it stands again", () => {
    const outcome = (now: number) => (minutes(now) < 6 || minutes(now) > 30 ? refused : between(now));
    const { told } = play([{ tenant: "a", outcome, everyMs: 1_000 }], 40);
    expect(told).toMatchObject({ pool_refused: 2, pool_halted: 2, pool_resumed: 1 });
  }, 60_000);

  it("is not said to stand or to have come back each time", () => {
    const { told } = play([{ tenant: "a", outcome: between, everyMs: 1_000 }], 40);
    expect(told).toEqual({});
  }, 60_000);
});
