/**
 * Jobs that somebody waits for as for a plain call to OpenAI. Law: while the caller is there, or may come back, the job is theirs alone: a
 * retry of the same body finds it, whoever has been answered cannot find it again, and who stays away for good leaves nothing running
 * that nobody wants.
 *
 * A caller is there while a socket follows the job. Two callers may send the same body and want an answer each, so a retry is
 * given a job that nobody follows, if there is one.
 */
import { isEnd } from "../../policy/lifecycle.ts";
import { find } from "./attempts.ts";
import type { Desk } from "./desk.ts";
import { cancel } from "./read.ts";
import type { JobRow } from "./store/store.ts";
import { idOf } from "./view.ts";

/** How long a caller may stay away before the job is given up. SDKs wait eight seconds at most between two tries. */
const GRACE_MS = 30_000;
/** An answer that nobody has fetched is kept for a retry so long. */
const UNFETCHED_MS = 300_000;
/** Between a retry's being given a job and its following it, no other is given the same. */
const HANDOVER_MS = 5_000;

export class Calls {
  readonly #desk: () => Desk;
  /** Given to a retry, until when. */
  readonly #given = new Map<number, number>();

  constructor(desk: () => Desk) {
    this.#desk = desk;
  }

  /**
   * The oldest job of this body that lost its caller; else the oldest at all, for that a connection broke may not have shown yet, and to call
   * upstream twice is worse than to answer two callers alike. Null if there is none.
   */
  reattach(body: string): string | null {
    const { address, followers, now, store, wakeBy } = this.#desk();
    const rows = store.callsOf(body).flatMap((n) => store.job(n) ?? []);
    const free = rows.filter(({ n, ended_at }) => !this.#isGiven(n) && (ended_at === null || now() - ended_at <= UNFETCHED_MS));
    const row = free.find(({ n }) => !followers.watched(n)) ?? free[0];
    if (!row) return null;
    this.#given.set(row.n, now() + HANDOVER_MS);
    wakeBy(now() + GRACE_MS);
    return idOf(address, row);
  }

  /** The caller has the answer. */
  collect(id: string): void {
    const row = find(this.#desk(), id);
    if (row?.call) this.#desk().store.dropCall(row.call.body, row.n);
  }

  /** The last follower of a job has gone. */
  left(row: JobRow): void {
    if (!row.call || isEnd(row.status)) return;
    const { now, store, wakeBy } = this.#desk();
    store.leaveCall(row.call.body, row.n, now());
    wakeBy(now() + GRACE_MS);
  }

  /** Gives up the jobs whose callers stayed away; answers when to look again (ms), null if nobody is missed. */
  async sweep(): Promise<number | null> {
    const desk = this.#desk();
    let next: number | null = null;
    for (const { n, left_at } of desk.store.callsLeft()) {
      const row = desk.store.job(n);
      if (!row || isEnd(row.status) || row.call?.onDisconnect !== "cancel" || this.#isGiven(n) || desk.followers.watched(n)) continue;
      if (left_at + GRACE_MS <= desk.now()) await cancel(desk, idOf(desk.address, row));
      else next = Math.min(next ?? Number.POSITIVE_INFINITY, left_at + GRACE_MS);
    }
    return next;
  }

  #isGiven(n: number): boolean {
    if ((this.#given.get(n) ?? 0) <= this.#desk().now()) this.#given.delete(n);
    return this.#given.has(n);
  }
}
