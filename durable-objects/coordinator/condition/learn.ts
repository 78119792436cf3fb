/** What a call that ended says of its pool, beyond its job. */

import { backoffMs } from "../../../policy/backoff.ts";
import { isDown, noteEnded } from "../../../policy/breaker.ts";
import { exhaust } from "../../../policy/budget.ts";
import * as pace from "../../../policy/pace.ts";
import { retire } from "../../../policy/placement.ts";
import * as ramp from "../../../policy/ramp.ts";
import {
  afterAdmission,
  afterRefusal,
  afterStorm,
  isRepeated,
  isSameAlone,
  isStorm,
  NO_REFUSALS,
  SILENCE_MS,
} from "../../../policy/refusals.ts";
import { afterCall, type Sign, STEP_BACK_MS, type Stop } from "../../../policy/stop.ts";
import type { Outcome } from "../../../schemas/rpc.ts";
import type { Book, Entry } from "../book.ts";
import type { PoolState } from "./conditions.ts";
import { recall } from "./recall.ts";

/** So many dispatchers refused for their region without a success between: it is not the dispatcher. */
const REGION_PATIENCE = 8;
/** So often a job may be turned away while others are taken, and keep its place; and so long it steps back at the most, ms. */
const PATIENCE = 3;
const ASIDE_MOST_MS = 600_000;

/** `outcome`: what the job is to be told; the rest: as policy/retry.ts wants it. */
export type Lesson = { outcome: Outcome; probe: boolean; stands: boolean; backAt: number | null; silentUntil: number };

/** `dispatcher`: who made the call. `random` in [0, 1): jitter. */
export function learn(book: Book, entry: Entry, dispatcher: string, said: Outcome, now: number, random: number): Lesson {
  const { job, pool } = entry.row;
  const state = book.conditions.of(pool);
  const outcome = blamed(entry, state, said);
  const probe = state.stop?.probe === job;
  if (outcome.kind === "halted") entry.refusedAt = now;
  if (outcome.kind === "slow_down") slowDown(book, pool, state, entry.reservation?.at ?? null, now);
  const silentUntil = turnedAway(book, entry, state, outcome, now, random);
  if (outcome.kind === "committed") {
    took(book, entry, state, now);
    if (outcome.usage) tookInput(entry, state, outcome.usage.prompt_tokens, now);
    if (outcome.usage && state.ramp) ramp.learn(state.ramp, entry.row.tokens, outcome.usage.prompt_tokens);
  }
  if (outcome.kind === "void") tookInput(entry, state, 0, now);
  count(state, job, outcome, now);
  const sign = outcome.kind === "region" ? leave(book, dispatcher) : signOf(state, outcome, now);
  change(book, pool, state, afterCall(state.stop, sign, job, now), now);
  const stands = state.stop !== null && (sign.kind === "halt" || (probe && (sign.kind === "failure" || sign.kind === "refusal")));
  const backAt = stands ? state.stop!.nextProbeAt + STEP_BACK_MS : stepBack(entry, outcome, now, random);
  return { outcome, probe, stands, backAt, silentUntil };
}

/** The headers of a probe's answer are there: whatever its stream brings, it was taken. Of an outage the whole stream tells. */
export function proven(book: Book, dispatcher: string, job: string, attempt: number, now: number): void {
  const entry = book.entries.get(job);
  if (entry?.row.phase !== "leased" || entry.row.attempt !== attempt || entry.row.dispatcher !== dispatcher) return;
  const state = book.conditions.of(entry.row.pool);
  if (state.stop?.probe !== job || state.stop.reason === "failures") return;
  took(book, entry, state, now);
  change(book, entry.row.pool, state, afterCall(state.stop, { kind: "success" }, job, now), now);
}

function took(book: Book, { leasedAt }: Entry, state: PoolState, now: number): void {
  state.provenAt = now;
  state.refusals = afterAdmission(state.refusals, leasedAt);
  book.conditions.retiredInVain = 0;
}

/** A call that found no room: answers until when the pool is silent for it, ms. Of a pool that stands still, its probes take care. */
function turnedAway(book: Book, entry: Entry, state: PoolState, outcome: Outcome, now: number, random: number): number {
  if (outcome.kind === "slow_down") return now + (outcome.retryAfterMs ?? SILENCE_MS.first) * (1 + 0.1 * random);
  if (outcome.kind !== "rate_limited" && outcome.kind !== "no_capacity") return now;
  const { at, times } = entry.turnedAway;
  const { job } = entry.row;
  const alone = outcome.kind === "no_capacity" || state.provenAt > at || isSameAlone(state.refusals, job);
  entry.turnedAway = { times: alone ? times + 1 : times, at: now };
  if (outcome.kind === "no_capacity" || state.stop) return now;
  const known = state.refusals;
  state.refusals = afterRefusal(known, { job, leasedAt: entry.leasedAt, retryAfterMs: outcome.retryAfterMs }, now, random);
  const { rounds, until } = state.refusals;
  if (rounds !== known.rounds && isRepeated(state.refusals)) exhaust(book.pools.get(entry.row.pool)!.budget, until);
  return until;
}

/** A job that finds no room where others do lets them go by, and does not silence the pool again and again. */
function stepBack({ turnedAway }: Entry, outcome: Outcome, now: number, random: number): number | null {
  const { times } = turnedAway;
  if (outcome.kind === "no_capacity") return now + backoffMs(times, random, outcome.retryAfterMs);
  if (outcome.kind !== "rate_limited" || times < PATIENCE) return null;
  return now + Math.min(ASIDE_MOST_MS, 1_000 * 2 ** times);
}

/** A call that was let go before a restart is not in what was let go since. */
function tookInput({ reservation, row }: Entry, { ramp: governor }: PoolState, input: number, now: number): void {
  if (governor && reservation?.at !== undefined) ramp.settle(governor, row.prompt ?? row.tokens, input, now);
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

function signOf({ recent, refusals }: PoolState, outcome: Outcome, now: number): Sign {
  switch (outcome.kind) {
    case "committed":
      return { kind: "success" };
    case "fatal":
      return { kind: "answer" };
    case "rate_limited":
      return { kind: "refusal", storm: isStorm(refusals, now), retryAfterMs: outcome.retryAfterMs };
    case "slow_down":
      return { kind: "refusal", storm: false, retryAfterMs: outcome.retryAfterMs };
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

function slowDown(book: Book, pool: string, state: PoolState, startedAt: number | null, now: number): void {
  const next = pace.cut(state.cut, state.use, startedAt, now);
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
    state.refusals = before!.reason === "rate_limit" ? afterStorm(now) : NO_REFUSALS;
    recall(book, pool, now);
    return;
  }
  const { code, failedProbes: failed_probes, nextProbeAt, reason } = next;
  const facts = { pool, reason, code, failed_probes, next_probe_in_seconds: Math.round((nextProbeAt - now) / 1_000) };
  if (before?.reason !== reason) notices.push({ level: "error", event: reason === "failures" ? "pool_open" : "pool_halted", ...facts });
  else if (failed_probes > before.failedProbes) notices.push({ level: "warn", event: "pool_probe_failed", ...facts });
}
