/** What is remembered of a job's last call that came to nothing: told to whoever asks why the job waits. */
import type { LastFailure } from "../schemas/job.ts";
import type { Problem } from "../schemas/problem.ts";
import type { Outcome } from "../schemas/rpc.ts";

/** As a ticket has it: `at` in ms, `message` null if there is none to tell. `times`: how many calls in a row ended this way. */
export type Failure = Omit<LastFailure, "failed_at" | "retry_at"> & { at: number };

/** Most characters of upstream's message: each job that waits for a retry is in memory, with all that is known about it. */
const MESSAGE_CHARACTERS = 200;

/** What upstream usually says, where an older version did not pass it on. */
const USUAL = {
  rate_limited: { status: 429, code: "rate_limit_exceeded" },
  no_capacity: { status: 429, code: "resource_unavailable" },
  slow_down: { status: 503, code: "slow_down" },
};

export type Facts = {
  /** The call's attempt number. */
  attempt: number;
  /** Whether the call counts as an attempt. */
  counted: boolean;
  before: Failure | undefined;
  now: number;
};

/** The failure of a call after which the job waits for another; undefined if nothing failed. */
export function failureOf(outcome: Outcome, { attempt, before, counted, now }: Facts): Failure | undefined {
  const said = saidBy(outcome);
  if (!said) return undefined;
  const again = before?.status === said.status && before.code === said.code && before.counted === counted;
  return { attempt, counted, ...said, times: again ? before.times + 1 : 1, at: now };
}

/** The failure as a client sees it. `retryAt` (ms): null if the job is in line again. */
export function toldFailure({ at, ...failure }: Failure, retryAt: number | null): LastFailure {
  return { ...failure, failed_at: at / 1_000, retry_at: retryAt === null ? null : retryAt / 1_000 };
}

/** The failure as an end user sees it: what upstream says about a call that did not count as an attempt is about the account, its limits or its bill. */
export function withoutAccount(failure: LastFailure): LastFailure {
  return failure.counted ? failure : { ...failure, code: null, message: null };
}

function saidBy(outcome: Outcome): Pick<Failure, "status" | "code" | "message"> | null {
  switch (outcome.kind) {
    case "rate_limited":
    case "no_capacity":
    case "slow_down":
      return outcome.problem ? worded(outcome.problem) : { ...USUAL[outcome.kind], message: null };
    case "halted":
      // This is about the account, and a message about a key may name the key.
      return { ...worded(outcome.problem), message: null };
    case "region":
    case "retryable":
      return worded(outcome.problem);
    default:
      return null;
  }
}

function worded({ code, message, status }: Problem): Pick<Failure, "status" | "code" | "message"> {
  return { status, code, message: message === "" ? null : beginningOf(message) };
}

function beginningOf(text: string): string {
  if (text.length <= MESSAGE_CHARACTERS) return text;
  // Copied character by character, because a slice of a long text keeps all of it in memory. Half a surrogate pair is not a character.
  const kept = text.slice(0, MESSAGE_CHARACTERS).replace(/[\ud800-\udbff]$/, "");
  return [...kept, "…"].join("");
}
