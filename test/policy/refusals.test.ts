import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  afterAdmission,
  afterRefusal,
  afterStorm,
  isRepeated,
  isSameAlone,
  isStorm,
  NO_REFUSALS,
  type Refusals,
  SILENCE_MS,
} from "../../policy/refusals.ts";

const NOW = 1_780_000_000_000;
let count = 0;
/** Of a job of its own, unless it is named. */
const refuse = (known: Refusals, leasedAt: number, retryAfterMs: number | null, now: number, random: number, job = `j${count++}`) =>
  afterRefusal(known, { job, leasedAt, retryAfterMs }, now, random);

/** Refused again and again, each time by a call that was let go when the silence before was over. */
function refused(
  times: number,
  known: Refusals = NO_REFUSALS,
  retryAfterMs: number | null = null,
): { state: Refusals; silences: number[] } {
  const silences: number[] = [];
  let state = known;
  let now = NOW;
  for (let n = 0; n < times; n++) {
    state = refuse(state, now, retryAfterMs, now, 0);
    silences.push(state.until - now);
    now = state.until + 1;
  }
  return { state, silences };
}
const taken = (times: number, state: Refusals) => {
  let next = state;
  for (let n = 0; n < times; n++) next = afterAdmission(next, state.until + 1);
  return next;
};

describe("the silence after a refusal", () => {
  it("is what upstream asks for, or two seconds, and a tenth more by chance", () => {
    expect(refuse(NO_REFUSALS, NOW, null, NOW, 0).until).toBe(NOW + 2_000);
    expect(refuse(NO_REFUSALS, NOW, 0, NOW, 0).until).toBe(NOW);
    expect(refuse(NO_REFUSALS, NOW, 10_000, NOW, 0.5).until).toBe(NOW + 10_500);
  });

  it("doubles as long as what is let go after it is refused too, never shorter than upstream asks for", () => {
    expect(refused(8).silences).toEqual([2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000, 60_000]);
    expect(refused(4, NO_REFUSALS, 0).silences).toEqual([0, 4_000, 8_000, 16_000]);
    expect(refused(4, NO_REFUSALS, 8_640).silences).toEqual([8_640, 8_640, 8_640, 16_000]);
  });

  it("is one for all that were let go before it began", () => {
    const first = refuse(NO_REFUSALS, NOW - 10, null, NOW, 0);
    const same = refuse(first, NOW - 5, null, NOW + 300, 0);
    expect(same).toEqual({ ...first, refused: 2, several: true });
    expect(refuse(same, NOW - 5, 9_000, NOW + 300, 0)).toMatchObject({ rounds: 1, until: NOW + 9_300 });
  });

  it("is short again once more was taken than refused, and after ten minutes", () => {
    const { state } = refused(3);
    const now = state.until + 5_000;
    expect(refuse(taken(6, state), now, null, now, 0)).toMatchObject({ rounds: 1, until: now + 2_000 });
    expect(refuse(taken(2, state), now, null, now, 0).rounds).toBe(4);
    expect(refuse(state, state.until + 600_001, null, state.until + 600_001, 0).rounds).toBe(1);
  });

  it("what was let go before it says nothing of how things are after it", () => {
    const { state } = refused(2);
    expect(afterAdmission(state, state.since - 1)).toBe(state);
  });
});

describe("one job that is refused again and again", () => {
  it("says nothing of the others: silences do not grow, unless another's call was refused beside it", () => {
    let state = NO_REFUSALS;
    for (let n = 0; n < 5; n++) state = refuse(state, NOW + n * 10_000, null, NOW + n * 10_000, 0, "large");
    expect(state).toMatchObject({ rounds: 1, until: NOW + 42_000 });
    expect(isSameAlone(state, "large")).toBe(true);
    const beside = refuse(state, NOW, null, NOW + 40_100, 0, "other");
    expect(isSameAlone(beside, "large")).toBe(false);
    expect(refuse(beside, NOW + 50_000, null, NOW + 50_000, 0, "large").rounds).toBe(2);
  });
});

describe("a storm", () => {
  it("is the fourth silence in a row, or one that upstream wants for more than a minute", () => {
    expect([1, 2, 3, 4].map((times) => isStorm(refused(times).state, NOW + 1e9))).toEqual([false, false, false, true]);
    expect(isStorm(refuse(NO_REFUSALS, NOW, 60_000, NOW, 0.99), NOW)).toBe(false);
    expect(isStorm(refuse(NO_REFUSALS, NOW, 67_000, NOW, 0), NOW)).toBe(true);
  });

  it("over, it is back at the next refusal, unless many calls were taken before", () => {
    const over = afterStorm(NOW);
    expect(isStorm(refuse(taken(8, over), NOW + 9_000, null, NOW + 9_000, 0), NOW + 9_000)).toBe(true);
    expect(isStorm(refuse(taken(11, over), NOW + 9_000, null, NOW + 9_000, 0), NOW + 9_000)).toBe(false);
  });

  it("nothing that refilled in a silence is let go at once after one that did not help", () => {
    expect([1, 2].map((times) => isRepeated(refused(times).state))).toEqual([false, true]);
  });
});

// Law: whatever upstream says and whenever, silence ends within a minute of the last refusal, or when upstream asked for.
it("no silence is longer than a minute, but for upstream's own word", () => {
  const event = fc.record({ after: fc.nat(120_000), late: fc.nat(10_000), wish: fc.option(fc.nat(200_000)), takes: fc.nat(10) });
  fc.assert(
    fc.property(fc.array(event, { maxLength: 60 }), (events) => {
      let [state, now, wished] = [NO_REFUSALS, NOW, NOW];
      for (const { after, late, takes, wish } of events) {
        now += after;
        state = refuse(state, now - late, wish, now, 0.999);
        wished = Math.max(wished, now + (wish ?? 0) * 1.1);
        expect(state.until).toBeLessThanOrEqual(Math.max(wished, now + SILENCE_MS.most * 1.1));
        for (let n = 0; n < takes; n++) state = afterAdmission(state, now);
      }
    }),
  );
});
