/**
 * Jobs that somebody waits for as for a plain call to OpenAI. Law: while the caller is there, or may come back, the job is theirs alone: a
 * retry of the same body finds it, whoever has been answered cannot find it again (but by a retry at once: answered.ts), and who stays away for good
 * leaves nothing running that nobody wants.
 *
 * A caller is there while a socket follows the job. Two callers may send the same body and want an answer each, so a retry is
 * given a job that nobody follows, if there is one.
 */
import { isEnd } from "../../policy/lifecycle.ts";
import type { Call } from "../../schemas/rpc.ts";
import { Answered } from "./answered.ts";
import { find } from "./attempts.ts";
import type { Desk } from "./desk.ts";
import { cancel } from "./read.ts";
import type { JobRow } from "./store/store.ts";
import { idOf } from "./view.ts";

/** How long a caller may stay away before the job is given up. SDKs wait eight seconds at most between two tries. */
const GRACE_MS = 30_000;
/** An answer that nobody has fetched is kept for a retry so long. */
const UNFETCHED_MS = 300_000;
/** A job whose caller was sent away by ourselves, and told that it stays alive, is given up after this only. */
const DISMISSED_MS = 86_400_000;
/** Between a retry's being given a job and its following it, no other is given the same. */
const HANDOVER_MS = 5_000;

export class Calls {
  readonly #desk: () => Desk;
  /** Given to a retry that does not follow it yet, until when. */
  readonly #given = new Map<number, number>();
  readonly #answered: Answered;

  constructor(desk: () => Desk) {
    this.#desk = desk;
    this.#answered = new Answered(() => this.#desk().now());
  }

  /**
   * The job that answers a call; null if it needs one of its own. A retry is given the oldest of its body that lost its caller; else the oldest at
   * all, for that a connection broke may not have shown yet, and to call upstream twice is worse than to answer two callers alike. Not every
   * program says that it retries: any call is given a job whose caller is known to have left it, unless that was given up since.
   */
  adopt({ body, retried }: Call): JobRow | null {
    const { followers, now, store, wakeBy } = this.#desk();
    const rows = store.callsOf(body).flatMap(({ n, left_at }) => {
      const row = store.job(n);
      return row ? [{ row, left: left_at > row.accepted_at && !followers.watched(n) }] : [];
    });
    // One that was given up has no answer to come back for.
    const known = rows.filter(
      ({ row: { ended_at, status } }) => status !== "cancelled" && (ended_at === null || now() - ended_at <= UNFETCHED_MS),
    );
    const free = known.filter(({ row: { n } }) => !this.#isGiven(n));
    // Also one that was just given to a retry: this may be the retry of that.
    const alone = free.find(({ row: { n } }) => !followers.watched(n)) ?? free[0] ?? known[0];
    const left = free.find(({ left, row: { status } }) => left && (status === "completed" || !isEnd(status)));
    const row = retried ? (alone?.row ?? this.#missed(body)) : left?.row;
    if (!row) return null;
    // Its caller is here again, whom we may have sent away ourselves: if it does not follow, it is missed from now on.
    if (row.call) store.leaveCall(row.call.body, row.n, Math.max(now(), row.accepted_at + 1));
    this.#given.set(row.n, now() + HANDOVER_MS);
    wakeBy(now() + GRACE_MS);
    return row;
  }

  /** The caller has the answer. */
  collect(id: string): void {
    const row = find(this.#desk(), id);
    if (!row?.call) return;
    this.#desk().store.dropCall(row.call.body, row.n);
    this.#answered.sent(row.call.body, row.n);
  }

  /** A call has become no job: its caller may come again. */
  refused({ body }: Call): void {
    this.#answered.refused(body);
  }

  /** The caller is sent away to come back: its job lives on. */
  dismiss(id: string): void {
    const { now, store } = this.#desk();
    const row = find(this.#desk(), id);
    if (row?.call) store.leaveCall(row.call.body, row.n, now() + DISMISSED_MS);
  }

  /** Whom it was given to is there. */
  followed(n: number): void {
    this.#given.delete(n);
  }

  /** The last follower of a job has gone. */
  left(row: JobRow): void {
    if (!row.call || isEnd(row.status)) return;
    const { now, store, wakeBy } = this.#desk();
    if (store.callsOf(row.call.body).some(({ left_at, n }) => n === row.n && left_at > now())) return;
    // Later than it came: of one whose caller has not begun to follow it, left_at says when it came.
    store.leaveCall(row.call.body, row.n, Math.max(now(), row.accepted_at + 1));
    wakeBy(now() + GRACE_MS);
  }

  /** Gives up the jobs whose callers stayed away; answers when to look again (ms), null if nobody is missed. */
  async sweep(): Promise<number | null> {
    const desk = this.#desk();
    let next: number | null = null;
    for (const { n, left_at } of desk.store.callsLeft()) {
      const row = desk.store.job(n);
      if (!row || isEnd(row.status) || row.call?.onDisconnect !== "cancel" || desk.followers.watched(n)) continue;
      const until = Math.max(left_at + GRACE_MS, this.#given.get(n) ?? 0);
      if (until <= desk.now()) await cancel(desk, idOf(desk.address, row));
      else next = Math.min(next ?? Number.POSITIVE_INFINITY, until);
    }
    return next;
  }

  #missed(body: string): JobRow | null {
    const n = this.#answered.missedBy(body);
    const row = n === null ? null : this.#desk().store.job(n);
    return row?.status === "completed" ? row : null;
  }

  #isGiven(n: number): boolean {
    if ((this.#given.get(n) ?? 0) <= this.#desk().now()) this.#given.delete(n);
    return this.#given.has(n);
  }
}
