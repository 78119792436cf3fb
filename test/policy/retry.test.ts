import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { BACKOFF_BASE_MS, BACKOFF_CAP_MS, backoffMs } from "../../policy/backoff.ts";
import { afterAttempt, MAX_ATTEMPTS, MAX_TOTAL_MS, type Record } from "../../policy/retry.ts";
import type { Problem } from "../../schemas/problem.ts";
import type { Outcome } from "../../schemas/rpc.ts";

const NOW = 1_780_000_000_000;
const problem: Problem = { status: 500, type: "server_error", code: null, message: "oops", param: null };
const record = (some: Partial<Record>): Record => ({
  attempt: 1,
  waits: 0,
  unknown: 0,
  firstStartedAt: NOW,
  probe: false,
  alike: 0,
  backAt: null,
  silentUntil: NOW + 2_000,
  ...some,
});
const retryable = (some: Partial<Extract<Outcome, { kind: "retryable" }>> = {}): Outcome => ({
  kind: "retryable",
  unknown: false,
  retryAfterMs: null,
  problem,
  ...some,
});
const limited = (retryAfterMs: number | null): Outcome => ({ kind: "rate_limited", retryAfterMs });

describe("what becomes of a job", () => {
  it.each<[string, Outcome, Partial<Record>, unknown]>([
    ["committed -> the end", { kind: "committed", usage: null }, {}, { kind: "end" }],
    ["void -> the end", { kind: "void" }, {}, { kind: "end" }],
    ["late -> a wait; of its first call, that was no start", { kind: "late" }, {}, { kind: "wait", holdUntil: NOW, anew: true }],
    ["late again -> a wait", { kind: "late" }, { attempt: 2, waits: 1 }, { kind: "wait", holdUntil: NOW }],
    ["aborted -> the end", { kind: "aborted" }, {}, { kind: "end" }],
    ["committed on the last attempt -> the end", { kind: "committed", usage: null }, { attempt: MAX_ATTEMPTS }, { kind: "end" }],
    ["committed after a day -> the end", { kind: "committed", usage: null }, { firstStartedAt: 0 }, { kind: "end" }],
    ["fatal -> failed with upstream's own problem", { kind: "fatal", problem }, {}, { kind: "fail", problem }],
    ["429 -> waits, as long as the pool is silent", limited(null), {}, { kind: "wait", holdUntil: NOW + 2_000 }],
    ["429 of a job that steps back -> until then", limited(1), { backAt: 7 }, { kind: "wait", holdUntil: NOW + 2_000, backAt: 7 }],
    [
      "no capacity -> waits",
      { kind: "no_capacity", retryAfterMs: null },
      { silentUntil: NOW, backAt: 9 },
      { kind: "wait", holdUntil: NOW, backAt: 9 },
    ],
    ["429 after a day -> failed", limited(1), { firstStartedAt: NOW - MAX_TOTAL_MS - 1 }, tooLong()],
    ["429 at a day -> waits", limited(0), { firstStartedAt: NOW - MAX_TOTAL_MS }, { kind: "wait", holdUntil: NOW + 2_000 }],
    [
      "a halt after a day -> waits, and its time begins anew",
      { kind: "halted", reason: "billing", retryAfterMs: null, problem },
      { firstStartedAt: 0, backAt: 5 },
      { kind: "wait", holdUntil: NOW, backAt: 5, anew: true },
    ],
    ["too long for the third time -> failed with it", retryable({ unknown: true, repeats: 3 }), { alike: 2 }, { kind: "fail", problem }],
    [
      "too long for the second time -> another attempt",
      retryable({ unknown: true, repeats: 3 }),
      { alike: 1, unknown: 7 },
      { kind: "retry", at: NOW, unknown: true, problem },
    ],
    ["an error -> another attempt", retryable(), {}, { kind: "retry", at: NOW, unknown: false, problem }],
    ["an unknown end -> another attempt, marked", retryable({ unknown: true }), {}, { kind: "retry", at: NOW, unknown: true, problem }],
    [
      "an error with Retry-After -> no earlier",
      retryable({ retryAfterMs: 9_000 }),
      {},
      { kind: "retry", at: NOW + 9_000, unknown: false, problem },
    ],
    ["an error on the last attempt -> failed with it", retryable(), { attempt: MAX_ATTEMPTS }, { kind: "fail", problem }],
    [
      "an error on the last but one -> another",
      retryable(),
      { attempt: MAX_ATTEMPTS - 1 },
      { kind: "retry", at: NOW, unknown: false, problem },
    ],
    [
      "never sent, however often -> another attempt, and it was none",
      retryable({ unsent: true }),
      { attempt: 40 },
      { kind: "retry", at: NOW, unknown: false, problem, uncounted: true },
    ],
    [
      "never sent for a day -> failed",
      retryable({ unsent: true }),
      { attempt: 40, waits: 39, firstStartedAt: NOW - MAX_TOTAL_MS - 1 },
      tooLong(),
    ],
    ["an error after a day -> failed", retryable(), { attempt: 2, firstStartedAt: NOW - MAX_TOTAL_MS - 1 }, tooLong()],
  ])("%s", (_, outcome, facts, next) => {
    expect(afterAttempt(outcome, record(facts), NOW, 0)).toEqual(next);
  });

  it("comes back later each time that it was not sent, up to a minute", () => {
    const unsent = retryable({ unsent: true });
    const waits = [1, 2, 3, 40].map((attempt) => afterAttempt(unsent, record({ attempt, waits: attempt - 1 }), NOW, 0.5));
    expect(waits.map((next) => "at" in next && next.at - NOW)).toEqual([500, 1_000, 2_000, 30_000]);
  });

  // Law: a 429 is a wait, never an attempt: however many there were, the job has all its attempts left.
  it("never counts a rate limit as an attempt", () => {
    fc.assert(
      fc.property(fc.nat(100_000), fc.integer({ min: 1, max: MAX_ATTEMPTS * 2 }), (waits, failures) => {
        const waiting = record({ attempt: waits + failures, waits });
        expect(afterAttempt(retryable(), waiting, NOW, 0).kind).toBe(failures >= MAX_ATTEMPTS ? "fail" : "retry");
        expect(afterAttempt(limited(null), waiting, NOW, 0).kind).toBe("wait");
        const random = 0.999;
        const waited = afterAttempt(retryable(), waiting, NOW, random);
        const plain = afterAttempt(retryable(), record({ attempt: failures }), NOW, random);
        expect(waited).toEqual(plain);
      }),
    );
  });
});

describe("a backoff", () => {
  it("doubles its bound with each failure, up to a minute", () => {
    const bounds = [1, 2, 3, 4, 5, 6, 7, 8, 5_000].map((failures) => backoffMs(failures, 1, null));
    expect(bounds).toEqual([1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000, 60_000]);
  });

  // Law: full jitter: the wait is uniform from 0 (or Retry-After) up to the bound, which never exceeds the cap.
  it("lies anywhere between nothing and its bound, on top of Retry-After", () => {
    const random = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 1e6 }), random, fc.option(fc.nat(1e7), { nil: null }), (failures, random, atLeast) => {
        const wait = backoffMs(failures, random, atLeast) - (atLeast ?? 0);
        const bound = Math.min(BACKOFF_CAP_MS, BACKOFF_BASE_MS * 2 ** (failures - 1));
        expect(wait / bound).toBeCloseTo(random, 6);
        expect(backoffMs(failures, 0, atLeast)).toBe(atLeast ?? 0);
      }),
    );
  });
});

function tooLong() {
  return { kind: "fail", problem: expect.objectContaining({ status: 504, code: "retry_time_exceeded" }) };
}
