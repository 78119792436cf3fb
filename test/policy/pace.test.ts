import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { cut, isDespite, isFirst, NO_USE, readyAt, shareAt, standsFor, start, type Use, use } from "../../policy/pace.ts";
import * as ramp from "../../policy/ramp.ts";
import { excess } from "./intervals.ts";

const NOW = 1_780_000_020_000;
const MINUTE = 60_000;
const PACE = { requests: 1, tokens: 1_000 };

/** A pool that used this share of its rate for ten minutes. */
function used(share: number): Use {
  let recent = NO_USE;
  for (let second = 600; second >= 0; second--) recent = use(recent, share * 1_000, NOW - second * 1_000);
  return recent;
}

describe("slow_down", () => {
  it.each([
    [1, 0.5],
    [0.4, 0.2],
    [0.01, 0.05],
  ])("a pool that used %f of its rate may use %f, and no less than a twentieth", (share, factor) => {
    expect(cut(null, used(share), NOW - 1, PACE, NOW).factor).toBeCloseTo(factor, 1);
  });

  it("one cut for all calls that were under way; another for one that began after it", () => {
    const first = cut(null, used(1), NOW - 5_000, PACE, NOW);
    expect(cut(first, used(1), NOW - 1_000, PACE, NOW + 500)).toBe(first);
    expect(cut(first, used(1), NOW + 1, PACE, NOW + 500).factor).toBeCloseTo(first.factor / 2, 2);
  });

  it("is the first of a quarter of an hour, or one more", () => {
    const last = { factor: 0.5, at: NOW, readyAt: NOW };
    expect(isFirst(null, NOW)).toBe(true);
    expect([1, 899_999, 900_000].map((after) => isFirst(last, NOW + after))).toEqual([false, false, true]);
  });

  it("is in spite of a cut if the call began after it", () => {
    const last = { factor: 0.5, at: 1_000, readyAt: 1_000 };
    expect([1_001, 1_000, 5, null].map((startedAt) => isDespite(last, startedAt))).toEqual([true, false, false, false]);
    expect(isDespite(null, 5)).toBe(false);
  });

  it("a call that nobody knows the beginning of is taken for one from before a cut; without one, it cuts", () => {
    const first = cut(null, used(1), null, PACE, NOW);
    expect(first.factor).toBeCloseTo(0.5, 1);
    expect(cut(first, used(1), null, PACE, NOW + 500)).toBe(first);
  });

  it.each([
    [20_000, 39_000, true],
    [20_000, 41_000, false],
    [20_000, 9_000, false],
    [0, 5_999, true],
    [0, 12_001, false],
  ])("a use of %i ms that is written stands for %i: %s", (before, recent, stands) => {
    expect(standsFor({ ms: before, at: NOW }, { ms: recent, at: NOW })).toBe(stands);
  });

  it("comes back by half in a quarter of an hour, and to the whole rate", () => {
    const last = { factor: 0.5, at: NOW, readyAt: NOW };
    expect(shareAt(last, NOW)).toBe(0.5);
    expect(shareAt(last, NOW + 15 * MINUTE)).toBeCloseTo(0.75);
    expect(shareAt(last, NOW + 26 * MINUTE)).toBe(1);
  });

  // Law: while the pool is cut, the starts within T take at most a second plus T of the share that it has at the end.
  it("never lets more start than its share", () => {
    fc.assert(
      fc.property(
        fc.double({ min: 0.05, max: 1, noNaN: true }),
        fc.array(fc.integer({ min: 1, max: 5_000 }), { minLength: 50 }),
        (factor, costs) => {
          let last = { factor, at: NOW, readyAt: NOW };
          let [now, taken] = [NOW, 0];
          for (const costMs of costs) {
            now = readyAt(last, now);
            last = start(last, costMs, now);
            // What is taken now is worked off afterwards.
            expect(taken).toBeLessThanOrEqual(shareAt(last, now) * (now - NOW + 1_000) + 1e-6);
            taken += costMs;
          }
        },
      ),
    );
  });
});

describe("the ramp", () => {
  const FLOOR = 1_000_000;

  /** Starts everything that may start, in jobs of `tokens` tokens. Returns what each minute took. */
  function saturate(governor: ramp.Ramp, minutes: number, tokens = 5_000, from = NOW): number[] {
    const taken = new Array<number>(minutes).fill(0);
    for (let now = from; now < from + minutes * MINUTE; ) {
      ramp.turn(governor, now);
      const at = Math.min(ramp.readyAt(governor, tokens, now), (Math.floor(now / MINUTE) + 1) * MINUTE);
      if (at > now) {
        now = Math.ceil(at);
        continue;
      }
      ramp.start(governor, tokens, now);
      taken[Math.floor((now - from) / MINUTE)]! += tokens;
    }
    return taken;
  }

  it.each([
    [{ tpm: 40_000_000 }, true],
    [{ tpm: 1_000_000 }, false],
    [{ tpm: 40_000_000, ramp_tpm: null }, false],
    [{ learn: false as const }, false],
    // Its limit may be raised above the floor.
    [{ learn: { max_tpm: 2_000_000 } }, true],
    [{ learn: { max_tpm: 900_000 } }, false],
    [{ learn: {} }, false],
  ])("a pool of %j has one: %s", (more, governed) => {
    expect(ramp.isGoverned({ tpm: 500_000, ramp_tpm: FLOOR, learn: {}, ...more })).toBe(governed);
  });

  it("traffic below the floor is never held back", () => {
    const governor = ramp.openRamp(FLOOR);
    for (let second = 0; second < 600; second++) {
      const now = NOW + second * 1_000;
      ramp.turn(governor, now);
      expect(ramp.readyAt(governor, 16_000, now)).toBe(now);
      ramp.start(governor, 16_000, now);
    }
  });

  it("a burst after idleness: half a minute's worth at once, then by half in a quarter of an hour, for hours", () => {
    const taken = saturate(ramp.openRamp(FLOOR), 121);
    expect(taken[0]).toBeLessThanOrEqual(1.5 * FLOOR + 5_000);
    for (let minute = 16; minute < taken.length; minute++) expect(taken[minute]! / taken[minute - 15]!).toBeLessThanOrEqual(1.53);
    // It does grow: all the way to what the rule allows, or nearly.
    expect(taken[120]! / FLOOR).toBeGreaterThan(1.5 ** 7);
    expect(taken[120]! / FLOOR).toBeLessThanOrEqual(1.5 ** 8 * 1.03);
  });

  it("a pause of ten minutes costs nothing; of an hour, the whole climb", () => {
    const governor = ramp.openRamp(FLOOR);
    const before = saturate(governor, 60).at(-1)!;
    ramp.turn(governor, NOW + 70 * MINUTE);
    expect(governor.level).toBeGreaterThanOrEqual(before * 0.99);
    expect(governor.level).toBeLessThanOrEqual(before * 1.5);
    ramp.turn(governor, NOW + 130 * MINUTE);
    expect(governor.level).toBe(FLOOR);
  });

  it("what calls report sets right what was charged for them, both ways, and what the minute used", () => {
    const governor = ramp.openRamp(FLOOR);
    ramp.turn(governor, NOW);
    ramp.start(governor, 400_000, NOW);
    expect(ramp.readyAt(governor, 400_000, NOW)).toBeGreaterThan(NOW);
    ramp.settle(governor, 400_000, 50_000, NOW, NOW);
    expect(ramp.readyAt(governor, 400_000, NOW)).toBe(NOW);
    expect(governor.used).toBe(50_000);
    ramp.start(governor, 100_000, NOW);
    ramp.settle(governor, 100_000, 600_000, NOW, NOW);
    expect(ramp.readyAt(governor, 1, NOW) - NOW).toBeCloseTo(0.15 * MINUTE, -1);
    expect(governor.used).toBe(650_000);
  });

  it("what refilled before a call reports is not given back as well: no more than half a level starts in an instant", () => {
    const governor = ramp.openRamp(FLOOR);
    ramp.turn(governor, NOW);
    const half = FLOOR / 2;
    ramp.start(governor, half, NOW);
    const later = NOW + MINUTE / 4;
    ramp.settle(governor, half, 0, NOW, later);
    expect(ramp.readyAt(governor, half, later)).toBe(later);
    ramp.start(governor, half, later);
    const last = later + MINUTE / 2;
    ramp.start(governor, half, last);
    ramp.settle(governor, half, 0, later, last);
    expect(ramp.readyAt(governor, half, last) - last).toBeCloseTo(MINUTE / 2, 0);
  });

  it.each([2_000, 10_000])(
    "prompts that are estimated half as high again as what calls of %i ms report: it grows all the same",
    (callMs) => {
      const [estimate, actual, minutes] = [8_000, 5_000, 61];
      const governor = ramp.openRamp(FLOOR);
      const taken = new Array<number>(minutes).fill(0);
      const running: number[] = [];
      const starts: { at: number; tokens: number }[] = [];
      for (let now = NOW; now < NOW + minutes * MINUTE; now += 50) {
        ramp.turn(governor, now);
        while (running.length > 0 && running[0]! + callMs <= now) ramp.settle(governor, estimate, actual, running.shift()!, now);
        while (ramp.readyAt(governor, estimate, now) <= now) {
          ramp.start(governor, estimate, now);
          running.push(now);
          taken[Math.floor((now - NOW) / MINUTE)]! += actual;
          if (now < NOW + 5 * MINUTE) starts.push({ at: now, tokens: actual });
        }
      }
      expect(taken[60]).toBeGreaterThan(FLOOR * 1.5 ** 2.5);
      expect(taken[60]).toBeLessThanOrEqual(FLOOR * 1.5 ** 4 * 1.03);
      for (let minute = 16; minute < minutes; minute++) expect(taken[minute]! / taken[minute - 15]!).toBeLessThanOrEqual(1.53);
      // In the first minutes, no interval holds more than the level of the last of them, plus half a minute of it.
      const most = 1.5 ** (5 / 15) * FLOOR;
      expect(excess(starts, { perMs: most / MINUTE, most: most / 2, amountOf: ({ tokens }) => tokens })).toBeLessThanOrEqual(0);
    },
  );

  it("calls that took less than was thought, heard a minute later, do not make a minute that used less than nothing", () => {
    const governor = ramp.openRamp(FLOOR);
    ramp.turn(governor, NOW);
    ramp.start(governor, 400_000, NOW);
    ramp.turn(governor, NOW + MINUTE);
    ramp.settle(governor, 400_000, 0, NOW, NOW + MINUTE);
    ramp.turn(governor, NOW + 2 * MINUTE);
    expect(governor.past.slice(0, 2)).toEqual([0, 400_000]);
  });

  it("a wait is foreseen by the share of what was reserved that was input, the large calls' more than the small ones'", () => {
    const governor = ramp.openRamp(FLOOR);
    expect(ramp.clearedAt(governor, FLOOR, NOW) - NOW).toBeCloseTo(MINUTE / 2, 0);
    for (let call = 0; call < 50; call++) {
      ramp.learn(governor, 1_000, 100);
      ramp.learn(governor, 100_000, 100_000);
    }
    expect(ramp.clearedAt(governor, FLOOR, NOW) - NOW).toBeCloseTo(MINUTE * 0.49, -3);
    ramp.restore(governor, { minute: 0, used: 0, past: [], inputShare: 0.5 } as unknown as ramp.RampRecord, NOW);
    expect(governor.seen.reserved).toBeGreaterThan(0);
  });

  it("survives a restart with its level, and lets nothing start at once", () => {
    const governor = ramp.openRamp(FLOOR);
    saturate(governor, 60);
    const again = ramp.openRamp(FLOOR);
    ramp.restore(again, JSON.parse(JSON.stringify(ramp.recordOf(governor, NOW + 60 * MINUTE))), NOW + 60 * MINUTE);
    expect(again.level).toBeGreaterThanOrEqual(governor.level);
    expect(again.level).toBeLessThanOrEqual(governor.level * 1.03);
    expect(ramp.readyAt(again, 1_000_000, NOW + 60 * MINUTE)).toBeGreaterThan(NOW + 60 * MINUTE);
  });

  it("what is written lets nothing start sooner than it would have, nor much later; and each life goes on where the last one was", () => {
    const governor = ramp.openRamp(FLOOR);
    let record: ramp.RampRecord | null = null;
    let written = 0;
    for (let now = NOW; now < NOW + 10 * MINUTE; now += 500) {
      ramp.turn(governor, now);
      while (ramp.readyAt(governor, 20_000, now) <= now) ramp.start(governor, 20_000, now);
      if (!ramp.isCovered(governor, now)) {
        record = JSON.parse(JSON.stringify(ramp.recordOf(governor, now))) as ramp.RampRecord;
        written++;
      }
      const again = ramp.openRamp(FLOOR);
      for (const sleep of [0, 100, 200]) {
        ramp.restore(again, record!, now + sleep);
        const [truth, restored] = [governor, again].map((each) => ramp.readyAt(each, FLOOR / 2, now + sleep));
        expect(restored!).toBeGreaterThanOrEqual(truth!);
        // The record runs five seconds ahead, at the level of that time.
        expect(restored! - truth!).toBeLessThanOrEqual(7_000);
      }
    }
    expect(written).toBeLessThan(10 * 12 + 20);
  });

  it("of a record of old, without its bucket: nothing starts at once, and it is written anew", () => {
    const governor = ramp.openRamp(FLOOR);
    ramp.restore(governor, { minute: 0, used: 0, past: [], seen: { reserved: 0, input: 0 } }, NOW);
    expect(ramp.readyAt(governor, 100_000, NOW) - NOW).toBeCloseTo(6_000, 0);
    expect(ramp.isCovered(governor, NOW)).toBe(false);
  });

  it("a clock that steps back changes nothing", () => {
    const governor = ramp.openRamp(FLOOR);
    saturate(governor, 30);
    const { level, minute } = governor;
    expect(ramp.turn(governor, NOW)).toBe(false);
    expect(governor).toMatchObject({ level, minute });
  });
});
