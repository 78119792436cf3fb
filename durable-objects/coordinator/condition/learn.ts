/** What a call that ended says of its pool, beyond its job. */
import { isDown, noteEnded } from "../../../policy/breaker.ts";
import * as pace from "../../../policy/pace.ts";
import { retire } from "../../../policy/placement.ts";
import * as ramp from "../../../policy/ramp.ts";
import { afterCall, type Sign, STEP_BACK_MS, type Stop } from "../../../policy/stop.ts";
import type { Outcome } from "../../../schemas/rpc.ts";
import type { Book, Entry } from "../book.ts";
import type { PoolState } from "./conditions.ts";
import { recall } from "./recall.ts";

/** So many dispatchers refused for their region without a success between: it is not the dispatcher. */
const REGION_PATIENCE = 8;

/** `outcome`: what the job is to be told; `probe`, `backAt`: as policy/retry.ts wants them. */
export type Lesson = { outcome: Outcome; probe: boolean; backAt: number | null };

/** `dispatcher`: who made the call. */
export function learn(book: Book, entry: Entry, dispatcher: string, said: Outcome, now: number): Lesson {
  const { job, pool, tokens } = entry.row;
  const state = book.conditions.of(pool);
  const outcome = blamed(entry, state, said);
  const probe = state.stop?.probe === job;
  if (outcome.kind === "halted") entry.refusedAt = now;
  if (outcome.kind === "slow_down") slowDown(book, pool, state, entry.leasedAt, now);
  if (outcome.kind === "committed") {
    state.provenAt = now;
    book.conditions.retiredInVain = 0;
    if (state.ramp && outcome.usage) ramp.learn(state.ramp, tokens, outcome.usage.prompt_tokens);
  }
  count(state, job, outcome, now);
  const sign = outcome.kind === "region" ? leave(book, dispatcher) : signOf(state, outcome, now);
  change(book, pool, state, afterCall(state.stop, sign, job, now), now);
  const stood = state.stop !== null && (sign.kind === "halt" || (probe && sign.kind === "failure"));
  return { outcome, probe, backAt: stood ? state.stop!.nextProbeAt + STEP_BACK_MS : null };
}

/** A key that is refused to one job again, and was good for another in between, is good: it is this job that may not. */
function blamed({ refusedAt }: Entry, { provenAt }: PoolState, outcome: Outcome): Outcome {
  if (outcome.kind !== "halted" || outcome.reason !== "credentials" || refusedAt === null || provenAt <= refusedAt) return outcome;
  return { kind: "fatal", problem: outcome.problem };
}

/** For the breaker: whoever answers, whatever it says, is up. */
function count({ recent }: PoolState, job: string, outcome: Outcome, now: number): void {
  if (outcome.kind === "void" || outcome.kind === "aborted") return;
  if (outcome.kind !== "retryable") noteEnded(recent, { at: now, job, failed: false });
  else if (outcome.upstream) noteEnded(recent, { at: now, job, failed: true });
}

function signOf({ recent }: PoolState, outcome: Outcome, now: number): Sign {
  switch (outcome.kind) {
    case "committed":
      return { kind: "success" };
    case "fatal":
    case "rate_limited":
    case "slow_down":
      return { kind: "answer" };
    case "halted":
      return { ...outcome, kind: "halt", code: codeOf(outcome.problem) };
    case "retryable":
      return outcome.upstream ? { kind: "failure", down: isDown(recent, now), code: codeOf(outcome.problem) } : { kind: "nothing" };
    default:
      return { kind: "nothing" };
  }
}

function codeOf({ code, status, type }: { code: string | null; status: number; type: string }): string {
  return code ?? (type === "server_error" ? String(status) : type);
}

/** The object stands where upstream serves nobody, and objects do not move: the call goes to another. */
function leave(book: Book, dispatcher: string): Sign {
  const { conditions } = book;
  if (!conditions.retired.has(dispatcher)) {
    retire(book.fleet, dispatcher);
    conditions.retire(dispatcher);
    conditions.retiredInVain++;
    conditions.notices.push({ level: "warn", event: "dispatcher_retired", dispatcher, reason: "region" });
  }
  if (conditions.retiredInVain < REGION_PATIENCE) return { kind: "nothing" };
  return { kind: "halt", reason: "region", code: "unsupported_country_region_territory", retryAfterMs: null };
}

function slowDown(book: Book, pool: string, state: PoolState, leasedAt: number, now: number): void {
  const next = pace.cut(state.cut, state.use, leasedAt, now);
  if (next === state.cut) return;
  state.cut = next;
  book.conditions.changedPool(pool);
  book.conditions.notices.push({ level: "warn", event: "pool_slowed", pool, share: next.factor });
}

function change(book: Book, pool: string, state: PoolState, next: Stop | null, now: number): void {
  const before = state.stop;
  if (next === before) return;
  state.stop = next;
  book.conditions.changedPool(pool);
  const { notices } = book.conditions;
  if (!next) {
    notices.push({ level: "info", event: "pool_resumed", pool, by: "probe", seconds: Math.round((now - before!.since) / 1_000) });
    // What failed while it was down says nothing of upstream as it is now.
    state.recent.length = 0;
    recall(book, pool, now);
    return;
  }
  const { code, failedProbes: failed_probes, nextProbeAt, reason } = next;
  const facts = { pool, reason, code, failed_probes, next_probe_in_seconds: Math.round((nextProbeAt - now) / 1_000) };
  if (before?.reason !== reason) notices.push({ level: "error", event: reason === "failures" ? "pool_open" : "pool_halted", ...facts });
  else if (failed_probes > before.failedProbes) notices.push({ level: "warn", event: "pool_probe_failed", ...facts });
}
