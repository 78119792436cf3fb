/** Jobs that upstream never takes cost other tenants' jobs, and their own tenant's other jobs, next to nothing. */
import { describe, expect, it } from "vitest";
import type { Outcome } from "../../schemas/rpc.ts";
import { play, quantile, type Sender, START, started } from "./neighbours.ts";

const problem = { status: 403, type: "x", code: null, message: "x", param: null };
const forbidden: Outcome = { kind: "halted", reason: "credentials", retryAfterMs: null, problem };
/** A job every second, each of which would be taken. */
const good: Sender = { tenant: "good", everyMs: 1_000, from: 1 };

describe("a tenant whose jobs alone are answered 403", () => {
  it.each([1, 4, 12])(
    "%i a minute -> the others' jobs start, within seconds, and no alarm is raised for each",
    (perMinute) => {
      const { seen, told } = play([good, { tenant: "bad", outcome: forbidden, everyMs: 60_000 / perMinute }], 60);
      expect(started(seen[0]!)).toBeGreaterThan(0.99);
      expect(quantile(seen[0]!, 0.95)).toBeLessThan(3);
      expect(told.pool_halted ?? 0).toBeLessThan(5);
    },
    60_000,
  );

  it("a thousand at once -> the others wait for half a minute now and then, and never for longer each time", () => {
    const { seen } = play([good, { tenant: "bad", outcome: forbidden, count: 1_000, from: 30 }], 30);
    expect(started(seen[0]!)).toBeGreaterThan(0.97);
    expect(quantile(seen[0]!, 0.99)).toBeLessThan(70);
    expect(seen[1]!.waits.length).toBe(1_000);
  }, 60_000);

  it("of one tenant, among its others: these start", () => {
    const { seen } = play([good, { tenant: "good", outcome: forbidden, everyMs: 10_000 }], 60);
    expect(started(seen[0]!)).toBeGreaterThan(0.99);
    expect(quantile(seen[0]!, 0.95)).toBeLessThan(5);
  }, 60_000);
});

describe("a tenant's jobs without capacity, or whose mailbox is out of reach", () => {
  const full: Outcome = { kind: "no_capacity", retryAfterMs: null };
  const unsent: Outcome = { kind: "retryable", unknown: false, retryAfterMs: null, problem, unsent: true };

  it.each<[number, string, Outcome, number]>([
    [1_000, "full", full, 30],
    [5_000, "full", full, 1_200],
    [60, "unsent", unsent, 10],
    [1_000, "unsent", unsent, 30],
  ])(
    "%i, %s -> its others, which come later, wait for little longer than it takes to try each of these twice",
    (count, _, outcome, most) => {
      const [mine] = play(
        [
          { ...good, from: 60 },
          { tenant: "good", outcome, count },
        ],
        60,
      ).seen;
      expect(started(mine!)).toBeGreaterThan(0.9);
      expect(quantile(mine!, 0.9)).toBeLessThan(most);
    },
    60_000,
  );
});

it("a key that is refused to all -> a handful of calls beyond those under way, one alarm, and all goes on within ten minutes of its being good", () => {
  const dead = (now: number) => now > START + 600_000 && now < START + 3_600_000;
  const until = (now: number): Outcome => (dead(now) ? forbidden : { kind: "committed", usage: null });
  const { seen, told } = play(
    [1, 2, 3].map((n) => ({ tenant: `t${n}`, outcome: until, everyMs: 3_000, from: n })),
    90,
  );
  const calls = seen.reduce((all, each) => all + each.calls, 0);
  const sent = seen.reduce((all, each) => all + each.sent, 0);
  expect(calls - sent).toBeLessThan(20);
  expect(told).toMatchObject({ pool_halted: 1, pool_resumed: 1 });
  for (const each of seen) expect(started(each)).toBe(1);
}, 60_000);

describe("a tenant whose jobs alone are refused for the rate", () => {
  it.each<[number, number | null]>([
    [1, 60_000],
    [1, 420_000],
    [4, null],
    [4, 10_000],
    [12, null],
    [12, 10_000],
    [12, 420_000],
    [60, 420_000],
  ])(
    "%i a minute, with Retry-After of %s ms -> the others' jobs start, within seconds",
    (perMinute, retryAfterMs) => {
      const bad: Sender = { tenant: "bad", outcome: { kind: "rate_limited", retryAfterMs }, everyMs: 60_000 / perMinute, callMs: 400 };
      const [others] = play([good, bad], 60).seen;
      expect(started(others!)).toBeGreaterThan(0.99);
      expect(quantile(others!, 0.95)).toBeLessThan(10);
    },
    60_000,
  );

  it.each<[number, number | null]>([
    [1, 420_000],
    [4, null],
    [4, 60_000],
  ])(
    "%i a minute of the same tenant, with Retry-After of %s ms -> its others start, within seconds",
    (perMinute, retryAfterMs) => {
      const bad: Sender = { tenant: "good", outcome: { kind: "rate_limited", retryAfterMs }, everyMs: 60_000 / perMinute, callMs: 400 };
      const [others] = play([good, bad], 60).seen;
      expect(started(others!)).toBeGreaterThan(0.99);
      expect(quantile(others!, 0.95)).toBeLessThan(15);
    },
    60_000,
  );
});

it.each([
  [3, 6],
  [8, 6],
  [8, 2],
])(
  "%i tenants that send alike, of whose calls upstream takes %i a minute in all -> each has its part",
  (tenants, perMinute) => {
    let [minute, taken] = [-1, 0];
    const outcome = (now: number): Outcome => {
      const present = Math.floor((now - START) / 60_000);
      if (present !== minute) [minute, taken] = [present, 0];
      return taken++ < perMinute ? { kind: "committed", usage: null } : { kind: "rate_limited", retryAfterMs: null };
    };
    const senders = Array.from({ length: tenants }, (_, n): Sender => ({ tenant: `t${n}`, everyMs: 2_000, outcome }));
    for (const { calls, refused } of play(senders, 120).seen) expect(calls - refused).toBeGreaterThan((0.5 * perMinute * 120) / tenants);
  },
  60_000,
);

describe("a limit that is the same for all", () => {
  /** Nothing is taken for `stands` of every `everyMs`; Retry-After says how long that lasts. */
  const windows =
    (everyMs: number, stands: number) =>
    (now: number): Outcome => {
      const left = stands - ((now - START) % everyMs);
      return left > 0 ? { kind: "rate_limited", retryAfterMs: left } : { kind: "committed", usage: null };
    };

  it.each([
    [60_000, 45_000, 8],
    [3_600_000, 3_000_000, 80],
  ])(
    "of each %i ms nothing is taken for %i ms -> a few calls more than were under way are refused each time",
    (everyMs, stands, most) => {
      const { seen } = play(
        [1, 2].map((n) => ({ tenant: `t${n}`, outcome: windows(everyMs, stands), everyMs: 2_000, from: n, callMs: 400 })),
        120,
      );
      const refused = seen.reduce((all, each) => all + each.refused, 0) / (7_200_000 / everyMs);
      expect(refused).toBeLessThan(most);
      for (const each of seen) expect(started(each)).toBeGreaterThan(0.98);
    },
    60_000,
  );
});
