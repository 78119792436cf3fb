import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type Credit, isSpent, KEPT, readyAt, refused, restored, risk, taken, unasked } from "../../policy/credit.ts";

const NOW = 1_780_000_000_000;
const times = <T>(count: number, step: (value: T) => T, from: T): T => {
  let value = from;
  for (let n = 0; n < count; n++) value = step(value);
  return value;
};
const doubted = refused(null, false, NOW);
const spent = times<Credit>(100, (credit) => refused(credit, false, NOW), doubted);

describe("a pool that was refused for the rate", () => {
  it("is in doubt: nineteen more may be refused, then one in twenty seconds", () => {
    const gone = times<Credit>(19, (credit) => risk(credit, NOW), doubted);
    expect([readyAt(doubted, NOW), readyAt(gone, NOW)]).toEqual([NOW, NOW + 20_000]);
    expect(readyAt(risk(gone, NOW + 20_000), NOW + 20_000)).toBe(NOW + 40_000);
    expect([isSpent(doubted, NOW), isSpent(gone, NOW)]).toEqual([false, true]);
  });

  it("however many were on their way when it began: it owes nothing", () => {
    expect(readyAt(spent, NOW)).toBe(NOW + 20_000);
    expect(readyAt(spent, NOW + 86_400_000)).toBe(NOW + 86_400_000);
    // Drips do not add up: one at a time.
    expect(readyAt(risk(spent, NOW + 86_400_000), NOW + 86_400_000)).toBe(NOW + 86_420_000);
  });

  it("is trusted again when twenty more were taken than refused, and a minute went by without one: who found out first brings two, and so on", () => {
    let [credit, now, calls]: [Credit | null, number, number] = [spent, NOW + 20_000, 0];
    let rounds = 0;
    while (credit && rounds < 6) {
      let under = 0;
      for (; readyAt(credit, now) === now; under++) credit = risk(credit, now);
      calls += under;
      for (let n = 0; n < under; n++) credit = taken(credit, true, now)!;
      rounds++;
      now += 300;
    }
    expect([rounds, calls, readyAt(credit!, now)]).toEqual([6, 62, now]);
    expect(taken(credit, false, NOW + 59_999)).not.toBeNull();
    expect(taken(credit, false, NOW + 60_000)).toBeNull();
  });

  it("a call of before that is taken counts too; one that was never made costs nothing; one that was let go in an earlier doubt pays when it is refused", () => {
    expect(taken(doubted, false, NOW)!.left).toBe(20);
    expect(unasked(risk(doubted, NOW), NOW)!.left).toBe(doubted.left);
    expect([taken(null, false, NOW), unasked(null, NOW)]).toEqual([null, null]);
    expect(refused(risk(doubted, NOW), true, NOW).left).toBe(18);
    expect(refused(null, true, NOW).left).toBe(19);
  });

  it("what was taken long ago buys no refusals: of hours of calls that were taken, with a refusal now and then, counts what came in the last minute", () => {
    let [credit, now]: [Credit, number] = [doubted, NOW];
    for (let second = 1; second <= 3_600; second++) {
      now = NOW + second * 1_000;
      credit = taken(risk(credit, now), true, now)!;
      if (second % 30 === 0) credit = refused(risk(credit, now), true, now);
    }
    expect(credit.left).toBeGreaterThan(60);
    expect(credit.left).toBeLessThan(85);
    // The credit that it begins with does not fade.
    expect(risk(credit, now + 86_400_000).left).toBeCloseTo(19, 6);
    expect(risk(risk(doubted, NOW), NOW + 86_400_000).left).toBe(17);
  });

  it("leaves half of it to others by who is refused while they are taken; but for one in twenty seconds without news", () => {
    const some = times<Credit>(8, (credit) => risk(credit, NOW), doubted);
    expect([readyAt(some, NOW, KEPT), readyAt(risk(some, NOW), NOW, KEPT), readyAt(risk(some, NOW), NOW)]).toEqual([
      NOW,
      NOW + 20_000,
      NOW,
    ]);
    expect(readyAt(spent, NOW, KEPT)).toBe(NOW + 20_000);
  });

  it("after a restart nothing is known of what was let go: a few, or one in twenty seconds if nothing was left", () => {
    expect([restored(true, null, NOW).left, restored(false, null, NOW).left]).toEqual([0, 5]);
    expect(restored(false, risk(doubted, NOW), NOW).left).toBe(5);
  });

  it.each([0.1, 5, 10, 15])(
    "that follows a restart by %i s: one call in twenty seconds all the same, from when the last was let go",
    (seconds) => {
      const out = risk(spent, NOW);
      for (let now = NOW; now < NOW + 40_000; now += seconds * 1_000) {
        expect(readyAt(restored(true, out, now), now)).toBeCloseTo(Math.max(now, NOW + 20_000), 3);
        expect(restored(true, out, now).left).toBeLessThanOrEqual(1);
      }
    },
  );

  it("that was out before anything was told of it -> is not made more by a restart", () => {
    const gone = times<Credit>(20, (credit) => risk(credit, NOW), doubted);
    expect(restored(false, gone, NOW + 5_000).left).toBeCloseTo(0.25);
  });
});

// Law: at most as many calls are refused as are taken, plus twenty, plus what dripped in. So if at least half of the calls are taken, nothing waits long.
it("whatever is refused and taken, the refusals are bounded, and a start is never further off than a drip", () => {
  const event = fc.record({ after: fc.nat(30_000), taken: fc.boolean() });
  fc.assert(
    fc.property(fc.array(event, { maxLength: 300 }), (events) => {
      let credit: Credit | null = refused(null, false, NOW);
      let now = NOW;
      let [refusals, admitted] = [1, 0];
      for (const each of events) {
        now += each.after;
        expect(readyAt(credit!, now)).toBeLessThanOrEqual(now + 20_000);
        if (readyAt(credit!, now) > now) continue;
        credit = risk(credit!, now);
        if (each.taken) {
          admitted++;
          credit = taken(credit, true, now);
          if (!credit) return;
        } else {
          credit = refused(credit, true, now);
          refusals++;
        }
        expect(refusals).toBeLessThanOrEqual(20 + admitted + (now - NOW) / 20_000 + 1);
      }
    }),
  );
});
