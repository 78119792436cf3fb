import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type Ended, isDown, noteEnded } from "../../policy/breaker.ts";
import { afterBeginning, afterCall, backAfter, intervalMs, isDoubtful, isProbe, probeAt, type Sign, type Stop } from "../../policy/stop.ts";

const NOW = 1_780_000_000_000;
const halt = (some: Partial<Extract<Sign, { kind: "halt" }>> = {}): Sign => ({
  ...{ kind: "halt", reason: "billing", code: "insufficient_quota", retryAfterMs: null },
  ...some,
});
const failure = (down = true): Sign => ({ kind: "failure", down, code: "500" });
const stop = (some: Partial<Stop> = {}): Stop => ({
  ...{ reason: "billing", code: "insufficient_quota", since: NOW, failedProbes: 0, nextProbeAt: NOW + 30_000, probe: "p" },
  ...some,
});
const later = NOW + 40_000;

describe("a pool that runs", () => {
  it.each<[string, Sign]>([
    ["a success", { kind: "success" }],
    ["an answer", { kind: "answer" }],
    ["nothing", { kind: "nothing" }],
    ["a failure that does not open the breaker", failure(false)],
  ])("-> runs on, after %s", (_, sign) => {
    expect(afterCall(null, sign, "j", NOW)).toBeNull();
  });

  it("-> halted at the first refusal of its key or its bill, the probe half a minute later, or when upstream says", () => {
    expect(afterCall(null, halt(), "j", NOW)).toEqual(stop({ probe: null }));
    expect(afterCall(null, halt({ retryAfterMs: 90_000 }), "j", NOW)!.nextProbeAt).toBe(NOW + 90_000);
  });

  it("-> open when upstream is down, the probe two seconds later", () => {
    expect(afterCall(null, failure(), "j", NOW)).toEqual(stop({ reason: "failures", code: "500", nextProbeAt: NOW + 2_000, probe: null }));
  });
});

describe("a pool that stands still", () => {
  it.each<[string, Sign]>([
    ["a success", { kind: "success" }],
    ["another refusal", halt()],
    ["a failure", failure()],
  ])("hears nothing from calls that began before: %s", (_, sign) => {
    const before = stop();
    expect(afterCall(before, sign, "other", later)).toBe(before);
  });

  it.each<[string, Stop, Sign, Partial<Stop> | null]>([
    ["halted, success -> runs", stop(), { kind: "success" }, null],
    ["open, success -> runs", stop({ reason: "failures" }), { kind: "success" }, null],
    ["open, any answer -> runs", stop({ reason: "failures" }), { kind: "answer" }, null],
    ["key refused, any answer -> runs", stop({ reason: "credentials" }), { kind: "answer" }, null],
    ["bill unpaid, an answer -> another probe, no later", stop(), { kind: "answer" }, { failedProbes: 0, nextProbeAt: later + 30_000 }],
    ["refused again -> a later one", stop(), halt(), { failedProbes: 1, nextProbeAt: later + 60_000 }],
    ["halted, upstream fails -> a later one", stop(), failure(), { failedProbes: 1, nextProbeAt: later + 60_000 }],
    ["open, fails again -> a later one", stop({ reason: "failures" }), failure(false), { failedProbes: 1, nextProbeAt: later + 4_000 }],
    ["nothing said -> another at once", stop(), { kind: "nothing" }, { failedProbes: 0, nextProbeAt: later }],
    [
      "refused for another reason -> the same halt, by its new name",
      stop(),
      halt({ reason: "credentials", code: "invalid_api_key" }),
      { reason: "credentials", code: "invalid_api_key", since: NOW, failedProbes: 1 },
    ],
    [
      "open, then refused -> halted from now on",
      stop({ reason: "failures", failedProbes: 5 }),
      halt(),
      { reason: "billing", since: later, failedProbes: 0, nextProbeAt: later + 30_000 },
    ],
  ])("its probe: %s", (_, before, sign, after) => {
    const next = afterCall(before, sign, "p", later);
    if (after === null) expect(next).toBeNull();
    else expect(next).toMatchObject({ ...after, probe: null });
  });

  it("a refusal of its bill by an older call leaves the probe of an outage under way: there is never a second", () => {
    expect(afterCall(stop({ reason: "failures" }), halt(), "older", later)).toMatchObject({ reason: "billing", probe: "p" });
  });

  it("whose probe did not help comes back after the next one, and lets more go before it each time, also where it was answered", () => {
    let still = stop({ reason: "failures", failedProbes: 9, nextProbeAt: NOW });
    expect(backAfter(still, "p") - NOW).toBe(1_000);
    for (const steps of [1, 61, 121]) {
      still = { ...afterCall(still, failure(), "p", NOW)!, probe: "p" };
      expect(backAfter(still, "p") - still.nextProbeAt).toBe(steps * 1_000);
    }
    expect(backAfter(still, "another") - still.nextProbeAt).toBe(1_000);
    const unpaid = afterCall(
      afterCall(stop(), { kind: "answer" }, "p", later) && stop({ failed: { p: 1 } }),
      { kind: "answer" },
      "p",
      later,
    )!;
    expect(unpaid.failed).toEqual({ p: 2 });
  });

  it("remembers a hundred such jobs", () => {
    let still: Stop = stop();
    for (let n = 0; n < 150; n++) still = afterCall({ ...still, probe: `j${n}` }, failure(), `j${n}`, later)!;
    expect(Object.keys(still.failed!)).toHaveLength(100);
    expect(still.failed!.j149).toBe(1);
  });

  describe("upstream is down, and the answer of a probe has begun", () => {
    const outage = stop({ reason: "failures", code: "500", failedProbes: 3, nextProbeAt: NOW });
    const begun = { ...afterBeginning(outage, "p", NOW)!, probe: "q" };

    it("-> another probe after an interval, two more after the next, and so on; the first is one still", () => {
      const beginning = { ...outage, failedProbes: 0 };
      const seconds = [0, 1, 2, 3, 7, 63].map((others) => {
        let still: Stop = { ...beginning, probe: "p" };
        still = afterBeginning(still, "p", NOW)!;
        for (let n = 0; n < others; n++) still = afterBeginning({ ...still, probe: `q${n}` }, `q${n}`, NOW + 1_000)!;
        return (probeAt(still) - NOW) / 1_000;
      });
      expect(seconds).toEqual([10, 20, 20, 30, 40, Number.POSITIVE_INFINITY]);
      expect(probeAt(afterBeginning(outage, "p", NOW)!)).toBe(NOW + 16_000);
      expect(afterBeginning(begun, "q", NOW)).toMatchObject({ probe: null, begun: ["p", "q"], failedProbes: 3 });
      expect(["p", "q", "other"].map((job) => isProbe(begun, job))).toEqual([true, true, false]);
    });

    it("of any other call -> nothing; of a halt's probe -> the pool runs", () => {
      expect(afterBeginning(outage, "other", NOW)).toBe(outage);
      expect(afterBeginning(stop(), "p", NOW)).toBeNull();
    });

    it.each<[string, Sign]>([
      ["success", { kind: "success" }],
      ["answer", { kind: "answer" }],
    ])("its end is a %s -> runs, though another is under way", (_, sign) => {
      expect(afterCall(begun, sign, "p", later)).toBeNull();
    });

    it("it breaks -> a later probe, and the one that is under way stays the only one; those that break with it are no more failures", () => {
      const both = { ...afterBeginning(begun, "q", NOW)!, probe: "r" };
      const broken = afterCall(both, failure(), "p", later)!;
      expect(broken).toMatchObject({ probe: "r", begun: ["q"], failedProbes: 4, nextProbeAt: later + 32_000 });
      const all = afterCall(broken, failure(), "q", later)!;
      expect(all).toMatchObject({ probe: "r", begun: [], failedProbes: 4, nextProbeAt: later + 32_000 });
      expect(probeAt(afterBeginning(all, "r", later)!)).toBe(later + 32_000);
    });

    it("a later one breaks -> none of those that go on is forgotten, and the time without failures begins anew", () => {
      let still: Stop = { ...outage, failedProbes: 0, probe: null };
      for (let n = 0; n < 7; n++) still = afterBeginning({ ...still, probe: `j${n}` }, `j${n}`, NOW)!;
      still = afterCall(still, failure(), "j6", later)!;
      expect(still.begun).toHaveLength(6);
      expect(probeAt(still)).toBe(later + 30_000);
      const again = afterCall(still, failure(), "j5", later + 1_000)!;
      expect(probeAt(again)).toBe(later + 31_000);
      expect(afterCall(again, { kind: "success" }, "j0", later + 2_000)).toBeNull();
    });

    it("nothing is known of its end -> it is one no longer", () => {
      expect(afterCall(begun, { kind: "nothing" }, "p", later)).toEqual({ ...begun, begun: [] });
    });
  });

  it("since its key was refused to one job: the next probe is at once, of another; once that is refused too, as with a bill", () => {
    const doubtful = afterCall(null, halt({ reason: "credentials" }), "j", NOW)!;
    expect([probeAt(doubtful), backAfter(doubtful, "j")]).toEqual([NOW, NOW + 31_000]);
    const sure = afterCall({ ...doubtful, probe: "p" }, halt({ reason: "credentials" }), "p", NOW)!;
    expect([doubtful, sure].map(isDoubtful)).toEqual([true, false]);
    expect([probeAt(sure), backAfter(sure, "p")]).toEqual([NOW + 30_000, NOW + 31_000]);
    expect(intervalMs({ ...sure, failedProbes: 2 })).toBe(60_000);
  });

  it("lets no second probe start while one runs", () => {
    expect(probeAt(stop())).toBe(Number.POSITIVE_INFINITY);
    expect(probeAt(stop({ probe: null }))).toBe(NOW + 30_000);
  });

  it("waits longer after each probe, ten minutes at the most, a minute while upstream is down", () => {
    const all = (reason: Stop["reason"]) =>
      [0, 1, 2, 3, 4, 5, 6, 1_000].map((failedProbes) => intervalMs({ reason, failedProbes }) / 1_000);
    expect(all("billing")).toEqual([30, 60, 120, 240, 480, 600, 600, 600]);
    expect(all("failures")).toEqual([2, 4, 8, 16, 32, 60, 60, 60]);
  });
});

describe("upstream is down", () => {
  const ended = (failures: number, successes: number, jobs = failures): Ended[] => {
    const recent: Ended[] = [];
    for (let n = 0; n < successes; n++) noteEnded(recent, { at: NOW, job: `s${n}`, failed: false });
    for (let n = 0; n < failures; n++) noteEnded(recent, { at: NOW, job: `f${n % jobs}`, failed: true });
    return recent;
  };

  it.each([
    [5, 0, 5, true],
    [5, 5, 3, true],
    [4, 0, 4, false],
    [5, 6, 5, false],
    // A job that fails every time it is called must not stop the others.
    [12, 0, 1, false],
    [12, 0, 2, false],
  ])("%i failures, %i successes, of %i jobs: %s", (failures, successes, jobs, down) => {
    expect(isDown(ended(failures, successes, jobs), NOW)).toBe(down);
  });

  it("no more than a minute later", () => {
    expect(isDown(ended(20, 0), NOW + 59_999)).toBe(true);
    expect(isDown(ended(20, 0), NOW + 60_000)).toBe(false);
  });

  // Law: never because of one failure, and never while most calls succeed.
  it("is said by failures of several jobs that are half of the last calls at least", () => {
    const call = fc.record({ at: fc.constant(NOW), job: fc.constantFrom("a", "b", "c", "d"), failed: fc.boolean() });
    fc.assert(
      fc.property(fc.array(call, { maxLength: 120 }), (calls) => {
        const recent: Ended[] = [];
        for (const each of calls) noteEnded(recent, each);
        const last = calls.slice(-50);
        const failed = last.filter((each) => each.failed);
        const down = failed.length >= 5 && failed.length * 2 >= last.length && new Set(failed.map(({ job }) => job)).size >= 3;
        expect(isDown(recent, NOW)).toBe(down);
      }),
    );
  });
});
