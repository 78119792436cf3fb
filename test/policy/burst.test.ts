import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type Budget, burstOf, free, neverFits, openBudget, readiness, reserve } from "../../policy/budget.ts";
import { Burst, type BurstRecord } from "../../policy/burst.ts";
import { Learned } from "../../policy/learned.ts";
import { learnedOf, poolBudget } from "../../policy/pools.ts";
import type { LimitReading, PoolReading } from "../../schemas/rate.ts";
import { PoolConfig } from "../../schemas/settings.ts";
import { START } from "./intervals.ts";

const LEARNT = { start: 1, most: 60, heldBack: 0 };
const WRITTEN = { start: 60, most: 60, heldBack: 0 };
/** A reading of a limit of 600 a minute. */
const bucket = (spent: number, resetMs = spent * 100): LimitReading => ({ limit: 600, remaining: 600 - spent, resetMs });
const minutes = (count: number) => START + count * 60_000;

/** A burst whose headers have shown that upstream keeps a bucket. */
function shown(span = LEARNT): Burst {
  const burst = new Burst(span);
  for (const at of [0, 1_000, 2_000]) burst.hear(bucket(8), START + at);
  return burst;
}

describe("what is not written", () => {
  const limits = { rpm: 600, tpm: 600_000 };

  it("is a second of the rate at first; a call that only a minute's would hold waits for a full bucket, and goes", () => {
    const budget = poolBudget(PoolConfig.parse({ ...limits, transit_ms: 0 }));
    expect([burstOf(budget, "rpm"), burstOf(budget, "tpm")]).toEqual([10, 10_000]);
    expect(neverFits(budget, 600_000)).toBeNull();
    expect(neverFits(budget, 600_001)).toMatchObject({ whole: 600_000 });
    reserve(budget, 5_000, START);
    expect(readiness(budget, 500_000, START).at).toBe(START + 500);
    reserve(budget, 500_000, START + 500);
    // The debt is paid off at the rate.
    expect(readiness(budget, 10_000, START + 500).at).toBe(START + 500 + 50_000);
  });

  it("at a rate of less than a call a second, a call still goes whenever one has refilled", () => {
    const budget = poolBudget(PoolConfig.parse({ rpm: 3, tpm: 600_000 }));
    reserve(budget, 1, START);
    expect(readiness(budget, 1, START).at).toBe(START + 20_000);
  });

  it.each([
    { burst_seconds: 5, transit_ms: 0 },
    { burst_seconds: 60, transit_ms: 0 },
  ])("what is written is there from the start: %j", (written) => {
    expect(burstOf(poolBudget(PoolConfig.parse({ ...limits, ...written })), "rpm")).toBe(10 * written.burst_seconds);
  });

  it("of windows a tenth goes at once where nothing is written, and all where that is", () => {
    const atOnce = (more: object) => free(poolBudget(PoolConfig.parse({ ...limits, window_seconds: 60, ...more })), "rpm", START);
    expect(atOnce({})).toBe(60);
    expect(atOnce({ burst_seconds: 60 })).toBe(600);
  });

  it("of windows nothing is learned", () => {
    const config = PoolConfig.parse({ ...limits, window_seconds: 60 });
    const [budget, learned] = [poolBudget(config), learnedOf(config, START)!];
    expect(burstOf(budget, "rpm")).toBe(600);
    for (const at of [0, 2_000, 4_000]) learned.take(reading(START + at, bucket(50)), null, budget, START + at);
    expect(burstOf(budget, "rpm")).toBe(600);
  });
});

describe("headers of a continuous bucket", () => {
  it("in three readings over two seconds -> it grows to what was seen and a quarter more, and in the end to a minute", () => {
    const burst = new Burst(LEARNT);
    const grown = [0, 1_000, 1_900, 2_000].map((at) => {
      burst.hear(bucket(10), START + at);
      burst.grow(1, 0.1, START + at);
      return burst.seconds;
    });
    expect(grown).toEqual([1, 1, 1, 1.5]);
    burst.grow(20, 0.1, START + 3_000);
    expect(burst.seconds).toBe(25.25);
    burst.grow(48, 0.1, START + 3_000);
    expect(burst.seconds).toBe(60);
  });

  it("what is held back for late calls comes on top: what goes at once is what was seen and a quarter more", () => {
    const burst = shown({ ...LEARNT, heldBack: 1 });
    burst.grow(4, 0.1, START);
    expect(burst.seconds).toBe(5 * 1 + 0.25 + 1);
  });

  it("a little more than there is already is not worth a change", () => {
    const burst = shown();
    burst.grow(20, 0.1, START);
    burst.grow(21, 0.1, START);
    expect(burst.seconds).toBe(25.25);
  });

  it.each([
    ["all is free", bucket(0)],
    ["what is spent refills within what rounding hides", { limit: 6_000_000, remaining: 5_999_800, resetMs: 2 }],
    ["they do not say when it is whole again", { ...bucket(8), resetMs: null }],
    ["they do not say what is left", { ...bucket(8), remaining: null }],
  ])("%s: tells nothing", (_, told) => {
    const burst = new Burst(LEARNT);
    for (let at = 0; at < 60_000; at += 500) burst.hear(told, START + at);
    burst.grow(30, 0.1, START);
    expect(burst.seconds).toBe(1);
  });

  it.each([
    ["a bucket of ten seconds, of which what is left is told", { limit: 600, remaining: 60, resetMs: 4_000 }],
    ["a bucket of ten seconds, whose own limit is told", { limit: 100, remaining: 60, resetMs: 4_000 }],
    ["a window's end", { limit: 600, remaining: 590, resetMs: 42_000 }],
    ["a window's end, though all is free", { limit: 600, remaining: 600, resetMs: 42_000 }],
  ])("%s: stays small, and takes away what readings by chance had shown", (_, told) => {
    const burst = shown();
    burst.grow(20, 0.1, START);
    for (const at of [3_000, 4_000, 20_000]) burst.hear(told, START + at);
    expect(burst.seconds).toBe(1);
    burst.grow(20, 0.1, START + 20_000);
    expect(burst.seconds).toBe(1);
  });

  it("no window's end is taken for a bucket, whatever is spent in it and whenever it is read", () => {
    const worlds = fc.record({
      limit: fc.integer({ min: 1, max: 100_000 }),
      use: fc.double({ min: 0, max: 2, noNaN: true }),
      before: fc.double({ min: 0, max: 1, noNaN: true }),
      phaseMs: fc.integer({ min: 0, max: 59_999 }),
      everyMs: fc.integer({ min: 1, max: 20_000 }),
    });
    fc.assert(
      fc.property(worlds, ({ before, everyMs, limit, phaseMs, use }) => {
        const burst = new Burst(LEARNT);
        // Within one window: in the next one the count starts over.
        for (let at = phaseMs; at < 60_000; at += everyMs) {
          const spent = Math.min(limit, Math.ceil(limit * (before + (use * at) / 60_000)));
          burst.hear({ limit, remaining: limit - spent, resetMs: 60_000 - at }, START + at);
        }
        burst.grow(50, 0.1, START);
        expect(burst.seconds).toBe(1);
      }),
      { numRuns: 2_000 },
    );
  });
});

describe("a refusal that upstream's own headers belie", () => {
  it.each([
    ["learned", LEARNT, 24],
    ["written", WRITTEN, 30],
  ])("what was %s is halved, once for all that was under way, down to a second", (_, span, first) => {
    const burst = shown(span);
    burst.grow(38.2, 0.1, START);
    burst.belied(START + 5_000, START + 6_000);
    burst.belied(START + 5_900, START + 6_100);
    expect(burst.seconds).toBe(first);
    for (let each = 1; each <= 6; each++) burst.belied(START + 10_000 * each, START + 10_000 * each + 500);
    expect(burst.seconds).toBe(1);
  });

  it("it comes back after ten minutes, and after each further one twice as late; once all is back, after ten again", () => {
    const burst = shown();
    const backAfter = (from: number, seen = 5) => {
      let minute = from;
      for (const before = burst.seconds; burst.seconds === before && minute < from + 2_000; minute++)
        burst.grow(seen, 0.1, minutes(minute));
      return minute - 1 - from;
    };
    burst.grow(5, 0.1, START);
    const waits: number[] = [];
    let minute = 0;
    for (let time = 0; time < 9; time++) {
      burst.belied(minutes(minute), minutes(minute) + 1);
      waits.push(backAfter(minute));
      minute += waits.at(-1)! + 1;
    }
    expect(waits.map((wait) => Math.round(wait / 10) * 10)).toEqual([10, 20, 40, 80, 160, 320, 640, 1_280, 1_440]);
    burst.grow(60, 0.1, minutes(minute));
    expect(burst.seconds).toBe(60);
    burst.belied(minutes(minute), minutes(minute) + 1);
    expect(backAfter(minute, 48)).toBe(11);
  });

  it("survives a restart: what it is, what was shown, and how long it rests", () => {
    const [before, after] = [shown(), new Burst(LEARNT)];
    before.grow(38.2, 0.1, START);
    before.belied(START, minutes(1));
    after.restore(JSON.parse(JSON.stringify(before.record())) as BurstRecord);
    expect(after.seconds).toBe(24);
    after.grow(48, 0.1, minutes(10));
    expect(after.seconds).toBe(24);
    after.grow(48, 0.1, minutes(11) + 1);
    expect(after.seconds).toBe(60);
  });

  it("what was learned does not outlive that something else is written; what was cut does", () => {
    const written = new Burst({ start: 10, most: 10, heldBack: 0 });
    written.restore({ seconds: 60, holds: true });
    expect(written.seconds).toBe(10);
    written.restore({ seconds: 4, cut: { at: START, ms: 600_000 } });
    expect(written.seconds).toBe(4);
  });
});

it("evidence goes on from where it was before a restart, and costs a handful of rows", () => {
  let record: BurstRecord | undefined;
  let rows = 0;
  // A coordinator that sleeps between calls.
  for (let call = 0; call < 20; call++) {
    const burst = new Burst(LEARNT);
    if (record) burst.restore(record);
    burst.hear({ limit: 3, remaining: 2, resetMs: 19_000 }, START + call * 20_000);
    if (!burst.isNotable) continue;
    rows++;
    record = burst.record();
  }
  expect(record).toMatchObject({ holds: true });
  expect(rows).toBeLessThanOrEqual(4);
});

function reading(at: number, requests: LimitReading | null, tokens: LimitReading | null = null): PoolReading {
  return { pool: "p", job: "j", sentAt: at - 50, at, requests, tokens };
}

const LIMITS = { rpm: 600, tpm: 600_000, rpd: null, tpd: null, concurrency: null, transitMs: 0 };

/** A pool that spent `spent` seconds' worth of both limits at once at START; the calls are still on their way to upstream. */
function spending(spent: number, burstSeconds = 60): { budget: Budget; learned: Learned } {
  const limits = { ...LIMITS, burstSeconds };
  const [budget, learned] = [openBudget(limits), new Learned({ limits, most: { rpm: 600, tpm: 600_000 } }, START - 1_000)];
  for (let call = 0; call < spent * 10; call++) {
    reserve(budget, 1_000, START);
    learned.started(budget, 1_000, START);
  }
  return { budget, learned };
}

describe("a refused call", () => {
  const call = { at: START, tokens: 1_000 };
  const tokens = (left: number): LimitReading => ({ limit: 600_000, remaining: left, resetMs: (600_000 - left) / 10 });
  const seconds = ({ bursts }: Learned) => [bursts.seconds("requests"), bursts.seconds("tokens")];

  it("of which both kinds had enough left -> is reported, and less goes at once from then on; what was spent stays spent", () => {
    const { budget, learned } = spending(20);
    const changes = learned.take(reading(START + 100, bucket(10), tokens(590_000)), call, budget, START + 200, true);
    expect(changes).toEqual([
      { burst: "requests", from: 60, to: 30 },
      { burst: "tokens", from: 60, to: 30 },
    ]);
    expect(free(budget, "rpm", START + 200)).toBeCloseTo(300 - 200 + 2, 6);
  });

  it.each([
    ["others may have spent the requests", bucket(599), tokens(590_000)],
    ["others may have spent the tokens", bucket(10), tokens(1_500)],
    ["the tokens are not told", bucket(10), null],
    ["the requests are the day's", { limit: 10_000, remaining: 9_000, resetMs: 8_640_000 }, tokens(590_000)],
  ])("%s: nothing is learned", (_, requests, left) => {
    const { budget, learned } = spending(20);
    learned.take(reading(START + 100, requests, left), call, budget, START + 200, true);
    expect(seconds(learned)).toEqual([60, 60]);
  });

  it("that was alone, or with no more than a second holds: nothing is learned, it may be too large for upstream", () => {
    for (const spent of [0.1, 1]) {
      const { budget, learned } = spending(spent);
      learned.take(reading(START + 100, bucket(1), tokens(599_000)), call, budget, START + 200, true);
      expect(seconds(learned)).toEqual([60, 60]);
    }
  });

  it("an operator's resume -> as configured, and it is not told as something new", () => {
    const { budget, learned } = spending(20);
    learned.take(reading(START + 100, bucket(10), tokens(590_000)), call, budget, START + 200, true);
    learned.reset(budget, START + 300);
    expect(burstOf(budget, "rpm")).toBe(600);
    expect(learned.record()).not.toHaveProperty("burst");
    expect(learned.take(reading(START + 400, bucket(10)), null, budget, START + 500)).toEqual([]);
  });
});

describe("a pool that has spent a minute at once, and is to spend a second from then on", () => {
  const limits = { ...LIMITS, burstSeconds: 1, mostBurstSeconds: 60 };
  /** A pool whose headers have shown a full minute's bucket. `takeAll` starts everything that fits, and returns how many calls that was. */
  function spent() {
    const [budget, learned] = [openBudget(limits), new Learned({ limits, most: { rpm: 600, tpm: 600_000 } }, START)];
    for (const at of [0, 3_000, 6_000]) learned.take(reading(START + at, bucket(599)), null, budget, START + at);
    expect(burstOf(budget, "rpm")).toBe(600);
    const takeAll = (now: number) => {
      let calls = 0;
      for (; readiness(budget, 1, now).at <= now; calls++) {
        reserve(budget, 1, now);
        learned.started(budget, 1, now);
      }
      return calls;
    };
    return { budget, learned, takeAll };
  }

  it.each(["an operator resumes it", "its headers show no bucket any more"])(
    "%s -> goes on at its rate, of what went nothing was refused",
    (how) => {
      const { budget, learned, takeAll } = spent();
      const now = START + 70_000;
      expect(takeAll(now)).toBe(600);
      if (how === "an operator resumes it") learned.reset(budget, now + 500);
      else
        for (const after of [0, 1_000, 2_000]) {
          const told = { ...bucket(100), resetMs: 30_000 - after };
          learned.take(reading(now + 500 + after, told), null, budget, now + 500 + after);
        }
      expect(burstOf(budget, "rpm")).toBe(10);
      expect([takeAll(now + 3_500), takeAll(now + 4_500), takeAll(now + 60_000)]).toEqual([10, 10, 10]);
    },
  );

  it("what a refusal has shown to be too much is still paid off after a resume", () => {
    const { budget, learned, takeAll } = spent();
    const now = START + 70_000;
    takeAll(now);
    learned.take(reading(now + 100, bucket(10), bucket(10)), { at: now, tokens: 1 }, budget, now + 200, true);
    expect(free(budget, "rpm", now + 200)).toBe(0);
    learned.reset(budget, now + 200);
    expect(readiness(budget, 1, now + 200).at).toBeGreaterThan(now + 29_000);
  });
});

describe("while it grows", () => {
  /**
   * Everything that may start does. Upstream is a bucket of a minute, read with each answer; after `othersMs` others take nearly all of it at once. Headers
   * take `lateMs`; at each of `resumes` (ms from START) an operator resumes the pool.
   */
  function play(othersMs: number, { forMs, lateMs, resumes }: { forMs: number; lateMs: number; resumes: number[] }) {
    const limits = { ...LIMITS, transitMs: 1_000, burstSeconds: 1, mostBurstSeconds: 60 };
    const [budget, learned] = [openBudget(limits), new Learned({ limits, most: { rpm: 600, tpm: 600_000 } }, START)];
    const log: { at: number; burst: number }[] = [];
    const answers: { due: number; reading: PoolReading; at: number }[] = [];
    let [spent, refused] = [0, 0];
    for (let now = START; now < START + forMs; now += 50) {
      if (resumes.includes(now - START)) learned.reset(budget, now);
      spent = Math.max(0, spent - 0.5);
      if (now === START + othersMs) spent = Math.max(spent, 500);
      for (const { at, reading } of answers.filter(({ due }) => due === now)) learned.take(reading, { at, tokens: 10 }, budget, now);
      for (; readiness(budget, 10, now).at <= now; ) {
        reserve(budget, 10, now);
        learned.started(budget, 10, now);
        log.push({ at: now, burst: burstOf(budget, "rpm") });
        if (spent + 1 > 600) refused++;
        else spent++;
        const told = { limit: 600, remaining: Math.floor(600 - spent), resetMs: Math.round(spent * 100) };
        answers.push({
          at: now,
          due: now + lateMs + 150,
          reading: { pool: "p", job: "j", sentAt: now, at: now + lateMs, requests: told, tokens: null },
        });
      }
    }
    return { log, refused, learned };
  }

  // Law: an interval admits no more than the burst at its end plus its rate.
  it.each([1_000, 3_000, 5_000])(
    "no interval sees more than the burst of its end and the rate, and upstream refuses nothing, though others spent nearly all after %i ms",
    (othersMs) => {
      const { learned, log, refused } = play(othersMs, { forMs: 40_000, lateMs: 50, resumes: [] });
      expect(learned.bursts.seconds("requests")).toBe(60);
      expect(refused).toBe(0);
      let worst = Number.NEGATIVE_INFINITY;
      for (let first = 0; first < log.length; first++)
        for (let last = first; last < log.length; last++)
          worst = Math.max(worst, last - first + 1 - log[last]!.burst - (log[last]!.at - log[first]!.at) / 100);
      expect(worst).toBeLessThan(1e-6);
    },
  );

  it.each([50, 5_000])(
    "an operator who resumes the pool each half minute loses nothing, and nothing is refused, though headers take %i ms",
    (lateMs) => {
      const minutes = { forMs: 200_000, lateMs };
      const [left, resumed] = [[], [30_000, 60_000, 90_000, 120_000]].map((resumes) => play(1, { ...minutes, resumes }));
      expect(resumed!.refused).toBe(0);
      expect(resumed!.log.length).toBeGreaterThan(left!.log.length * 0.98);
    },
  );
});
