/**
 * Jobs that a caller waits for as for a plain call to OpenAI. Law: while the caller is there, or may come back, the job is theirs alone. A retry with
 * the same body finds it; a caller that was answered cannot find it again (except by a retry at once, or when it would give up waiting); and a caller that
 * stays away for good leaves nothing running that nobody wants.
 *
 * A caller is there while its door's socket is open; others may watch the job meanwhile, which changes nothing. Two callers may send the same body and want
 * an answer each, so a retry is given a job whose caller is not there, if there is one.
 */
import { isEnd } from "../../policy/lifecycle.ts";
import type { Call } from "../../schemas/rpc.ts";
import { Answered, MOMENT_MS } from "./answered.ts";
import { find } from "./attempts.ts";
import type { Desk } from "./desk.ts";
import { cancel } from "./read.ts";
import type { JobRow } from "./store/store.ts";
import { idOf } from "./view.ts";

/** How long a caller may stay away before the job is given up. SDKs wait eight seconds at most between two tries. */
const GRACE_MS = 30_000;
/** How long an answer that nobody has fetched is kept for a retry. */
const UNFETCHED_MS = 300_000;
/** A job whose caller we sent away ourselves, with the promise that it lives on, is given up only after this. */
const DISMISSED_MS = 86_400_000;
/** For its client, a call is at most this much older than for us. */
const UNDERWAY_MS = 1_000;
/** How long a retry that was given a job may take to follow it: no other is given the same job meanwhile. */
const HANDOVER_MS = 5_000;

export class Calls {
  readonly #desk: () => Desk;
  /** Jobs given to a retry that does not follow them yet: until when, and by which submit. */
  readonly #given = new Map<number, { until: number; nonce: string }>();
  /** Jobs whose caller is known to have gone. Doors that died with the object gave no notice, so their jobs are not here. */
  readonly #gone = new Set<number>();
  readonly #answered: Answered;

  constructor(desk: () => Desk) {
    this.#desk = desk;
    this.#answered = new Answered(() => this.#desk().now());
  }

  /**
   * The job that answers a call; null if it needs one of its own. A retry is given the oldest job with its body that lost its caller, or else the oldest of
   * all: a broken connection may not have shown yet, and calling upstream twice is worse than answering two callers alike. Not every program says that it
   * retries, so any call is given a job whose caller is known to have left, unless the job was given up since. `nonce`: the submit's.
   */
  adopt({ body, retried }: Call, nonce: string): JobRow | null {
    const { now } = this.#desk();
    const row = retried ? this.#retriedBy(body) : this.#leftBehind(body);
    if (!row) return null;
    // Perhaps the job of another caller that was told to come back in a moment: its retry then needs a job of its own.
    if (!retried && this.#dismissedAt(row) > now() - MOMENT_MS) this.#answered.refused(body);
    this.#given.set(row.n, { until: now() + HANDOVER_MS, nonce });
    if (retried) this.returned(row);
    // Another caller that comes for the job, and goes, changes nothing in what its own caller was promised.
    else this.#miss(row);
    return row;
  }

  /** The job's caller is back: a promise that it was given when we sent it away no longer counts. */
  returned(row: JobRow): void {
    if (!row.call) return;
    this.#desk().store.calls.promise(row.call.body, row.n, null);
    this.#miss(row);
  }

  /** The job that a submit was given before, if this is the same submit repeated. */
  adoptedBy(nonce: string): JobRow | null {
    for (const [n, given] of this.#given) if (given.nonce === nonce) return this.#desk().store.job(n);
    return null;
  }

  /** The caller was sent the whole answer. `givesUpMs`: ms until it would try again if none of it arrived; null if it would not. */
  collect(id: string, givesUpMs: number | null): void {
    const { now, store } = this.#desk();
    const row = find(this.#desk(), id);
    if (row?.call) store.calls.noteSent(row.call.body, row.n, now(), givesUpMs === null ? null : now() + givesUpMs);
  }

  /** The caller has gone without being sent the whole answer. Noted for ended jobs only: there, the closing of its door does not say whether it was sent. */
  abandon(id: string): void {
    const row = find(this.#desk(), id);
    if (row && isEnd(row.status)) this.#leave(row);
  }

  /** A call did not become a job: its caller may come again. */
  refused({ body }: Call): void {
    this.#answered.refused(body);
  }

  /** The caller is sent away and told to come back: its job lives on. */
  dismiss(id: string): void {
    const { now, store } = this.#desk();
    const row = find(this.#desk(), id);
    if (!row?.call) return;
    this.#leave(row);
    store.calls.promise(row.call.body, row.n, now() + DISMISSED_MS);
  }

  /** Calls have become jobs: an alarm checks in time whether their callers follow them. */
  began(rows: JobRow[]): void {
    const { now, wakeBy } = this.#desk();
    if (rows.some(({ call }) => call?.onDisconnect === "cancel")) wakeBy(now() + GRACE_MS);
  }

  /** The door of the job's caller is there. */
  came(n: number): void {
    const { store } = this.#desk();
    this.#given.delete(n);
    this.#gone.delete(n);
    const row = store.job(n);
    // As if it had never left: when it does, or this object dies, its grace period starts over.
    if (row?.call && (store.calls.leftAt(row.call.body, n) ?? 0) > row.accepted_at) store.calls.leave(row.call.body, n, row.accepted_at);
  }

  /** The door of the job's caller has gone, or a follower that may be that door. */
  left(n: number): void {
    const { called, now, store, wakeBy } = this.#desk();
    const row = this.#gone.has(n) || called(n) ? null : store.job(n);
    if (!row?.call || isEnd(row.status)) return;
    this.#gone.add(n);
    this.#leave(row);
    wakeBy(now() + GRACE_MS);
  }

  /** Gives up the jobs whose callers stayed away; returns when to look again (ms), null if nobody is missing. */
  async sweep(): Promise<number | null> {
    const desk = this.#desk();
    let next: number | null = null;
    desk.store.calls.dropOver(desk.now() - MOMENT_MS, desk.now() - UNFETCHED_MS);
    const calls = desk.store.calls.open();
    const known = new Set(calls.map(({ n }) => n));
    for (const n of this.#gone) if (!known.has(n)) this.#gone.delete(n);
    for (const { n, left_at, promised_until } of calls) {
      const row = desk.called(n) ? null : desk.store.job(n);
      if (row?.call?.onDisconnect !== "cancel") continue;
      let until = Math.max(left_at + GRACE_MS, this.#given.get(n)?.until ?? 0);
      if (until <= desk.now() && left_at <= row.accepted_at) {
        // No departure was noted: the caller never came, or its door broke with this object and is on its way back.
        this.#leave(row);
        until = desk.now() + GRACE_MS;
      }
      until = Math.max(until, promised_until ?? 0);
      if (until <= desk.now()) await cancel(desk, idOf(desk.address, row));
      else next = Math.min(next ?? Number.POSITIVE_INFINITY, until);
    }
    return next;
  }

  #leftBehind(body: string): JobRow | null {
    const { called, store } = this.#desk();
    for (const n of store.calls.leftBehind(body)) {
      const row = this.#isGiven(n) || called(n) ? null : store.job(n);
      if (row && this.#isWorthIt(row) && (row.status === "completed" || !isEnd(row.status))) return row;
    }
    return null;
  }

  #retriedBy(body: string): JobRow | null {
    const { called, store } = this.#desk();
    const all = store.calls.of(body);
    const find = (wanted: (n: number) => boolean) => {
      for (const n of all) {
        const row = wanted(n) ? store.job(n) : null;
        if (row && this.#isWorthIt(row)) return row;
      }
      return null;
    };
    const left = new Set(store.calls.leftBehind(body));
    const lost = find((n) => left.has(n) && !this.#isGiven(n) && !called(n));
    if (lost) return lost;
    // The retry of a call that never became a job gets a job of its own.
    if (this.#answered.explains(body)) return null;
    return (
      find((n) => !this.#isGiven(n) && !called(n)) ??
      this.#missed(body, 1) ??
      find((n) => !this.#isGiven(n)) ??
      // Even one that was just given to a retry: this may be a retry of that retry.
      find(() => true) ??
      this.#missed(body, Number.POSITIVE_INFINITY)
    );
  }

  /** The caller is back, but counts as away until it follows the job. */
  #miss(row: JobRow): void {
    const { now, wakeBy } = this.#desk();
    this.#leave(row);
    wakeBy(now() + GRACE_MS);
  }

  /** The job's caller is away from now on. Noted as later than accepted_at: a left_at equal to that means that no departure was noted. */
  #leave({ accepted_at, call, n }: JobRow): void {
    const { now, store } = this.#desk();
    if (call) store.calls.leave(call.body, n, Math.max(now(), accepted_at + 1));
  }

  /** When its caller was sent away, ms; a time long past if it was not. */
  #dismissedAt({ call, n }: JobRow): number {
    return (this.#desk().store.calls.promisedUntil(call!.body, n) ?? 0) - DISMISSED_MS;
  }

  /** A job that was given up has no answer, one that ended long ago is no longer kept for a retry, and one with an Idempotency-Key is found by that. */
  #isWorthIt({ ended_at, idempotency_key, status }: JobRow): boolean {
    return idempotency_key === null && status !== "cancelled" && (ended_at === null || this.#desk().now() - ended_at <= UNFETCHED_MS);
  }

  /**
   * A job whose answer was sent, but may not have arrived: a connection can break on the last bytes, or long before without a word, and nobody here knows.
   * `times`: only one that was given again fewer times than this.
   */
  #missed(body: string, times: number): JobRow | null {
    const { now, store } = this.#desk();
    const sent = store.calls.sent(body, now() - MOMENT_MS, now() + UNDERWAY_MS).flatMap((n) => store.job(n) ?? []);
    const answers = sent.filter((row) => row.status === "completed" && row.idempotency_key === null);
    const n = this.#answered.least(
      answers.map((row) => row.n),
      times,
    );
    return answers.find((row) => row.n === n) ?? null;
  }

  #isGiven(n: number): boolean {
    if ((this.#given.get(n)?.until ?? 0) <= this.#desk().now()) this.#given.delete(n);
    return this.#given.has(n);
  }
}
