/** Two limits reported under the same header name: another bucket's is not the pool's; the pool's own, when it changes, is. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { openBudget, readiness, reserve, used } from "../../policy/budget.ts";
import { Learned } from "../../policy/learned.ts";
import { OwnLimit } from "../../policy/own-limit.ts";
import { START } from "./intervals.ts";

const [OWN, OTHER, THIRD] = [2_000_000, 200_000, 1_000_000];
const LIMITS = { rpm: 5_000, tpm: OWN, rpd: null, tpd: null, concurrency: null, burstSeconds: 60, transitMs: 1_000 };

/** Reports limits, each `afterMs` after the one before, in answer to a call sent `sentMs` earlier. Returns which of them were taken for the pool's own. */
function tell(own: OwnLimit, told: [afterMs: number, limit: number, sentMs?: number][], from = START): boolean[] {
  let at = from;
  return told.map(([afterMs, limit, sentMs = 1]) => {
    at += afterMs;
    return own.told(limit, at - sentMs, at);
  });
}
const every = (ms: number, limit: number, times: number) => Array.from({ length: times }, (): [number, number] => [ms, limit]);

describe("of two limits", () => {
  it("the first that is told is the pool's own at once, after a wake or the first time", () => {
    expect(tell(new OwnLimit(), [[0, OTHER]])).toEqual([true]);
  });

  it("one that is told once between many of the other is not, nor is it when nobody calls for a while", () => {
    const own = new OwnLimit();
    expect(tell(own, [...every(100, OWN, 20), [100, OTHER], ...every(100, OWN, 20), [100, OTHER]])).toEqual([
      ...new Array(20).fill(true),
      false,
      ...new Array(20).fill(true),
      false,
    ]);
    expect(own.undenied(START + 600_000)).toBeNull();
  });

  it("one that is told and not denied is, two seconds later, by an answer or without one", () => {
    const cut = [...every(100, OWN, 20), ...every(100, THIRD, 19)];
    const [answered, alone] = [new OwnLimit(), new OwnLimit()];
    expect(tell(answered, [...cut, [100, THIRD]]).slice(20)).toEqual([...new Array(19).fill(false), true]);
    tell(alone, [...every(100, OWN, 20), [100, THIRD]]);
    expect(alone.undenied(START + 4_099)).toBeNull();
    expect(alone.undenied(START + 4_100)).toEqual({ limit: THIRD, at: START + 2_100 });
    expect(alone.undenied(START + 4_200)).toBeNull();
  });

  it("one that many tell in a row is, a quarter of a second later", () => {
    const told = tell(new OwnLimit(), [...every(2, OWN, 500), ...every(2, THIRD, 500)]).slice(500);
    expect(told.indexOf(true)).toBe(124);
    expect(told.slice(124)).not.toContain(false);
  });

  it("one that is told while calls from before are still answered is, two seconds after the last of them", () => {
    // Calls that are refused are answered at once, the others when they are done.
    const late = Array.from({ length: 30 }, (_, n): [number, number, number] => (n % 2 ? [100, OWN, 3_500] : [100, THIRD, 1]));
    const told = tell(new OwnLimit(), [...every(100, OWN, 20), ...late, ...every(100, THIRD, 30)]);
    expect(told.slice(50).indexOf(true)).toBe(19);
  });

  it("one that was cut, and raised again minutes later, is followed both times, and again", () => {
    const own = new OwnLimit();
    const cut = [...every(500, OWN, 100), ...every(500, THIRD, 100)];
    const told = tell(own, [...cut, ...cut, ...cut]);
    expect(told.filter((each) => !each).length).toBeLessThanOrEqual(5 * 4);
  });

  it("one that was cut, raised again, and is cut once more while calls from before are still answered is followed as the first time", () => {
    const own = new OwnLimit();
    // Calls that are refused are answered before those that were taken.
    const underWay: [number, number, number?][] = [
      [100, THIRD],
      [20, OWN, 200],
      [20, THIRD],
      [20, OWN, 200],
    ];
    const cut: typeof underWay = [...underWay, ...every(1_000, THIRD, 90)];
    tell(own, [...every(100, OWN, 300), ...cut, ...every(100, OWN, 300)]);
    const told = tell(own, cut, START + 150_160);
    expect(told.slice(4).indexOf(true)).toBe(1);
  });

  it("where the pool began with the other's, its own is found out, and the other's is not taken for it any more", () => {
    const own = new OwnLimit();
    const minute: [number, number][] = [[100, OTHER], ...every(100, OWN, 599)];
    expect(tell(own, minute).filter((each) => !each).length).toBeLessThanOrEqual(20);
    for (let n = 1; n < 10; n++) expect(tell(own, minute, START + n * 60_000)[0]).toBe(false);
  });

  it("each told by every second answer: one of them stays the pool's own", () => {
    const own = new OwnLimit();
    const told = tell(
      own,
      Array.from({ length: 400 }, (_, n): [number, number] => [150, n % 2 === 0 ? OWN : OTHER]),
    );
    expect(told.filter((_, n) => n % 2 === 0)).not.toContain(false);
    expect(told.filter((_, n) => n % 2 === 1)).not.toContain(true);
  });

  it("which vary with each answer: what is told is the pool's own, two seconds late at the most", () => {
    const told = tell(
      new OwnLimit(),
      Array.from({ length: 300 }, (_, n): [number, number] => [100, OWN + n]),
    );
    for (let n = 0; n + 21 < told.length; n++) expect(told.slice(n, n + 21)).toContain(true);
  });

  // Law: whatever was reported before, a limit that is the only one reported for two minutes is the pool's own.
  it("one that alone is told for two minutes is the pool's own, whatever was before", () => {
    const before = fc.array(fc.tuple(fc.oneof(fc.nat(200), fc.nat(5_000)), fc.constantFrom(OWN, OTHER, THIRD)), { maxLength: 200 });
    fc.assert(
      fc.property(before, fc.constantFrom(100, 1_000, 10_000), (before, everyMs) => {
        const own = new OwnLimit();
        tell(own, before);
        const from = START + before.reduce((sum, [ms]) => sum + ms, 0);
        expect(tell(own, every(everyMs, OTHER, 120_000 / everyMs), from).at(-1)).toBe(true);
      }),
    );
  });
});

describe("a pool some of whose requests have a limit of their own", () => {
  /**
   * Plays half an hour; `tokens` is what went through per minute. `otherMs`: how often an answer reports the other bucket's limit. `cutMs`: when the pool's own
   * is cut.
   */
  function play(otherMs: number | null, cutMs = Number.POSITIVE_INFINITY) {
    const budget = openBudget(LIMITS);
    const learned = new Learned({ limits: LIMITS, most: { rpm: LIMITS.rpm, tpm: OWN } }, START);
    let [tokens, spent, followedAt, others] = [0, 0, Number.POSITIVE_INFINITY, 0];
    for (let now = START; now < START + 1_800_000; now += 50) {
      const limit = now >= START + cutMs ? THIRD : OWN;
      spent = Math.max(0, spent - (50 * limit) / 60_000);
      const before = tokens;
      while (readiness(budget, 5_000, now).at <= now) {
        reserve(budget, 5_000, now);
        learned.started(budget, 5_000, now);
        tokens += 5_000;
        spent += 5_000;
      }
      const reading = (limit: number, left: number) => ({
        ...{ pool: "p", job: "j", sentAt: now - 20, at: now, requests: null },
        tokens: { limit, remaining: left, resetMs: Math.round(((limit - left) / limit) * 60_000) },
      });
      if (tokens > before)
        learned.take(reading(limit, Math.max(0, Math.floor(limit - spent))), { at: now - 20, tokens: 5_000 }, budget, now);
      if (otherMs !== null && (now - START) % otherMs === otherMs - 50)
        learned.take(reading(OTHER, 10_000), { at: now - 20, tokens: 5_000 }, budget, now + 1);
      if (learned.limits.tpm === THIRD) followedAt = Math.min(followedAt, now - START);
      others = Math.max(others, learned.others(now).tokens);
    }
    return { tokens: tokens / 30, followedAt, limit: learned.limits.tpm, others, spent: used(budget, "tpm", START + 1_800_000) };
  }

  it.each([60_000, 5_000, 1_000])("and tell it each %i ms: the pool's own is used to the full, and nobody else is seen", (otherMs) => {
    const { limit, others, tokens } = play(otherMs);
    expect(limit).toBe(OWN);
    expect(others).toBe(0);
    expect(tokens).toBeGreaterThan(0.99 * play(null).tokens);
  });

  it.each([null, 5_000])(
    "(each %s ms): a cut of the pool's own is followed within three seconds, and what is left is heeded",
    (otherMs) => {
      const { followedAt, limit, tokens } = play(otherMs, 600_000);
      expect(limit).toBe(THIRD);
      expect(followedAt - 600_000).toBeLessThan(3_000);
      expect(tokens).toBeLessThan((OWN * 11 + THIRD * 20) / 30);
    },
  );
});
