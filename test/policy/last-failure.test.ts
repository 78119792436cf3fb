import { describe, expect, it } from "vitest";
import { type Failure, failureOf, toldFailure } from "../../policy/last-failure.ts";
import type { Problem } from "../../schemas/problem.ts";
import type { Outcome } from "../../schemas/rpc.ts";

const NOW = 4_000_000_000_000;
const problem: Problem = { status: 429, type: "requests", code: "rate_limit_exceeded", message: "Slow down.", param: null };
const limited: Outcome = { kind: "rate_limited", retryAfterMs: null, problem };
const failed = (more: Partial<Problem> = {}): Outcome => ({
  ...{ kind: "retryable", unknown: false, retryAfterMs: null },
  problem: { ...problem, status: 503, code: null, message: "Busy.", ...more },
});
const facts = { attempt: 3, counted: false, before: undefined, now: NOW };

describe("of a call that came to nothing is remembered", () => {
  it.each<[string, Outcome, Partial<Failure>]>([
    ["upstream's refusal, in its own words", limited, { status: 429, code: "rate_limit_exceeded", message: "Slow down." }],
    ["the same without words", { kind: "rate_limited", retryAfterMs: 9 }, { status: 429, code: "rate_limit_exceeded", message: null }],
    ["no capacity without words", { kind: "no_capacity", retryAfterMs: 9 }, { status: 429, code: "resource_unavailable", message: null }],
    ["a slow_down without words", { kind: "slow_down", retryAfterMs: 9 }, { status: 503, code: "slow_down", message: null }],
    ["a failure", failed(), { status: 503, code: null, message: "Busy." }],
    ["one of which nothing is said", failed({ message: "" }), { status: 503, code: null, message: null }],
    ["a place where upstream serves nobody", { kind: "region", problem }, { message: "Slow down." }],
    [
      "a bill or a key, and not what is said of it",
      { kind: "halted", reason: "credentials", retryAfterMs: null, problem: { ...problem, status: 401, message: "Wrong key sk-1." } },
      { status: 401, code: "rate_limit_exceeded", message: null },
    ],
  ])("%s", (_, outcome, kept) => {
    expect(failureOf(outcome, facts)).toMatchObject({ attempt: 3, counted: false, at: NOW, times: 1, ...kept });
  });

  it("nothing, if nothing failed", () => {
    for (const kind of ["void", "aborted"] as const) expect(failureOf({ kind }, facts)).toBeUndefined();
    expect(failureOf({ kind: "committed", usage: null }, facts)).toBeUndefined();
  });
});

it("how many calls in a row ended so is counted, and begins anew with another end", () => {
  const first = failureOf(limited, { ...facts, attempt: 1 });
  const second = failureOf(limited, { ...facts, attempt: 2, before: first });
  expect(second).toMatchObject({ attempt: 2, times: 2 });
  const third = failureOf(failed(), { ...facts, attempt: 3, before: second });
  expect(third).toMatchObject({ attempt: 3, times: 1 });
  // A probe that finds the same is not an attempt.
  expect(failureOf(failed(), { ...facts, attempt: 4, counted: true, before: third })).toMatchObject({ times: 1 });
});

it("a long message is kept in its beginning, and never with half a character", () => {
  const kept = failureOf(failed({ message: `x${"😀".repeat(50_000)}` }), facts)!.message!;
  expect(kept.length).toBeLessThanOrEqual(201);
  expect(kept).toMatch(/^x(😀)+…$/u);
});

it("is told in seconds; of a job in line without a time of the next call", () => {
  const failure = failureOf(failed(), { ...facts, counted: true })!;
  const told = { attempt: 3, counted: true, status: 503, code: null, message: "Busy.", times: 1, failed_at: NOW / 1_000 };
  expect(toldFailure(failure, NOW + 1_500)).toEqual({ ...told, retry_at: NOW / 1_000 + 1.5 });
  expect(toldFailure(failure, null)).toEqual({ ...told, retry_at: null });
});
