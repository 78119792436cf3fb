/**
 * A channel, followed through lost connections. The service tells what happens from the moment that it is asked, and the rest of jobs that are
 * named to it. So the plan keeps of each open job the last seq, and finds out which jobs it has not heard of: those open at the beginning, and
 * those that came while no connection stood. Law: each job's events are passed on in order from its first, none twice, the end always.
 */
import type { Job } from "../schemas/job.ts";
import { type Event, eventFrom, isEnd } from "./events.ts";
import { type Gap, gapBefore } from "./gaps.ts";
import { callJson, type Wire } from "./http.ts";
import type { Line } from "./socket.ts";
import type { Plan } from "./subscription.ts";

export type ChannelOptions = {
  /** Tokens as they come, too. */
  deltas?: boolean;
  /**
   * A name under which the service remembers how far the reader has come. Who comes again with it, from anywhere, is told what came after the last
   * event that was dealt with; the first time, what comes from then on. `after` is not needed then.
   */
  consumer?: string;
  /** The last seq seen of jobs that were followed before, as an earlier process may have kept it. */
  after?: Record<string, number>;
};

/**
 * `asked`: the frame of this connection that asks for its past; until it is answered, what is told of the job comes too early. Infinity: it is yet to be
 * asked for. `gap`: what it was asked for again because of.
 */
type Progress = { last: number; asked: number; gap: Gap | null };
/** The newest job when the channel was last listed: everything up to it is known. */
type Anchor = { id: string; createdAt: number };
type Page = { data: Job[]; last_id: string | null; has_more: boolean };

/** Jobs that one frame names. */
const JOBS_PER_FRAME = 500;
/**
 * Of jobs that were asked for and not heard of so many at most: the service closes a connection that lacks the past of more than 10,000. Those of which nothing
 * is new are told nothing of: when for a while hardly anything came of any, though the reader was done with all that came, nothing is missing. What comes of
 * other jobs is no measure: of a busy channel something always does. Nor is a job or two that just then went on.
 */
const UNHEARD_LIMIT = 5_000;
const QUIET_MS = 1_000;
/** Jobs heard of in that time: fewer are no past that is being told, but jobs that go on. */
const BRISK = 10;
const PAGE = 100;
/** Jobs that have ended are remembered, as their end may come twice, until so many newer ones have. */
const ENDED_REMEMBERED = 10_000;
/** In the order in which a job goes through them: one that moves on while they are listed is met in the next. */
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
  /** Of this connection: jobs yet to be asked for, and those that were and of which nothing was heard since. */
  #waiting: string[] = [];
  #unheard = new Set<string>();
  #heardOf = 0;
  #quiet: ReturnType<typeof setTimeout> | undefined;
  #isRead: () => boolean = () => true;
  /** Frames of this connection: sent, answered, and how many the opening took. What has to wait for its turn is told from where it was left, whenever that is. */
  #sent = 0;
  #answered = 0;
  #opening = 0;

  constructor(wire: Wire, channel: string, { deltas = false, after = {} }: ChannelOptions = {}) {
    this.#wire = wire;
    this.#channel = channel;
    this.#deltas = deltas;
    // The socket then lives with the channel's events, which saves each a hop.
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
    // Its beginning went by unheard: it is told again.
    if (!known && seq > 1) this.#ask([job], line);
    if (known ? known.asked > this.#answered : seq > 1) return null;
    const event = eventFrom(frame);
    // An end has none after it: who began beyond it began beyond all that there is.
    const isBeyond = known !== undefined && seq <= known.last;
    if (isBeyond && !isEnd(event)) return null;
    // Without deltas their seqs are missing by right.
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

  /** Asks for jobs, as many at once as may be. */
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
      // What came to its end meanwhile was heard of otherwise.
      const jobs = this.#waiting.splice(0, JOBS_PER_FRAME).filter((job) => this.#open.has(job));
      for (const job of jobs) this.#unheard.add(job);
      if (jobs.length > 0 || this.#waiting.length === 0) this.#ask(jobs, line);
    }
    if (this.#sent > before || this.#quiet === undefined) this.#listen(line);
  }

  /** While jobs have to wait: for a time in which hardly anything comes of those that were asked for. */
  #listen(line: Line): void {
    clearTimeout(this.#quiet);
    this.#quiet = undefined;
    if (this.#waiting.length === 0 || line.signal.aborted) return;
    const before = this.#heardOf;
    this.#quiet = setTimeout(() => {
      // The service waits for this end, and not the other way round.
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

  /** Jobs that came while no connection stood; they may have ended, too. */
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

  /** Moves the anchor up to now, so that ends before it need not be remembered: they are not listed again. */
  async #forget(line: Line): Promise<void> {
    this.#moving = true;
    try {
      const { data } = await this.#list({ limit: `${PAGE}` }, line);
      // Jobs are told of in the order in which they came: all that are older than a known one are known.
      const known = data.find((job) => this.#open.has(job.id) || this.#ended.has(job.id));
      if (!known) return;
      this.#anchor = anchorAt(known);
      this.#endedBefore = this.#ended;
      this.#ended = new Set();
    } catch {
      // Later, then: at the next end.
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
