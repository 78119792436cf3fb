import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  type Budget,
  charge,
  correct,
  hold,
  type Limits,
  neverFits,
  openBudget,
  type Resource,
  readiness,
  refund,
  refundTokens,
  reserve,
  retune,
  used,
} from "../../policy/budget.ts";
import { AHEAD_MS, type LedgerRecord, nextRecord, restore } from "../../policy/ledger.ts";
import { type Admitted, broken, START } from "./intervals.ts";

const LIMITS: Limits = { rpm: 600, tpm: 60_000, rpd: 10_000, tpd: 5_000_000, concurrency: null, burstSeconds: 60 };
/** Without limits per day: five seconds of those are less than a call, so each call would overtake the record. */
const BY_THE_MINUTE: Limits = { ...LIMITS, rpd: null, tpd: null };
const RESOURCES: Resource[] = ["rpm", "tpm", "rpd", "tpd"];

describe("a record", () => {
  it("is written with the first call, five seconds of rate ahead, and not again while it covers the truth", () => {
    const budget = openBudget(BY_THE_MINUTE);
    reserve(budget, 1_000, START);
    const record = nextRecord(budget, null, START)!;
    expect(record.at).toBe(START);
    expect(record.spent.rpm).toBeCloseTo(1 + 50, 9);
    expect(record.spent.tpm).toBeCloseTo(1_000 + 5_000, 9);
    reserve(budget, 5_000, START);
    expect(nextRecord(budget, record, START)).toBeNull();
    reserve(budget, 1, START);
    expect(nextRecord(budget, record, START)?.spent.tpm).toBeCloseTo(6_001 + 5_000, 9);
  });

  it.each([null, 60])(
    "is written once more than five seconds of rate came back: after a restart they are there (window: %s)",
    (windowSeconds) => {
      const limits = { ...BY_THE_MINUTE, windowSeconds, transitMs: 0 };
      const budget = openBudget(limits);
      reserve(budget, 50_000, START);
      const record = nextRecord(budget, null, START)!;
      refundTokens(budget, 4_000, START, START);
      expect(nextRecord(budget, record, START)).toBeNull();
      refundTokens(budget, 2_000, START, START);
      const next = nextRecord(budget, record, START)!;
      expect(nextRecord(budget, next, START)).toBeNull();
      const restored = openBudget(limits);
      restore(restored, next, START);
      expect(used(restored, "tpm", START)).toBeCloseTo(44_000 + 5_000, 9);
    },
  );

  it("is written for a longer hold, and brings it back", () => {
    const budget = openBudget(LIMITS);
    const record = nextRecord(budget, null, START)!;
    hold(budget, START + 9_000);
    const held = nextRecord(budget, record, START)!;
    expect(nextRecord(budget, held, START)).toBeNull();
    const restored = openBudget(LIMITS);
    restore(restored, held, START);
    // The record runs ahead, which one small call does not notice.
    expect(readiness(restored, 1, START)).toEqual({ at: START + 9_000, limitedBy: "retry" });
  });

  it("says nothing of a limit that was not there when it was written", () => {
    const record = nextRecord(openBudget({ ...LIMITS, rpd: null }), null, START)!;
    const restored = openBudget(LIMITS);
    restore(restored, record, START);
    expect(used(restored, "rpd", START)).toBe(0);
  });

  it("of a limit that was lowered since holds the pool back for one burst, not for the old one at the new rate", () => {
    const budget = openBudget(LIMITS);
    for (let call = 0; call < 590; call++) reserve(budget, 1, START);
    const record = nextRecord(budget, null, START)!;
    const lowered = openBudget({ ...LIMITS, rpm: 6 });
    restore(lowered, record, START);
    expect(readiness(lowered, 1, START).at - START).toBeLessThanOrEqual(60_000 + AHEAD_MS);
  });

  it("of a burst that was lowered since holds the pool back for the new one, not for what was spent of the old", () => {
    const generous = openBudget({ ...BY_THE_MINUTE, burstSeconds: 3_600 });
    // Upstream's headers tell of a minute's bucket: the rest counts as spent.
    correct(generous, "rpm", 35_000, START);
    const lowered = openBudget(BY_THE_MINUTE);
    restore(lowered, nextRecord(generous, null, START)!, START);
    expect(readiness(lowered, 1, START).at - START).toBeLessThanOrEqual(2_000 + AHEAD_MS);
    expect(used(lowered, "rpm", START)).toBeGreaterThanOrEqual(600);
  });
});

/**
 * Spends a burst, restarts with other limits, uses those for `ms` as far as they let, and goes back to the first ones. `counted`: what is spent of these then;
 * `truth`: what would be if they had been there all the time.
 */
function setBack(first: Limits, between: Limits, ms: number) {
  const budget = openBudget(first);
  while (readiness(budget, 1, START).at <= START) reserve(budget, 1, START);
  const sent = used(budget, "rpm", START);
  const lowered = openBudget(between);
  restore(lowered, nextRecord(budget, null, START, 0)!, START);
  let calls = 0;
  for (let now = START; now < START + ms; now += 100) {
    if (readiness(lowered, 1, now).at > now) continue;
    reserve(lowered, 1, now);
    calls++;
  }
  const back = openBudget(first);
  restore(back, nextRecord(lowered, null, START + ms, 0)!, START + ms);
  return { counted: used(back, "rpm", START + ms), truth: sent + calls - (first.rpm! * ms) / 60_000 };
}

describe("a limit that is lowered for some seconds, and then set back, lets no second burst go", () => {
  const full = { ...BY_THE_MINUTE, tpm: null };

  it.each([
    { what: "its burst alone", between: { ...full, burstSeconds: 2 } },
    { what: "its rate and its burst", between: { ...full, rpm: 300, burstSeconds: 2 } },
    { what: "its rate alone", between: { ...full, rpm: 300 } },
  ])("$what", ({ between }) => {
    for (const ms of [1_000, 30_000, 55_000]) {
      const { counted, truth } = setBack(full, between, ms);
      expect(counted).toBeGreaterThanOrEqual(truth - 1e-3);
    }
  });
});

describe("a debt", () => {
  const TPM = { ...BY_THE_MINUTE, rpm: null, tpm: 10_000 };
  const owing = () => {
    const budget = openBudget(TPM);
    reserve(budget, 1_000, START);
    charge(budget, 60_000, START);
    return budget;
  };
  const again = (record: LedgerRecord, limits = TPM) => {
    const budget = openBudget(limits);
    restore(budget, JSON.parse(JSON.stringify(record)) as LedgerRecord, START);
    return budget;
  };

  it("outlives a restart, and five of them without becoming more", () => {
    const budget = owing();
    let restored = budget;
    for (let restarts = 0; restarts < 5; restarts++) {
      restored = again(nextRecord(restored, null, START)!);
      expect(used(restored, "tpm", START)).toBeGreaterThanOrEqual(61_000);
      expect(used(restored, "tpm", START)).toBeLessThan(61_000.1);
      expect(readiness(restored, 1_000, START).at - readiness(budget, 1_000, START).at).toBeLessThan(1);
    }
  });

  it("is written once, not with each turn while it lasts", () => {
    const budget = owing();
    const record = nextRecord(budget, null, START + 333)!;
    for (let ms = 333; ms < 360_000; ms += 777) expect(nextRecord(budget, record, START + ms)).toBeNull();
    charge(budget, 60_000, START + 360_000);
    expect(nextRecord(budget, record, START + 360_000)).not.toBeNull();
  });

  it("of a limit that was lowered since is a burst's, and of one that was raised the same", () => {
    const record = nextRecord(owing(), null, START)!;
    expect(readiness(again(record, { ...TPM, tpm: 1_000 }), 1, START).at - START).toBeLessThanOrEqual(60_000 + AHEAD_MS);
    expect(used(again(record, { ...TPM, tpm: 20_000 }), "tpm", START)).toBeCloseTo(61_000, 2);
  });

  it("of a burst that was lowered since is as large as it was", () => {
    const record = nextRecord(owing(), null, START)!;
    // 61,000 were spent of 10,000 - a second's transit: 51,000 are owed, and of the new burst nothing is left.
    expect(used(again(record, { ...TPM, burstSeconds: 30 }), "tpm", START)).toBeCloseTo(51_000 + 5_000 + 10_000 / 12, 2);
  });

  it("of a record that does not know its rate is a burst's", () => {
    const { perMs: _, ...old } = nextRecord(owing(), null, START)!;
    expect(used(again(old), "tpm", START)).toBeCloseTo(10_000 + 10_000 / 12, 6);
    expect(nextRecord(again(old), old, START)).not.toBeNull();
  });
});

it("a limit that is followed to another rate is written, though no more was spent", () => {
  const budget = openBudget(BY_THE_MINUTE);
  reserve(budget, 1_000, START);
  const record = nextRecord(budget, null, START)!;
  retune(budget, "tpm", { ...BY_THE_MINUTE, tpm: 30_000 });
  expect(nextRecord(budget, record, START)).not.toBeNull();
});

type Step = { ms: number; share: number; do: "call" | "void" | "charge" | "hold" | "crash" | "step back" };
const step: fc.Arbitrary<Step> = fc.record({
  ms: fc.oneof(fc.nat(50), fc.nat(3_000), fc.nat(60_000)),
  share: fc.double({ min: 0, max: 1, noNaN: true }),
  do: fc.constantFrom("call", "call", "call", "call", "void", "charge", "hold", "crash", "step back"),
});
const limits: fc.Arbitrary<Limits> = fc.record({
  rpm: fc.constantFrom(null, 1, 60, 30_000),
  tpm: fc.constantFrom(null, 10, 60_000, 180_000_000),
  rpd: fc.constantFrom(null, 1, 1_000),
  tpd: fc.constantFrom(null, 100, 5_000_000),
  concurrency: fc.constant(null),
  burstSeconds: fc.constantFrom(1, 60, 600),
});

type Total = { writes: number; requests: number; tokens: number };

/** Plays a life of turns: a step, then a record if one is due. `watch` sees the last record written. */
function live(
  limits: Limits,
  steps: Step[],
  watch: (budget: Budget, record: LedgerRecord | null, now: number, total: Total) => void,
): Admitted[] {
  let budget = openBudget(limits);
  let record: LedgerRecord | null = null;
  let admitted: Admitted[] = [];
  let now = START;
  let latest = 0;
  const total: Total = { writes: 0, requests: 0, tokens: 0 };
  for (const step of steps) {
    if (step.do === "step back") now -= step.ms % 5_000;
    else now += step.ms;
    if (step.do === "hold") hold(budget, now + step.share * 10_000);
    // A call took more than it reserved: the excess is owed, and nothing starts until it is paid off.
    if (step.do === "charge") charge(budget, step.share * (limits.tpm ?? 1), now);
    if (step.do === "crash") {
      budget = openBudget(limits);
      if (record) restore(budget, record, now);
    }
    const tokens = step.share * Math.min(limits.tpd ?? 1e9, ((limits.tpm ?? 1e9) * limits.burstSeconds) / 60);
    if ((step.do === "call" || step.do === "void") && !neverFits(budget, tokens) && readiness(budget, tokens, now).at <= now) {
      const reservation = reserve(budget, tokens, now);
      total.requests++;
      total.tokens += tokens;
      latest = Math.max(latest, now);
      if (step.do === "call") admitted = [...admitted, { at: latest, tokens }];
      else refund(budget, reservation, now);
    }
    const next = nextRecord(budget, record, now);
    if (next) total.writes++;
    record = next ?? record;
    watch(budget, record, now, total);
  }
  return admitted;
}

describe("random histories", () => {
  // Law: at any later instant, what is restored after a crash is never less spent, nor less silent, than the truth.
  it("never restore less than the truth, wherever the crash falls", () => {
    fc.assert(
      fc.property(limits, fc.array(step, { maxLength: 40 }), fc.array(fc.nat(120_000)), (limits, steps, later) => {
        live(limits, steps, (budget, record, now) => {
          const restored = openBudget(limits);
          if (record) restore(restored, record, now);
          expect(restored.heldUntil).toBeGreaterThanOrEqual(budget.heldUntil);
          for (const ms of [0, ...later]) {
            for (const each of RESOURCES) {
              const truth = used(budget, each, now + ms);
              expect(used(restored, each, now + ms)).toBeGreaterThanOrEqual(truth - 1e-6 - truth * 1e-12);
            }
          }
        });
      }),
      { numRuns: 300 },
    );
  });

  it("never go over budget in any interval, crashes and all", () => {
    fc.assert(
      fc.property(limits, fc.array(step, { maxLength: 80 }), (limits, steps) => {
        expect(
          broken(
            live(limits, steps, () => {}),
            limits,
          ),
        ).toEqual([]);
      }),
      { numRuns: 300 },
    );
  });

  // Law: between two records, five seconds of some rate were spent or refilled unused.
  it("write no more than a record for each five seconds of rate", () => {
    fc.assert(
      fc.property(limits, fc.array(step, { maxLength: 100 }), (limits, steps) => {
        const calm = steps.map((each): Step => ({ ...each, do: "call" }));
        let last: { at: number; writes: number; requests: number; tokens: number } | null = null;
        live(limits, calm, (budget, _, now, { writes, requests, tokens }) => {
          if (writes === last?.writes) return;
          if (last) {
            const elapsed = Math.max(0, now - last.at);
            const since = { requests: requests - last.requests, tokens: tokens - last.tokens };
            const overtaken = budget.meters.filter(
              ({ counts, rate }) => since[counts] + rate.perMs * elapsed >= rate.perMs * AHEAD_MS * (1 - 1e-9),
            );
            expect(overtaken).not.toEqual([]);
          }
          last = { at: now, writes, requests, tokens };
        });
      }),
      { numRuns: 300 },
    );
  });

  it.each([
    { name: "requests", tokens: 0, every: 100 },
    { name: "tokens", tokens: 2_000, every: 2_000 },
    { name: "half the rate", tokens: 500, every: 1_000 },
  ])("of ten minutes at a steady rate ($name) write a record each five seconds at most", ({ tokens, every }) => {
    const budget = openBudget(BY_THE_MINUTE);
    let record: LedgerRecord | null = null;
    let writes = 0;
    let calls = 0;
    for (let now = START; now < START + 600_000; now += every) {
      if (readiness(budget, tokens, now).at > now) continue;
      reserve(budget, tokens, now);
      calls++;
      const next = nextRecord(budget, record, now);
      if (next) writes++;
      record = next ?? record;
    }
    expect(calls).toBeGreaterThan(250);
    expect(writes).toBeLessThanOrEqual(600_000 / AHEAD_MS + 1);
  });

  it("write a burst of a minute down a dozen times, not once a call", () => {
    const budget = openBudget(BY_THE_MINUTE);
    let record: LedgerRecord | null = null;
    let writes = 0;
    for (let call = 0; call < 590; call++) {
      reserve(budget, 10, START);
      const next = nextRecord(budget, record, START);
      if (next) writes++;
      record = next ?? record;
    }
    expect(writes).toBe(Math.ceil(590 / (50 + 1)));
  });
});
