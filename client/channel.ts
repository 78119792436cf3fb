/**
 * Follows a channel through lost connections. The service sends what happens from the moment it is asked, and the past of jobs that are named to it. So the
 * plan keeps the last seq of each open job, and finds out which jobs it has not heard of: those open at the start, and those that came while there was no
 * connection. Law: each job's events are passed on in order from its first, none twice, always up to the end.
 */
import type { Job } from "../schemas/job.ts";
import { type Event, eventFrom, isEnd } from "./events.ts";
import { type Gap, gapBefore } from "./gaps.ts";
import { callJson, type Wire } from "./http.ts";
import type { Line } from "./socket.ts";
import type { Plan } from "./subscription.ts";

export type ChannelOptions = {
  /** Include tokens as they come. */
  deltas?: boolean;
  /**
   * A name under which the service remembers how far the reader has come. A reader that returns under it, from anywhere, gets what came after the last event
   * that was dealt with; the first time, what comes from then on. Makes `after` unnecessary.
   */
  consumer?: string;
  /** The last seq seen of jobs that were followed before, for example by an earlier process. */
  after?: Record<string, number>;
};

/**
 * `asked`: number of the frame on this connection that asks for the job's past; until it is answered, the job's events come too early. Infinity: not asked for
 * yet. `gap`: the gap because of which the past was asked for again.
 */
type Progress = { last: number; asked: number; gap: Gap | null };
/** The newest job when the channel was last listed: everything up to it is known. */
type Anchor = { id: string; createdAt: number };
type Page = { data: Job[]; last_id: string | null; has_more: boolean };

/** Jobs named in one frame. */
const JOBS_PER_FRAME = 500;
/**
 * At most this many jobs may be asked for and not heard of yet: the service closes a connection that lacks the past of more than 10,000. It sends nothing for a
 * job without news. So if hardly any of them was heard of for a while, although the reader has dealt with everything that came, nothing is missing. Other jobs
 * do not count, since in a busy channel something always comes; nor do one or two of these that happen to move on just then.
 */
const UNHEARD_LIMIT = 5_000;
const QUIET_MS = 1_000;
/** Jobs heard of in that time; fewer are not a past being sent, but jobs that happen to move on. */
const BRISK = 10;
const PAGE = 100;
/** Ended jobs are remembered, because their end may come twice, until this many newer ones have ended. */
const ENDED_REMEMBERED = 10_000;
/** In the order in which a job goes through them: one that moves on during the listing is found in the next. */
const OPEN = ["scheduled", "queued", "in_progress"] as const;

export class ChannelPlan implements Plan {
  readonly path: string;
  readonly #wire: Wire;
  readonly #channel: string;
  readonly #deltas: boolean;
  readonly #open = new Map<string, Progress>();
  #ended = new Set<string>();
  #endedBefore = new Set<string>();
  /** Null while the channel has no jobs, undefined before it was listed. */
  #anchor: Anchor | null | undefined;
  #openListed = false;
  #moving = false;
  /** On this connection: jobs still to be asked for, and jobs asked for but not heard of since. */
  #waiting: string[] = [];
  #unheard = new Set<string>();
  #heardOf = 0;
  #quiet: ReturnType<typeof setTimeout> | undefined;
  #isRead: () => boolean = () => true;
  /**
   * Frames on this connection: sent, answered, and sent by the opening. Jobs that must wait their turn are resumed from their last seq, however late, so the
   * opening need not include them.
   */
  #sent = 0;
  #answered = 0;
  #opening = 0;

  constructor(wire: Wire, channel: string, { deltas = false, after = {} }: ChannelOptions = {}) {
    this.#wire = wire;
    this.#channel = channel;
    this.#deltas = deltas;
    // Places the socket where the channel's events arise, which saves a hop per event.
    this.path = `/v1/subscribe?channel=${encodeURIComponent(channel)}`;
    for (const [job, last] of Object.entries(after)) this.#open.set(job, { last, asked: 0, gap: null });
  }

  opened(line: Line, isRead: () => boolean): void {
    this.#isRead = isRead;
    clearTimeout(this.#quiet);
    this.#quiet = undefined;
    line.signal.addEventListener("abort", () => clearTimeout(this.#quiet));
    this.#sent = 0;
    this.#answered = 0;
    this.#unheard.clear();
    this.#waiting = [];
    const jobs = [...this.#open.keys()];
    if (jobs.length === 0) this.#ask([], line);
    this.#wish(jobs, line);
    this.#opening = this.#sent;
  }

  async subscribed(line: Line): Promise<boolean> {
    this.#answered++;
    if (this.#answered !== this.#opening) return false;
    if (this.#anchor === undefined) this.#anchor = anchorAt((await this.#list({ limit: "1" }, line)).data[0]);
    else await this.#listMissed(this.#anchor, line);
    if (!this.#openListed) await this.#listOpen(line);
    return true;
  }

  take(frame: Parameters<Plan["take"]>[0], line: Line): Event | null {
    this.#heard([frame.job], line);
    return this.#passed(frame, line);
  }

  #passed(frame: Parameters<Plan["take"]>[0], line: Line): Event | null {
    const { job, seq } = frame;
    if (this.#ended.has(job) || this.#endedBefore.has(job)) return null;
    const known = this.#open.get(job);
    // Its beginning went by unheard, so ask for it again.
    if (!known && seq > 1) this.#ask([job], line);
    if (known ? known.asked > this.#answered : seq > 1) return null;
    const event = eventFrom(frame);
    // Nothing follows an end, so if it is at or before `last`, the `after` given was beyond the whole job; the end still counts.
    const isBeyond = known !== undefined && seq <= known.last;
    if (isBeyond && !isEnd(event)) return null;
    // Without deltas, their seqs are rightly missing.
    const gap = known && this.#deltas && !isBeyond ? gapBefore(frame, known.last, known.gap) : null;
    if (gap) {
      this.#ask([job], line);
      this.#open.get(job)!.gap = gap;
      return null;
    }
    if (isEnd(event)) this.#end(job, line);
    else this.#open.set(job, { last: seq, asked: 0, gap: null });
    return event;
  }

  ended(jobs: string[], line: Line): void {
    this.#heard(jobs, line);
    for (const job of jobs) if (this.#open.has(job)) this.#end(job, line);
  }

  over(): boolean {
    return false;
  }

  /** Asks for jobs, as many at once as allowed. */
  #wish(jobs: string[], line: Line): void {
    for (const job of jobs) {
      const { gap = null, last = 0 } = this.#open.get(job) ?? {};
      this.#open.set(job, { last, asked: Number.POSITIVE_INFINITY, gap });
      this.#waiting.push(job);
    }
    this.#askMore(line);
  }

  #askMore(line: Line): void {
    const before = this.#sent;
    while (this.#waiting.length > 0 && this.#unheard.size < UNHEARD_LIMIT) {
      // A job that ended meanwhile was heard of in another way.
      const jobs = this.#waiting.splice(0, JOBS_PER_FRAME).filter((job) => this.#open.has(job));
      for (const job of jobs) this.#unheard.add(job);
      if (jobs.length > 0 || this.#waiting.length === 0) this.#ask(jobs, line);
    }
    if (this.#sent > before || this.#quiet === undefined) this.#listen(line);
  }

  /** While jobs have to wait: watches for a period in which hardly any of those asked for is heard of. */
  #listen(line: Line): void {
    clearTimeout(this.#quiet);
    this.#quiet = undefined;
    if (this.#waiting.length === 0 || line.signal.aborted) return;
    const before = this.#heardOf;
    this.#quiet = setTimeout(() => {
      // Silence proves nothing while an answer is outstanding or the reader is behind: then the service waits for this side.
      const isWaitedFor = this.#answered < this.#sent || !this.#isRead();
      if (isWaitedFor || this.#heardOf - before >= BRISK) return this.#listen(line);
      this.#quiet = undefined;
      this.#unheard.clear();
      this.#askMore(line);
    }, QUIET_MS);
  }

  #heard(jobs: string[], line: Line): void {
    const heard = jobs.filter((job) => this.#unheard.delete(job)).length;
    this.#heardOf += heard;
    if (heard > 0 && this.#waiting.length > 0) this.#askMore(line);
  }

  #ask(jobs: string[], line: Line): void {
    this.#sent++;
    const after: Record<string, number> = {};
    for (const job of jobs) {
      const { gap = null, last = 0 } = this.#open.get(job) ?? {};
      this.#open.set(job, { last, asked: this.#sent, gap });
      after[job] = last;
    }
    line.send({ channel: this.#channel, after, deltas: this.#deltas });
  }

  async #listOpen(line: Line): Promise<void> {
    for (const status of OPEN) {
      for await (const jobs of this.#pages({ status }, line)) this.#askUnknown(jobs, line);
    }
    this.#openListed = true;
  }

  /** Lists jobs that came while there was no connection; they may have ended, too. */
  async #listMissed(anchor: Anchor | null, line: Line): Promise<void> {
    let newest: Job | undefined;
    for await (const jobs of this.#pages({}, line)) {
      newest ??= jobs[0];
      const known = jobs.findIndex(({ id, created_at }) => anchor !== null && (id === anchor.id || created_at < anchor.createdAt));
      this.#askUnknown(known < 0 ? jobs : jobs.slice(0, known), line);
      if (known >= 0) break;
    }
    this.#anchor = anchorAt(newest) ?? anchor;
  }

  #askUnknown(jobs: Job[], line: Line): void {
    const heard = (id: string) => this.#open.has(id) || this.#ended.has(id) || this.#endedBefore.has(id);
    const unknown = jobs.filter(({ id }) => !heard(id)).map(({ id }) => id);
    if (unknown.length > 0) this.#wish(unknown, line);
  }

  #end(job: string, line: Line): void {
    this.#open.delete(job);
    this.#ended.add(job);
    if (this.#ended.size >= ENDED_REMEMBERED && !this.#moving) void this.#forget(line);
  }

  /** Moves the anchor forward, so that earlier ends need not be remembered: those jobs are not listed again. */
  async #forget(line: Line): Promise<void> {
    this.#moving = true;
    try {
      const { data } = await this.#list({ limit: `${PAGE}` }, line);
      // Jobs are announced in the order in which they came, so every job older than a known one is known.
      const known = data.find((job) => this.#open.has(job.id) || this.#ended.has(job.id));
      if (!known) return;
      this.#anchor = anchorAt(known);
      this.#endedBefore = this.#ended;
      this.#ended = new Set();
    } catch {
      // Try again at the next end.
    } finally {
      this.#moving = false;
    }
  }

  async *#pages(query: Record<string, string>, line: Line): AsyncGenerator<Job[]> {
    let after: string | null = null;
    do {
      const page: Page = await this.#list({ ...query, limit: `${PAGE}`, ...(after !== null && { after }) }, line);
      if (page.data.length > 0) yield page.data;
      after = page.has_more ? page.last_id : null;
    } while (after !== null);
  }

  #list(query: Record<string, string>, { signal }: Line): Promise<Page> {
    const path = `/v1/jobs?${new URLSearchParams({ channel: this.#channel, ...query })}`;
    return callJson<Page>(this.#wire, { method: "GET", path, repeatable: true, signal });
  }
}

function anchorAt(job: Job | undefined): Anchor | null {
  return job ? { id: job.id, createdAt: job.created_at } : null;
}
