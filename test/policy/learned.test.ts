import { describe, expect, it } from "vitest";
import { free, openBudget, readiness, reserve } from "../../policy/budget.ts";
import { Learned } from "../../policy/learned.ts";
import type { LimitReading, PoolReading } from "../../schemas/rate.ts";
import { type Account, CONFIGURED, Log, Minutes, play, RPM, TPM, type World } from "./account.ts";
import { START } from "./intervals.ts";

describe("alone on the account", () => {
  // Law: what upstream reports because of our own calls is not taken for others' use.
  it.each([0, 20, 100, 250])("nothing is corrected and nobody else seen, though calls arrive %i ms apart and headers late", (jitterMs) => {
    for (const seed of [1, 2, 3]) {
      const { learned, ours, refused } = play({ minutes: 6, seed, jitterMs });
      expect(refused).toBe(0);
      expect(learned.others(START + 360_000).requests).toBeLessThan(RPM * 0.02);
      expect(ours).toBeGreaterThan(RPM * 6.85);
    }
  });

  it.each([5, 20])("a burst that takes its time to leave, %i ms a call: nobody else is seen, and little is lost", (sendMs) => {
    const { foreign, ours, refused } = play({ minutes: 6, sendMs });
    expect(Math.max(...foreign)).toBeLessThan(RPM * 0.05);
    expect(ours).toBeGreaterThan(RPM * 6.6);
    expect(refused).toBeLessThan(sendMs * 4);
  });

  it("headers that come ten seconds late, and in any order: still nothing", () => {
    const { learned, ours, refused } = play({ minutes: 6, staleMs: 10_000 });
    expect(refused).toBe(0);
    expect(ours).toBeGreaterThan(RPM * 6.9);
    expect(learned.others(START + 360_000).requests).toBeLessThan(RPM * 0.02);
  });
});

describe("others on the same key", () => {
  const thirty = (minute: number) => (minute >= 2 && minute < 12 ? RPM * 0.3 : 0);

  it("what they spend is seen, and when they stop, too", () => {
    const { foreign } = play({ minutes: 18, others: thirty });
    expect(foreign[1]).toBeLessThan(10);
    for (const minute of [5, 7, 9, 11]) expect(Math.abs(foreign[minute]! / (RPM * 0.3) - 1)).toBeLessThan(0.3);
    expect(foreign.at(-1)).toBeLessThan(RPM * 0.05);
  });

  it("their calls make few of ours fail; without learning, many", () => {
    const [with_, without] = [true, false].map((learns) => play({ minutes: 14, others: thirty, learns }));
    expect(without!.refused).toBeGreaterThan(500);
    expect(with_!.refused).toBeLessThan(without!.refused / 20);
    // Everything that was available was spent by somebody.
    expect(with_!.ours + with_!.theirs).toBeGreaterThan(RPM * 14 * 0.98);
  });
});

describe("a project's tokens beside the organisation's", () => {
  // The two limits take turns at being the scarcer one.
  const world: World = {
    ...{ minutes: 10, project: TPM / 3, tokens: 2_000, theirTokens: 40_000 },
    others: (minute) => (minute >= 2 && minute % 2 < 1 ? 9 : 0),
  };
  const alone = play({ ...world, others: () => 0 });

  it("the lower limit is followed and not left again, whichever is scarcer", () => {
    const { changes, learned, refused } = play(world);
    expect(changes).toEqual([{ resource: "tpm", from: TPM, to: TPM / 3 }]);
    expect(learned.limits.tpm).toBe(TPM / 3);
    expect(refused).toBeLessThan(alone.refused + 20);
  });

  it("what others spend is no more than they do, and what the organisation has for them is not taken from the project", () => {
    const { foreignTokens, ours } = play(world);
    expect(Math.max(...foreignTokens)).toBeLessThan(9 * 40_000 * 1.5);
    expect(ours).toBeGreaterThan(alone.ours * 0.95);
  });

  it("a project's limit that is told no more is forgotten after a minute", () => {
    const budget = openBudget(CONFIGURED);
    const learned = new Learned({ limits: CONFIGURED, most: { rpm: RPM, tpm: TPM } }, START);
    const of = (limit: number) => ({ limit, remaining: limit - 1_000, resetMs: (1_000 / limit) * 60_000 });
    const tell = (second: number, projectTokens?: LimitReading) => {
      const at = START + second * 1_000;
      learned.take(
        { pool: "p", job: "j", sentAt: at - 50, at, requests: null, tokens: of(TPM), ...(projectTokens && { projectTokens }) },
        null,
        budget,
        at,
      );
      return learned.limits.tpm;
    };
    expect(tell(1, of(TPM / 3))).toBe(TPM / 3);
    expect(tell(30)).toBe(TPM / 3);
    expect(tell(62)).toBeGreaterThan(TPM / 3);
  });
});

it("a pool that may use half of the account loses nothing to others who use the other half, once they have used more", () => {
  const half = { rpm: RPM / 2, tpm: TPM / 2 };
  const others = (minute: number) => (minute < 1 ? 0 : minute < 1.5 ? RPM : RPM / 2);
  const { foreign, ours, refused } = play({ minutes: 10, configured: half, most: half, others });
  // The first minute also has a burst.
  expect(ours).toBeGreaterThan((RPM / 2) * 11 * 0.95);
  for (const minute of [4, 6, 8]) expect(Math.abs(foreign[minute]! / (RPM / 2) - 1)).toBeLessThan(0.3);
  expect(refused).toBeLessThan(20);
});

describe.each([
  ["counts the last minute", Log],
  ["counts from zero with each minute", Minutes],
])("an upstream that %s", (_, windowed) => {
  const thirty = (minute: number) => (minute >= 2 && minute < 8 ? RPM * 0.3 : 0);

  it("alone: nothing is corrected", () => {
    const [with_, without] = [true, false].map((learns) => play({ minutes: 6, windowed, learns }));
    expect(with_!.refused).toBe(0);
    expect(with_!.ours).toBeGreaterThan(without!.ours * 0.99);
  });

  it("others: few of our calls fail; without learning, many", () => {
    const [with_, without] = [true, false].map((learns) => play({ minutes: 10, windowed, others: thirty, learns }));
    expect(without!.refused).toBeGreaterThan(300);
    expect(with_!.refused).toBeLessThan(without!.refused / 5);
    // Without learning, what others fail to get is ours.
    expect(with_!.ours).toBeGreaterThan(without!.ours * 0.95);
  });
});

describe("a pool whose upstream counts in windows, late in one", () => {
  const limits = { ...CONFIGURED, windowSeconds: 60 };

  it.each([
    ["nothing is left: nothing starts", { limit: RPM, remaining: 0, resetMs: 20_000 }, RPM],
    ["the limit was cut by half: it is followed", { limit: RPM / 2, remaining: 0, resetMs: 15_000 }, RPM / 2],
  ])("%s", (_, requests, limit) => {
    const budget = openBudget(limits);
    const learned = new Learned({ limits, most: { rpm: RPM, tpm: TPM } }, START);
    learned.take({ pool: "p", job: "j", sentAt: START + 950, at: START + 1_000, requests, tokens: null }, null, budget, START + 1_000);
    expect(learned.limits.rpm).toBe(limit);
    expect(free(budget, "rpm", START + 1_000)).toBe(0);
  });
});

describe("a limit that upstream changes", () => {
  const halved = (account: Account, minute: number) => {
    const part = minute >= 2 && minute < 6 ? 0.5 : 1;
    account.limits = { requests: RPM * part, tokens: TPM * part };
  };

  it("is followed down at once and up by steps, to where it was", () => {
    const { changes, learned, refused } = play({ minutes: 10, account: halved });
    const requests = changes.flatMap((change) => ("resource" in change && change.resource === "rpm" ? [change.to!] : []));
    expect(requests[0]).toBe(RPM / 2);
    expect(requests.length).toBeGreaterThan(2);
    for (const [index, to] of requests.entries()) if (index > 0) expect(to / requests[index - 1]!).toBeLessThanOrEqual(1.25);
    expect(learned.limits).toMatchObject({ rpm: RPM, tpm: TPM });
    // Two seconds of calls pass before the new limit is believed.
    expect(refused).toBeLessThan(30);
  });

  it("beyond what the operator allows is not followed; within it, it is", () => {
    const doubled = (account: Account) => {
      account.limits = { requests: RPM * 2, tokens: TPM * 2 };
    };
    expect(play({ minutes: 4, account: doubled }).learned.limits.rpm).toBe(RPM);
    const { learned, ours } = play({ minutes: 6, account: doubled, most: { rpm: RPM * 1.5, tpm: TPM * 1.5 } });
    expect(learned.limits.rpm).toBe(RPM * 1.5);
    expect(ours).toBeGreaterThan(RPM * 8);
  });

  it.each([
    ["by steps", [RPM / 3, RPM / 10]],
    ["at once", [RPM / 10]],
  ])("with no word of when it is whole again: a deep cut is followed, %s, and back up", (_, cuts) => {
    const budget = openBudget(CONFIGURED);
    const learned = new Learned({ limits: CONFIGURED, most: { rpm: RPM, tpm: TPM } }, START);
    let at = START;
    const tell = (limit: number) => {
      at += 10_000;
      learned.take(
        { pool: "p", job: "j", sentAt: at - 50, at, requests: { limit, remaining: limit - 1, resetMs: null }, tokens: null },
        null,
        budget,
        at,
      );
      return learned.limits.rpm;
    };
    for (const cut of cuts) expect(tell(cut)).toBe(cut);
    for (let step = 0; step < 11; step++) tell(RPM);
    expect(learned.limits.rpm).toBe(RPM);
  });

  it.each([3, 100, 600])(
    "cut to its %i-th part after a burst: what was allowed before is owed for a minute, for without a call nobody tells that it is back",
    (part) => {
      const budget = openBudget(CONFIGURED);
      const learned = new Learned({ limits: CONFIGURED, most: { rpm: RPM, tpm: TPM } }, START);
      for (let call = 0; call < RPM - 20; call++) {
        reserve(budget, 1, START);
        learned.started(budget, 1, START);
      }
      const at = START + 1_000;
      const requests = { limit: RPM / part, remaining: 0, resetMs: 60_000 };
      learned.take({ pool: "p", job: "j", sentAt: at - 50, at, requests, tokens: null }, null, budget, at);
      const waits = readiness(budget, 1, at).at - at;
      expect(waits).toBeGreaterThan(0);
      expect(waits).toBeLessThanOrEqual(60_000 + (60_000 / RPM) * part);
    },
  );

  it("just after a cut, with no word that makes sense of what is left: it is followed, and what is left stays as it is", () => {
    const budget = openBudget(CONFIGURED);
    const learned = new Learned({ limits: CONFIGURED, most: { rpm: RPM, tpm: TPM }, refund: true }, START);
    const cut = (limit: number) => ({ limit, remaining: null, resetMs: 1_000 });
    const at = START + 1_000;
    learned.take({ pool: "p", job: "j", sentAt: at - 50, at, requests: cut(RPM / 2), tokens: cut(TPM / 2) }, null, budget, at);
    expect(learned.limits).toMatchObject({ rpm: RPM / 2, tpm: TPM / 2 });
    expect(free(budget, "rpm", at)).toBeCloseTo((RPM / 2) * (59 / 60), 6);
  });

  it("a high one is followed while so little of it is spent that all is free again within a millisecond", () => {
    const limits = { ...CONFIGURED, rpm: 30_000, tpm: 180_000_000 };
    const budget = openBudget(limits);
    const learned = new Learned({ limits, most: { rpm: 30_000, tpm: 180_000_000 } }, START);
    const at = START + 1_000;
    const requests = { limit: 15_000, remaining: 14_999, resetMs: 1 };
    const tokens = { limit: 90_000_000, remaining: 90_000_000 - 900, resetMs: 0 };
    learned.take({ pool: "p", job: "j", sentAt: at - 50, at, requests, tokens }, null, budget, at);
    expect(learned.limits).toMatchObject({ rpm: 15_000, tpm: 90_000_000, rpd: null, tpd: null });
  });

  it("an answer that is heard after a newer one lowers nothing, however late it comes", () => {
    const budget = openBudget(CONFIGURED);
    const learned = new Learned({ limits: CONFIGURED, most: { rpm: RPM, tpm: TPM } }, START);
    const told = (limit: number, ago: number): PoolReading => {
      const at = START + 300_000 - ago;
      const requests = { limit, remaining: limit - 10, resetMs: (10 / limit) * 60_000 };
      return { pool: "p", job: "j", sentAt: at - 50, at, requests, tokens: null };
    };
    learned.take(told(RPM, 0), null, budget, START + 300_000);
    expect(learned.take(told(RPM / 2, 240_000), null, budget, START + 300_100)).toEqual([]);
    expect(learned.limits.rpm).toBe(RPM);
    // A newer answer is followed.
    expect(learned.take(told(RPM / 2, -2_000), null, budget, START + 302_100)).toHaveLength(1);
  });

  it("what was learned goes on after a restart, within the bounds of then", () => {
    const budget = openBudget(CONFIGURED);
    const learned = new Learned({ limits: CONFIGURED, most: { rpm: RPM, tpm: TPM } }, START);
    learned.restore({ rpm: RPM / 2, tpm: TPM * 9 }, budget, START);
    expect(learned.limits).toMatchObject({ rpm: RPM / 2, tpm: TPM });
    expect(free(budget, "rpm", START)).toBeCloseTo(RPM / 2 - RPM / 2 / 60, 6);
  });
});

describe("headers that are neither the minute's nor the day's", () => {
  const budget = () => openBudget(CONFIGURED);
  const learned = () => new Learned({ limits: CONFIGURED, most: { rpm: RPM, tpm: TPM } }, START);
  const reading = (requests: LimitReading): PoolReading => ({ pool: "p", job: "j", sentAt: START, at: START + 50, requests, tokens: null });

  it.each<[string, LimitReading]>([
    ["of a window that has just begun", { limit: RPM, remaining: 1, resetMs: 1_000 }],
    ["of another order, with no reset", { limit: 1e9, remaining: 0, resetMs: null }],
  ])("%s: nothing changes", (_, requests) => {
    const mine = budget();
    expect(learned().take(reading(requests), null, mine, START + 100)).toEqual([]);
    expect(free(mine, "rpm", START + 100)).toBeGreaterThan(RPM - 11);
  });

  it("an answer to a call from before the object woke: limits are followed, levels are not judged", () => {
    const mine = budget();
    const old = { ...reading({ limit: RPM, remaining: 0, resetMs: 60_000 }), sentAt: START - 500, at: START - 100 };
    learned().take(old, null, mine, START + 100);
    expect(free(mine, "rpm", START + 100)).toBeGreaterThan(RPM - 11);
  });
});

describe("calls that reserve five times what they use", () => {
  const calls = { minutes: 8, tokens: 5_000, uses: 1_000 };
  const byReservation = (TPM / calls.tokens) * 9;

  it.each([
    [0, 20],
    [200, 200],
    [2_000, 5_000],
  ])("where upstream gives the rest back, it is spent again (headers up to %i ms late, answers of %i ms)", (staleMs, answerMs) => {
    for (const seed of [1, 2, 3]) {
      const { ours, refused } = play({ ...calls, seed, staleMs, answerMs, refunds: true, refund: true });
      expect(ours).toBeGreaterThan(byReservation * 2);
      expect(refused).toBe(0);
    }
  });

  it("unless the operator wants it, it is not", () => {
    const { ours, refused } = play({ ...calls, refunds: true });
    expect(ours).toBeLessThanOrEqual(byReservation);
    expect(refused).toBe(0);
  });

  it.each([0, 20, 100, 250])("where upstream keeps it, nothing is: not one call is refused, though they arrive %i ms apart", (jitterMs) => {
    for (const seed of [1, 2, 3]) {
      const { ours, refused } = play({ ...calls, seed, jitterMs, refund: true });
      expect(refused).toBe(0);
      expect(ours).toBeLessThanOrEqual(byReservation);
    }
  });

  it("others on the same key: what they spend is not taken for free", () => {
    const others = (minute: number) => (minute >= 2 && minute < 6 ? RPM * 0.3 : 0);
    const [with_, without] = [true, false].map((refund) => play({ ...calls, others, refunds: true, refund }));
    expect(with_!.ours).toBeGreaterThan(without!.ours * 1.5);
    expect(with_!.refused).toBeLessThan(with_!.ours / 100);
    // Others' spending and refunds cannot be told apart, so others' pace of tokens is not computed when refunds are looked for.
    const [looked, not] = [true, false].map((refund) => play({ ...calls, minutes: 5, others, refund }).learned.others(START + 300_000));
    expect(looked!.tokens).toBe(0);
    expect(not!.tokens).toBeGreaterThan(0);
  });

  describe("one answer", () => {
    const SPENT = 300_000;

    /**
     * A call of `SPENT` tokens at the start. Ten seconds later an answer says that `counted` are spent; it is heard `heardMs` after that. Returns how much is
     * freed.
     */
    function heard(counted: number, { heardMs = 0, refusedAt = 0 } = {}) {
      const budget = openBudget(CONFIGURED);
      const learned = new Learned({ limits: CONFIGURED, most: { rpm: RPM, tpm: TPM }, refund: true }, START);
      reserve(budget, SPENT, START);
      learned.started(budget, SPENT, START);
      if (refusedAt > 0) learned.refused(1, refusedAt);
      const at = START + 10_000;
      const tokens = { limit: TPM, remaining: TPM - counted, resetMs: (counted / TPM) * 60_000 };
      const before = free(budget, "tpm", at + heardMs);
      learned.take({ pool: "p", job: "j", sentAt: at - 50, at, requests: null, tokens }, null, budget, at + heardMs);
      return free(budget, "tpm", at + heardMs) - before;
    }

    it("half of what it shows is believed, less what a second refills", () => {
      expect(heard(100_000)).toBeCloseTo((SPENT - 100_000 - 100_000 - 10_000) / 2, 0);
    });

    it("within what a second refills it shows nothing", () => {
      expect(heard(SPENT - 100_000 - 9_000)).toBe(0);
    });

    it("heard late, what upstream's bucket could not take in meanwhile is not believed", () => {
      expect(heard(1_000, { heardMs: 10_000 })).toBeCloseTo((SPENT - 100_000 - 1_000 - 10_000 - 99_000) / 2, 0);
    });

    it("for a minute after a refusal it is not believed", () => {
      expect(heard(100_000, { refusedAt: START + 5_000 })).toBe(0);
      expect(heard(100_000, { refusedAt: START - 51_000 })).toBeGreaterThan(0);
    });
  });
});
