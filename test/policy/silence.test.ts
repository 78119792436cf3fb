import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { readyAt, type Silence, start, tells, told, unheard } from "../../policy/silence.ts";

const NOW = 1_780_000_000_000;
const first = told(null, 420_000, NOW);

describe("a silence that upstream asked for", () => {
  it("of a second or two -> kept as it is", () => {
    expect([500, 2_000].map((afterMs) => readyAt(told(null, afterMs, NOW), NOW))).toEqual([NOW + 500, NOW + 2_000]);
  });

  it("of minutes, to one call -> two seconds; then for as long as it has lasted already, and never beyond what was asked for", () => {
    expect(readyAt(first, NOW)).toBe(NOW + 2_000);
    let [silence, now] = [first, NOW];
    const gaps: number[] = [];
    while (now < NOW + 420_000) {
      const next = readyAt(silence, now);
      gaps.push(next - now);
      now = next;
      silence = told(start(silence, now), NOW + 420_000 - now, now);
    }
    expect(gaps).toEqual([2_000, 2_000, 4_000, 8_000, 16_000, 32_000, 64_000, 128_000, 164_000]);
  });

  it("the call that is let go to see is one; unheard of, the next follows after as long", () => {
    const seeing = start(first, NOW + 2_000);
    expect(readyAt(seeing, NOW + 2_000)).toBe(NOW + 4_000);
    expect(readyAt(start(first, NOW + 60_000), NOW + 60_000)).toBe(NOW + 120_000);
  });

  it("that call says nothing of the others -> another at once", () => {
    expect(readyAt(unheard(start(first, NOW + 60_000), NOW + 61_000), NOW + 61_000)).toBe(NOW + 61_000);
    expect(readyAt(unheard(first, NOW + 1_000), NOW + 1_000)).toBe(NOW + 1_000);
  });

  it("is over at the time that was named last, and begins anew after it", () => {
    expect(readyAt(told(first, 1_000, NOW + 10_000), NOW + 10_000)).toBe(NOW + 11_000);
    expect(readyAt(start(first, NOW + 400_000), NOW + 420_000)).toBe(NOW + 420_000);
    expect(told(first, 60_000, NOW + 420_000)).toMatchObject({ since: NOW + 420_000, nextAt: NOW + 422_000 });
  });

  it("is told of by calls that were let go since its first refusal", () => {
    const again = told(first, 420_000, NOW + 9_000);
    expect([NOW - 1, NOW, NOW + 5_000, null].map((at) => tells(again, at))).toEqual([false, false, true, false]);
  });
});

// Law: whatever wait upstream asks for, the calls that it refuses meanwhile grow with the logarithm of that time, and nobody waits longer than it asked for.
it("calls that are let go to see are few", () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 172_800_000 }), fc.integer({ min: 0, max: 5_000 }), (afterMs, latency) => {
      let silence: Silence = told(null, afterMs, NOW);
      let [now, calls] = [NOW, 0];
      for (; now < NOW + afterMs; calls++) {
        now = readyAt(silence, now);
        expect(now).toBeLessThanOrEqual(NOW + afterMs);
        silence = start(silence, now);
        if (now + latency < NOW + afterMs) silence = told(silence, NOW + afterMs - now - latency, now + latency);
      }
      expect(calls).toBeLessThanOrEqual(3 + Math.max(0, Math.log2(afterMs / 1_000)));
    }),
  );
});
