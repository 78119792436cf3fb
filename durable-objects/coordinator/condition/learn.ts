/** What a call that ended says of its pool, beyond its job. */
import { isDown, noteEnded } from "../../../policy/breaker.ts";
import { paceOf } from "../../../policy/budget.ts";
import * as pace from "../../../policy/pace.ts";
import { retire } from "../../../policy/placement.ts";
import * as ramp from "../../../policy/ramp.ts";
import { neverLeft } from "../../../policy/retry.ts";
import { afterBeginning, afterCall, backAfter, isDoubtful, isProbe, type Sign, type Stop } from "../../../policy/stop.ts";
import type { Outcome } from "../../../schemas/rpc.ts";
import type { Book, Entry } from "../book.ts";
import type { PoolState } from "./conditions.ts";
import { recall } from "./recall.ts";
import { stepBack, took, turnedAway } from "./refusals.ts";

/** After this many dispatchers were refused for their region with no call taken in between, the dispatcher is not the cause. */
const REGION_PATIENCE = 8;

/** `outcome`: what to tell the job; the rest: as policy/retry.ts wants it. */
export type Lesson = { outcome: Outcome; probe: boolean; stood: boolean; backAt: number | null; silentUntil: number };

/** @param dispatcher the one that made the call. @param random in [0, 1): jitter. */
export function learn(book: Book, entry: Entry, dispatcher: string, said: Outcome, now: number, random: number): Lesson {
  const { job, pool } = entry.row;
  const state = book.conditions.of(pool);
  const outcome = blamed(entry, state, said);
  const probe = state.stop !== null && isProbe(state.stop, job);
  if (outcome.kind === "halted") entry.refusedAt = now;
  const { refusals } = entry;
  if (outcome.kind === "committed") {
    took(book, entry, state, now);
    if (outcome.usage) tookInput(entry, state, outcome.usage.prompt_tokens, now);
    if (outcome.usage && state.ramp) ramp.learn(state.ramp, entry.row.tokens, outcome.usage.prompt_tokens);
  }
  const silentUntil = outcome.kind === "committed" ? now : turnedAway(book, entry, state, outcome, now, random);
  // Only now: a call told so in spite of a cut is judged by the cut under which it was dispatched.
  if (outcome.kind === "slow_down") slowDown(book, pool, entry.reservation?.at ?? null, now);
  if (neverLeft(outcome)) tookInput(entry, state, 0, now);
  count(state, job, outcome, now);
  const sign = outcome.kind === "region" ? leave(book, dispatcher) : signOf(state, outcome, now);
  change(book, pool, state, afterCall(state.stop, sign, job, now), now);
  // A probe that was answered, but did not end the stop, has not helped either.
  const stood = state.stop !== null && (sign.kind === "halt" || (probe && sign.kind !== "nothing"));
  const backAt = stood ? backAfter(state.stop!, job) : stepBack(entry, refusals, state, outcome, now, random);
  return { outcome, probe, stood, backAt, silentUntil };
}

/** An answer has begun: whatever its stream brings, upstream took the call. */
export function proven(book: Book, dispatcher: string, job: string, attempt: number, now: number): void {
  const entry = book.leaseOf(dispatcher, { job, attempt });
  if (!entry) return;
  const state = book.conditions.of(entry.row.pool);
  took(book, entry, state, now);
  book.readmit(entry.address.tenant);
  if (state.stop) change(book, entry.row.pool, state, afterBeginning(state.stop, job, now), now);
}

/** A call dispatched before a restart is not part of what was dispatched since. A late call counts from its first dispatch. */
function tookInput({ leasedAt, reservation, row }: Entry, { ramp: governor }: PoolState, input: number, now: number): void {
  if (governor && reservation?.at !== undefined) ramp.settle(governor, row.prompt ?? row.tokens, input, leasedAt, now);
}

/** If a key is refused to the same job again, and worked for another in between, the key is good: it is this job that may not use it. */
function blamed({ refusedAt }: Entry, { provenBy }: PoolState, outcome: Outcome): Outcome {
  if (outcome.kind !== "halted" || outcome.reason !== "credentials" || refusedAt === null || provenBy < refusedAt) return outcome;
  return { kind: "fatal", problem: outcome.problem };
}

/** For the breaker: an upstream that answers is up, whatever it says; one that cannot be reached is not. */
function count({ recent }: PoolState, job: string, outcome: Outcome, now: number): void {
  if (outcome.kind === "retryable") {
    if (outcome.upstream) noteEnded(recent, { at: now, job, failed: true });
  } else if (!neverLeft(outcome) && outcome.kind !== "aborted") noteEnded(recent, { at: now, job, failed: false });
}

function signOf({ recent }: PoolState, outcome: Outcome, now: number): Sign {
  switch (outcome.kind) {
    case "committed":
      return { kind: "success" };
    case "fatal":
      return neverLeft(outcome) ? { kind: "nothing" } : { kind: "answer" };
    case "rate_limited":
    case "no_capacity":
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

/** The dispatcher runs where upstream serves nobody, and objects do not move: another one makes the call. */
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

/**
 * The account's traffic as a whole grew too fast, so every pool is cut. A pool that is told again in spite of that is cut alone: the others' own calls tell
 * whether their cut was enough.
 */
function slowDown(book: Book, pool: string, startedAt: number | null, now: number): void {
  const isFirst = pace.isFirst(book.conditions.of(pool).cut, now);
  if (!slow(book, pool, startedAt, now) || !isFirst) return;
  for (const other of book.pools.keys()) if (other !== pool) slow(book, other, startedAt, now);
}

/** Returns whether it was cut. */
function slow({ conditions, pools }: Book, pool: string, startedAt: number | null, now: number): boolean {
  const state = conditions.of(pool);
  const last = state.cut;
  const next = pace.cut(last, state.use, startedAt, paceOf(pools.get(pool)!.budget), now);
  if (next === last) return false;
  state.cut = next;
  conditions.changedPool(pool);
  if (next.factor !== last?.factor) conditions.notices.push({ level: "warn", event: "pool_slowed", pool, share: next.factor });
  return true;
}

function change(book: Book, pool: string, state: PoolState, next: Stop | null, now: number): void {
  const before = state.stop;
  if (next === before) return;
  state.stop = next;
  book.conditions.changedPool(pool);
  const { notices } = book.conditions;
  if (!next) {
    if (!isDoubtful(before!))
      notices.push({ level: "info", event: "pool_resumed", pool, by: "probe", seconds: Math.round((now - before!.since) / 1_000) });
    // Failures while it was down say nothing of upstream now.
    state.recent.length = 0;
    recall(book, pool, now);
    return;
  }
  const { code, failedProbes: failed_probes, nextProbeAt, reason } = next;
  const facts = { pool, reason, code, failed_probes, next_probe_in_seconds: Math.round((nextProbeAt - now) / 1_000) };
  if (isDoubtful(next)) {
    if (before?.reason !== reason) notices.push({ level: "warn", event: "key_refused", pool, code });
  } else if (before?.reason !== reason || isDoubtful(before))
    notices.push({ level: "error", event: reason === "failures" ? "pool_open" : "pool_halted", ...facts });
  else if (failed_probes > before.failedProbes) notices.push({ level: "warn", event: "pool_probe_failed", ...facts });
}
