/** Limits per day as upstream's headers report them, and what is left of them. */
import { describe, expect, it } from "vitest";
import { free, openBudget, reserve, used } from "../../policy/budget.ts";
import { Learned } from "../../policy/learned.ts";
import type { LimitReading } from "../../schemas/rate.ts";
import { CONFIGURED, RPM, TPM } from "./account.ts";
import { START } from "./intervals.ts";

describe("what an answer tells of the day", () => {
  const DAY = 86_400_000;
  const limits = { ...CONFIGURED, rpd: 10_000, tpd: 5_000_000 };
  const of = (limit: number, left: number): LimitReading => ({ limit, remaining: left, resetMs: ((limit - left) / limit) * DAY });

  type Heard = { calls: number; tokens: LimitReading | null; at: number; now: number; more: object };
  /** Makes our calls of the first second, then hears what an answer from `at` says: at once, or later at `now`. */
  function heard(requests: LimitReading, { calls = 100, tokens = null, at = 2_000, now = at, more = {} }: Partial<Heard> = {}) {
    const budget = openBudget({ ...limits, ...more });
    const learned = new Learned({ limits: { ...limits, ...more }, most: { rpm: RPM, tpm: TPM } }, START);
    for (let call = 0; call < calls; call++) {
      reserve(budget, 1_000, START + call * 10);
      learned.started(budget, 1_000, START + call * 10);
    }
    const tell = (left: LimitReading, when: number, then = when) =>
      learned.take(
        { pool: "p", job: "j", sentAt: START + when - 50, at: START + when, requests: left, tokens },
        null,
        budget,
        START + then,
      );
    return {
      budget,
      changes: tell(requests, at, now),
      learned,
      tell,
      left: (resource: "rpd" | "tpd" | "rpm") => free(budget, resource, START + now),
    };
  }

  it("others used most of it -> no more is left to us, and a later word that more is left gives nothing back", () => {
    const { budget, left, tell } = heard(of(10_000, 200), { tokens: of(5_000_000, 100_000) });
    expect(left("rpd")).toBeCloseTo(200, 6);
    expect(left("tpd")).toBeCloseTo(100_000, 6);
    expect(left("rpm")).toBeGreaterThan(RPM - 120);
    tell(of(10_000, 5_000), 3_000);
    expect(free(budget, "rpd", START + 3_000)).toBeCloseTo(200, 0);
  });

  it("more is gone than there is -> what an operator takes back of it is never what our calls spent", () => {
    // An answer from before our calls, heard after them: others used everything.
    const { budget, left, learned } = heard(of(10_000, 0), { calls: 500, at: 100, now: 6_000 });
    expect(left("rpd")).toBe(0);
    learned.reset(budget, START + 6_000);
    expect(used(budget, "rpd", START + 6_000)).toBeGreaterThan(490);
    expect(used(budget, "rpd", START + 6_000)).toBeLessThanOrEqual(500);
  });

  it("an answer from before another tells nothing", () => {
    const { budget, tell } = heard(of(10_000, 5_000));
    tell(of(10_000, 200), 1_500, 3_000);
    expect(free(budget, "rpd", START + 3_000)).toBeGreaterThan(4_999);
  });

  it("ours alone: nothing is corrected, whether all of them had arrived or none, and those that left since are not in it", () => {
    const alone = heard(of(10_000, 9_900)).left("rpd");
    expect(alone).toBeCloseTo(9_900, 0);
    expect(heard(of(10_000, 10_000)).left("rpd")).toBeCloseTo(alone, 0);
    expect(heard(of(10_000, 9_949), { at: 500, now: 2_000 }).left("rpd")).toBeCloseTo(alone, 0);
  });

  it("and nobody says when it is whole again: nothing of the minute changes", () => {
    const { left } = heard({ ...of(10_000, 200), resetMs: null });
    expect(left("rpm")).toBeGreaterThan(RPM - 120);
    expect(left("rpd")).toBeCloseTo(200, 6);
  });

  it("where upstream counts in windows, the time until the day's end is the day's, however much of it was spent", () => {
    const left = heard({ limit: 10_000, remaining: 9_000, resetMs: 3 * 3_600_000 }, { more: { windowSeconds: 60 } }).left("rpd");
    expect(left).toBeCloseTo(9_000, 6);
  });
});

describe("the limit of a day itself", () => {
  const DAY = 86_400_000;
  const HOUR = 3_600_000;
  const of = (limit: number, left = limit - 10): LimitReading => ({ limit, remaining: left, resetMs: ((limit - left) / limit) * DAY });
  const minute: LimitReading = { limit: RPM, remaining: RPM - 10, resetMs: (10 / RPM) * 60_000 };

  function open({ rpd = null, most = rpd }: { rpd?: number | null; most?: number | null } = {}) {
    const limits = { ...CONFIGURED, rpd };
    const bounds = { limits, most: { rpm: RPM, tpm: TPM, rpd: most } };
    const budget = openBudget(limits);
    const learned = new Learned(bounds, START);
    const tell = (requests: LimitReading, ms: number, into = { learned, budget }) => {
      const at = START + ms;
      return into.learned.take({ pool: "p", job: "j", sentAt: at - 50, at, requests, tokens: null }, null, into.budget, at);
    };
    return { bounds, budget, learned, limits, tell };
  }

  it.each<[string, LimitReading, number]>([
    ["as some models tell it", of(10_000, 9_000), 10_000],
    ["smaller than the minute's", of(200, 199), 200],
    ["just after it was cut", { limit: 200, remaining: null, resetMs: 85_000_000 }, 200],
  ])("%s: is followed where none is configured, and what is left of it is heeded", (_, told, limit) => {
    const { budget, learned, tell } = open();
    expect(tell(told, 1_000)).toEqual([{ resource: "rpd", from: null, to: limit }]);
    expect(learned.limits).toEqual({ rpm: RPM, tpm: TPM, rpd: limit, tpd: null });
    expect(free(budget, "rpd", START + 1_000)).toBeCloseTo(told.remaining ?? limit, 1);
    expect(free(budget, "rpm", START + 1_000)).toBeGreaterThan(RPM - 11);
  });

  it("told for the first time while calls are under way: those that may not have arrived are not left to us as well", () => {
    const { budget, learned, tell } = open();
    for (let call = 0; call < 20; call++) {
      reserve(budget, 10, START + 2_000 + call * 100);
      learned.started(budget, 10, START + 2_000 + call * 100);
    }
    tell(of(60, 55), 4_000);
    // Ten were let go in the second before the answer's call was sent; upstream may have counted none of them.
    expect(free(budget, "rpd", START + 4_000)).toBeLessThanOrEqual(55 - 10);
    expect(free(budget, "rpd", START + 4_000)).toBeGreaterThanOrEqual(55 - 13);
    // From then on they are part of what is known to be spent.
    tell(of(60, 40), 4_500);
    expect(free(budget, "rpd", START + 4_500)).toBeCloseTo(40, 0);
  });

  it("lowered at once, raised by steps, within the operator's bounds", () => {
    const { learned, tell } = open({ rpd: 10_000 });
    tell(of(4_000), 1_000);
    expect(learned.limits.rpd).toBe(4_000);
    tell(of(20_000), 5_000);
    expect(learned.limits.rpd).toBe(4_000);
    const followed = Array.from({ length: 6 }, (_, step) => {
      tell(of(20_000), 11_000 + step * 10_000);
      return learned.limits.rpd;
    });
    expect(followed).toEqual([5_000, 6_250, 7_812.5, 9_765.625, 10_000, 10_000]);
    const wide = open({ rpd: 10_000, most: 12_000 });
    wide.tell(of(20_000), 1_000);
    expect(wide.learned.limits.rpd).toBe(12_000);
  });

  it("told no more for ten minutes, while the minute's is -> as configured again; before that it stands", () => {
    const { budget, learned, tell } = open();
    tell(of(10_000), 1_000);
    tell(minute, 600_000);
    expect(learned.limits.rpd).toBe(10_000);
    expect(tell(minute, 602_000)).toEqual([{ resource: "rpd", from: 10_000, to: null }]);
    expect(budget.meters.map(({ resource }) => resource).sort()).toEqual(["rpm", "tpm"]);
  });

  it("goes on after a restart, within the bounds of then, until it is told anew", () => {
    const before = open();
    before.tell(of(5_000), 1_000);
    const budget = openBudget(before.limits);
    const learned = new Learned(before.bounds, START + HOUR);
    learned.restore(before.learned.record(), budget, START + HOUR);
    expect(learned.limits.rpd).toBe(5_000);
    before.tell(minute, HOUR + 1_000, { learned, budget });
    expect(learned.limits.rpd).toBe(5_000);
    before.tell(of(6_000), HOUR + 2_000, { learned, budget });
    expect(learned.limits.rpd).toBe(6_000);
    const bound = open({ rpd: 3_000 });
    bound.learned.restore(before.learned.record(), bound.budget, START);
    expect(bound.learned.limits.rpd).toBe(3_000);
  });

  it("one that was as configured says nothing to other settings", () => {
    const [before, after] = [open({ rpd: 5_000 }), open({ rpd: 9_000 })];
    before.tell(of(5_000, 1_000), 1_000);
    after.learned.restore(before.learned.record(), after.budget, START + 2_000);
    expect(after.learned.limits.rpd).toBe(9_000);
  });
});

describe("an operator resumes", () => {
  const DAY = 86_400_000;
  const limits = { ...CONFIGURED, rpd: 10_000 };

  function open() {
    const budget = openBudget(limits);
    const learned = new Learned({ limits, most: { rpm: RPM, tpm: TPM, rpd: 10_000 } }, START);
    for (let call = 0; call < 100; call++) {
      reserve(budget, 1_000, START);
      learned.started(budget, 1_000, START);
    }
    const told = { limit: 10_000, remaining: 50, resetMs: (9_950 / 10_000) * DAY };
    learned.take(
      { pool: "p", job: "j", sentAt: START + 950, at: START + 1_000, requests: told, tokens: null },
      null,
      budget,
      START + 1_000,
    );
    return { budget, learned };
  }

  it("what an answer took of the day is there again; what our own calls did is not", () => {
    const { budget, learned } = open();
    expect(free(budget, "rpd", START + 1_000)).toBeCloseTo(50, 6);
    learned.reset(budget, START + 1_000);
    expect(free(budget, "rpd", START + 1_000)).toBeCloseTo(9_900, 0);
  });

  it("an hour later, and after a restart, too: what refilled is given once", () => {
    const { budget, learned } = open();
    expect(learned.isNotable).toBe(true);
    const record = learned.record();
    expect(learned.isNotable).toBe(false);
    const woken = new Learned({ limits, most: { rpm: RPM, tpm: TPM, rpd: 10_000 } }, START + 3_600_000);
    woken.restore(record, budget, START + 3_600_000);
    woken.reset(budget, START + 3_600_000);
    expect(free(budget, "rpd", START + 3_600_000)).toBeCloseTo(9_900, 0);
    woken.reset(budget, START + 3_600_000);
    expect(free(budget, "rpd", START + 3_600_000)).toBeCloseTo(9_900, 0);
  });

  it("nobody else is on the account, until an answer tells", () => {
    const budget = openBudget(CONFIGURED);
    const learned = new Learned({ limits: CONFIGURED, most: { rpm: RPM, tpm: TPM } }, START);
    for (const second of [1, 7, 13]) {
      const at = START + second * 1_000;
      const requests = { limit: RPM, remaining: RPM - 100 - second * 5, resetMs: ((100 + second * 5) / RPM) * 60_000 };
      learned.take({ pool: "p", job: "j", sentAt: at - 50, at, requests, tokens: null }, null, budget, at);
    }
    expect(learned.others(START + 13_000).requests).toBeGreaterThan(RPM / 4);
    learned.reset(budget, START + 13_000);
    expect(learned.others(START + 13_000).requests).toBe(0);
  });
});
