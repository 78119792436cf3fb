/** A limit counted in windows, compared with a log that forgets nothing. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { cameLate, clearanceMs, correct, free, openBudget, readiness, refund, reserve, retune, used } from "../../policy/budget.ts";
import { Sliding } from "../../policy/sliding.ts";
import { START } from "./intervals.ts";
import { LIMITS, SPAN, type Taken, within, worst } from "./windows.ts";

const LIMIT = 1_000;
const ANY = { perMs: LIMIT / 60_000, burst: Number.POSITIVE_INFINITY };
/** The largest distance between entries, and the longest that a window takes to open, ms. */
const [GRAIN, OPENING] = [SPAN / 512 + 1, 251];
const open = () => new Sliding(LIMIT, SPAN, ANY, "requests");

/** When the log itself would let `amount` through. */
const exactly = (log: Taken[], amount: number, now: number) =>
  [now, ...log.map(({ at }) => at + SPAN)]
    .filter((at) => at >= now && within(log, at) + amount <= LIMIT)
    .reduce((a, b) => Math.min(a, b), Number.POSITIVE_INFINITY);

type Step = { ms: number; amount: number; do: "take" | "ready" | "void" | "late void" | "late" };
const step: fc.Arbitrary<Step> = fc.record({
  ms: fc.oneof(fc.constant(0), fc.nat(20), fc.nat(2_000), fc.nat(70_000)),
  amount: fc.oneof(fc.integer({ min: 1, max: 40 }), fc.integer({ min: 1, max: 999 }), fc.double({ min: 0.001, max: LIMIT, noNaN: true })),
  do: fc.constantFrom("take", "take", "ready", "ready", "ready", "void", "late void", "late"),
});

describe("random histories of a limit that is counted in windows", () => {
  function play(
    steps: Step[],
    watch: (tally: Sliding, log: Taken[], now: number, amount: number) => void = () => {},
    tally = open(),
  ): Taken[] {
    let log: Taken[] = [];
    let now = START;
    for (const { amount, do: what, ms } of steps) {
      now += ms;
      watch(tally, log, now, amount);
      if (what === "ready") now = Math.max(now, Math.ceil(tally.readyAt(amount, now)));
      if ((what === "take" || what === "ready") && tally.readyAt(amount, now) <= now) {
        tally.take(amount, now);
        log = [...log, { at: now, amount }];
      }
      if (what === "late" && log.length > 0) {
        // An earlier call has left only now, or a little before.
        const alive = log.filter((each) => each.at > now - SPAN);
        const call = alive[Math.floor((amount / LIMIT) * (alive.length - 1))];
        if (!call) continue;
        const at = Math.max(call.at, now - ms);
        tally.leave(call.amount, call.at, at, now);
        log = log.map((each) => (each === call ? { ...call, at } : each));
      }
      const back = what === "void" ? log.at(-1) : what === "late void" ? log[Math.floor(log.length / 2)] : undefined;
      if (!back) continue;
      tally.giveBack(back.amount, back.at, now);
      log = log.filter((each) => each !== back);
    }
    return log;
  }

  // Law: in every interval as long as a span, what was taken is at most the limit.
  it("hold no more than the limit in any interval, whatever is given back", () => {
    fc.assert(
      fc.property(fc.array(step, { minLength: 20, maxLength: 150 }), (steps) => {
        expect(worst(play(steps))).toBeLessThanOrEqual(LIMIT + 1e-6);
      }),
      { numRuns: 500 },
    );
  });

  // Law: nothing waits that the log itself would let go, except for the distance between entries and the time a window takes to open.
  it("keep nobody longer than the log itself would", () => {
    fc.assert(
      fc.property(fc.array(step, { minLength: 20, maxLength: 100 }), (steps) => {
        play(steps, (tally, log, now, amount) => {
          expect(tally.readyAt(amount, now)).toBeLessThanOrEqual(exactly(log, amount, now) + GRAIN + OPENING);
          expect(tally.spent(now)).toBeGreaterThanOrEqual(within(log, now) - 1e-6);
          expect(tally.spent(now)).toBeLessThanOrEqual(within(log, now, SPAN + GRAIN) + 1e-6);
        });
      }),
      { numRuns: 300 },
    );
  });

  it.each([Number.POSITIVE_INFINITY, 300])(
    "name the very instant at which a call can start, now and then spent evenly, at most %d at once",
    (burst) => {
      fc.assert(
        fc.property(fc.array(step, { minLength: 10, maxLength: 60 }), (steps) => {
          const watch = (tally: Sliding, _: Taken[], now: number, amount: number) => {
            const at = tally.readyAt(amount, now);
            expect(tally.readyAt(amount, at)).toBe(at);
            for (const before of [1, 100, 5_000, 20_000])
              if (at - before > now) expect(tally.readyAt(amount, at - before)).toBeGreaterThan(at - before);
            if (amount % 10 === 0) tally.spendEvenly(now + amount * 40);
          };
          play(steps, watch, new Sliding(LIMIT, SPAN, { ...ANY, burst }, "requests"));
        }),
        { numRuns: 300 },
      );
    },
  );
});

describe("a limit that is counted in windows", () => {
  it("counts a call that waited for its dispatcher from when it left", () => {
    const tally = open();
    for (const ms of [0, 1_000, 40_000]) tally.take(300, START + ms);
    tally.leave(300, START, START + 2_500, START + 41_000);
    expect([1_000 + SPAN, 2_500 + SPAN - 1].map((ms) => tally.spent(START + ms))).toEqual([600, 600]);
    expect(tally.spent(START + 2_500 + SPAN)).toBe(300);
    // A call that was thought to be over counts again, unless it really is over.
    tally.leave(300, START + 2_500, START + 50_000, START + 3_000 + SPAN);
    expect(tally.spent(START + 3_000 + SPAN)).toBe(600);
    tally.leave(300, START + 1_000, START + 50_000, START + 3 * SPAN);
    expect(tally.spent(START + 3 * SPAN)).toBe(0);
  });

  it("keeps its memory small, and is used to the last thousandth by whoever takes all that there is", () => {
    const tally = open();
    let [now, taken, most] = [START, 0, 0];
    for (; now < START + 20 * SPAN; now += 3) {
      if (tally.readyAt(0.05, now) > now) continue;
      tally.take(0.05, now);
      taken += 0.05;
      most = Math.max(most, tally.size);
    }
    expect(most).toBeLessThan(2_000);
    expect(taken / (LIMIT * 20)).toBeGreaterThan(0.997);
  });

  it("gives what is more than the limit only when all of it is there, and is shut until that is over", () => {
    const tally = open();
    tally.take(10, START);
    expect(tally.readyAt(2 * LIMIT, START)).toBe(START + SPAN);
    tally.take(2 * LIMIT, START + SPAN);
    expect(tally.readyAt(1, START + SPAN)).toBe(START + 2 * SPAN);
  });

  it("refills nothing while a clock stands back", () => {
    const tally = open();
    tally.take(LIMIT, START);
    expect(tally.spent(START - 5_000)).toBe(LIMIT);
    tally.take(1, START - 5_000);
    expect(tally.readyAt(1, START - 5_000)).toBe(START + SPAN);
  });

  it("takes off the oldest first what comes back without a time: what is left counts for longest", () => {
    const tally = open();
    tally.take(600, START);
    tally.take(400, START + 30_000);
    tally.give(500, START + 40_000);
    expect([tally.spent(START + 40_000), tally.spent(START + SPAN)]).toEqual([500, 400]);
  });

  it("spends no more at once than a short burst, and its rate from then on", () => {
    const tally = new Sliding(LIMIT, SPAN, { perMs: LIMIT / 60_000, burst: 100 }, "requests");
    const log: Taken[] = [];
    for (let now = START; now < START + 4 * SPAN; now += 10) {
      for (; tally.readyAt(1, now) <= now; log.push({ at: now, amount: 1 })) tally.take(1, now);
    }
    for (const [index, { at }] of log.entries())
      for (const later of [20, 150, 400]) {
        const last = log[index + later];
        if (last) expect(later + 1).toBeLessThanOrEqual(100 + ((last.at - at) * LIMIT) / 60_000 + 1);
      }
    expect(worst(log)).toBeLessThanOrEqual(LIMIT);
    // Each span is used in full, though calls may go faster than their room comes back.
    expect(log.length).toBeGreaterThan(4 * LIMIT * 0.995);
  });

  it("lets a whole window go within a quarter of a second, and as much as can leave, where that is less", () => {
    const goes = (atOnce: number | null) => {
      const tally = new Sliding(LIMIT, SPAN, ANY, "requests", atOnce);
      let now = START;
      for (let call = 0; call < LIMIT; call++) {
        now = tally.readyAt(1, now);
        tally.take(1, now);
      }
      return now - START;
    };
    expect(goes(null)).toBeLessThanOrEqual(250);
    expect(goes(100)).toBeGreaterThan(15_000);
  });

  it("is used to the last thousandth, however few can leave at once", () => {
    for (const [limit, windowMs, atOnce] of [
      [30_000, 60_000, 768],
      [500, 10_000, 30],
    ] as const) {
      const spanMs = windowMs + 250;
      const tally = new Sliding(limit, spanMs, { perMs: limit / windowMs, burst: Number.POSITIVE_INFINITY }, "requests", atOnce);
      let [now, taken] = [START, 0];
      // Counted from the end of the first span on.
      for (; now < START + 6 * spanMs; now = Math.max(now, tally.readyAt(1, now))) {
        tally.take(1, now);
        if (now >= START + spanMs) taken++;
      }
      expect(taken / (5 * limit)).toBeGreaterThan(0.999);
    }
  });
});

describe("a pool whose upstream counts in windows", () => {
  const spent = () => {
    const budget = openBudget(LIMITS);
    for (let call = 0; call < 12; call++) reserve(budget, 5_000, START + call * 1_000);
    return budget;
  };

  it("whose limit is cut owes no longer than a window, and one that is raised has the rest at once", () => {
    const budget = spent();
    const now = START + 11_000;
    retune(budget, "tpm", { ...LIMITS, tpm: 20_000 });
    expect(used(budget, "tpm", now)).toBe(60_000);
    // Eight of the twelve have to be over before one more fits.
    expect(readiness(budget, 5_000, now).at).toBe(START + 8_000 + SPAN);
    retune(budget, "tpm", { ...LIMITS, tpm: 90_000 });
    expect(free(budget, "tpm", now)).toBe(30_000);
  });

  it("has back at once what was taken by a call that never left, and nothing of one of a window before", () => {
    const budget = openBudget(LIMITS);
    const calls = [0, 1_000, 2_000].map((ms) => reserve(budget, 20_000, START + ms));
    refund(budget, calls[1]!, START + 3_000);
    expect([used(budget, "tpm", START + 3_000), used(budget, "rpm", START + 3_000)]).toEqual([40_000, 2]);
    expect(used(budget, "tpm", START + SPAN)).toBe(20_000);
    const late = START + 2 * SPAN;
    reserve(budget, 7_000, late);
    refund(budget, calls[0]!, late);
    expect(used(budget, "tpm", late)).toBe(7_000);
  });

  it("takes what others spent of it, and gives it back", () => {
    const budget = openBudget(LIMITS);
    expect(correct(budget, "tpm", 59_000, START)).toBe(59_000);
    expect(readiness(budget, 2_000, START)).toEqual({ at: START + SPAN, limitedBy: "tpm" });
    expect(correct(budget, "tpm", -9_000, START)).toBe(-9_000);
    expect(readiness(budget, 2_000, START).at).toBe(START);
  });

  it("tells of a backlog that windows go one after the other, as those before did", () => {
    const budget = spent();
    const now = START + 11_000;
    const cleared = (tokens: number) => clearanceMs(budget, 1, tokens, 100, now).at - START;
    // What was taken at 3 s comes free one span later, and again after each further span.
    for (const windows of [0, 1, 5]) expect(cleared(windows * 60_000 + 20_000)).toBe(3_000 + (windows + 1) * SPAN);
  });

  it("is not spent at once for some minutes, once somebody came who had to wait for it", () => {
    const goes = (late: boolean) => {
      const budget = spent();
      if (late) cameLate(budget, 100, START + 12_000);
      let now = START + 3 * SPAN;
      for (let call = 0; call < 300; call++) {
        now = readiness(budget, 100, now).at;
        reserve(budget, 100, now);
      }
      return now - START - 3 * SPAN;
    };
    expect(goes(false)).toBeLessThan(250);
    // A tenth at once, and the rest as it comes back.
    expect(goes(true)).toBeGreaterThan(23_000);
    const roomy = openBudget(LIMITS);
    cameLate(roomy, 100, START);
    reserve(roomy, 30_000, START);
    expect(readiness(roomy, 20_000, START + 250).at).toBe(START + 250);
  });
});
