/** What the condition of a pool lets start. */
import type { Notice } from "../../../platform/telemetry.ts";
import { paceMs, paceOf } from "../../../policy/budget.ts";
import * as credit from "../../../policy/credit.ts";
import type { Answer } from "../../../policy/gate.ts";
import * as pace from "../../../policy/pace.ts";
import type { Waiting } from "../../../policy/queue.ts";
import * as ramp from "../../../policy/ramp.ts";
import * as silence from "../../../policy/silence.ts";
import { isProbe as isProbeOf, probeAt } from "../../../policy/stop.ts";
import type { Book, Entry, Pool } from "../book.ts";
import { believe, sees } from "../limits.ts";
import { entryOf } from "../waiting.ts";
import { keptUntil } from "./kept.ts";
import { letGo } from "./refusals.ts";

/** Why a job must wait, and until when (ms; Infinity if only an event can tell). */
export type Held = { answer: Answer; at: number };

/** Null if the pool's condition lets the job start. */
export function heldBack(book: Book, pool: Pool, { prompt, tenant, tokens }: Waiting, now: number): Held | null {
  const { conditions } = book;
  const state = conditions.of(pool.id);
  if (conditions.pausedAt !== null || state.pausedAt !== null) return { answer: "pool", at: Number.POSITIVE_INFINITY };
  if (conditions.pausedTenants.has(tenant)) return { answer: "lane", at: Number.POSITIVE_INFINITY };
  let at = state.stop ? probeAt(state.stop) : now;
  if (state.credit) at = Math.max(at, credit.readyAt(state.credit, now));
  if (state.silence) at = Math.max(at, silence.readyAt(state.silence, now));
  if (state.cut) at = Math.max(at, pace.readyAt(state.cut, now));
  if (state.ramp) at = Math.max(at, ramp.readyAt(state.ramp, prompt ?? tokens, now));
  if (at > now) return { answer: "pool", at };
  const ownAt = keptUntil(book, pool, state, tenant, now);
  return ownAt > now ? { answer: "lane", at: ownAt } : null;
}

/**
 * Whether a call that was let go, but has not left, may not leave any more: its job was paused, or its pool stands still or is silent since. Not if it went to
 * see whether that is over. What it took of a pool's pace when it was let go, it has.
 */
export function isRecalled({ conditions }: Book, { address, reservation, row }: Entry, now: number): boolean {
  const { pausedAt, silence: silent, stop } = conditions.of(row.pool);
  if (conditions.pausedAt !== null || pausedAt !== null || conditions.pausedTenants.has(address.tenant)) return true;
  if (stop && !isProbeOf(stop, row.job)) return true;
  return silent !== null && now < silent.until && !silence.tells(silent, reservation?.at ?? null);
}

/** A job starts: it takes its part of what a growing pool may use, and becomes the probe of a pool that stands still. */
export function begun(book: Book, pool: Pool, waiting: Waiting, now: number): void {
  const { job, prompt, tokens } = waiting;
  const state = book.conditions.of(pool.id);
  const costMs = paceMs(pace.paceFor(state.cut, paceOf(pool.budget)), tokens);
  state.use = pace.use(state.use, costMs, now);
  if (!pace.standsFor(state.usedBefore, state.use)) book.conditions.changedPool(pool.id);
  letGo(book, entryOf(waiting), state, now);
  if (state.cut) state.cut = pace.start(state.cut, costMs, now);
  if (state.ramp) ramp.start(state.ramp, prompt ?? tokens, now);
  if (!state.stop) return;
  state.stop = { ...state.stop, probe: job };
  book.conditions.changedPool(pool.id);
}

/** Whether the pool stands still and the next job dispatched is its probe. */
export function isProbeDue(book: Book, { id }: Pool, now: number): boolean {
  const { stop } = book.conditions.of(id);
  return stop !== null && probeAt(stop) <= now;
}

/** Whether it matters, before a call dispatched just now has ended, that upstream took it. */
export function isProbe(book: Book, entry: Entry): boolean {
  const { address, credit: lent, row } = entry;
  const { stop, vain } = book.conditions.of(row.pool);
  return lent === "risked" || stop?.probe === row.job || vain.has(address.tenant) || sees(book, entry);
}

/** What changes with time alone: a limit comes to be believed, a cut pool is back at its rate, a new minute has its own level. */
export function refresh(book: Book, pool: Pool, now: number): void {
  const state = book.conditions.of(pool.id);
  believe(book, pool, now);
  if (state.ramp && ramp.turn(state.ramp, now)) book.conditions.changedPool(pool.id);
  if (!state.cut || pace.shareAt(state.cut, now) < 1) return;
  const slowedFor = Math.round((now - state.cut.at) / 1_000);
  state.cut = null;
  book.conditions.changedPool(pool.id);
  book.conditions.notices.push({ level: "info", event: "pool_back_to_rate", pool: pool.id, seconds: slowedFor } satisfies Notice);
}
