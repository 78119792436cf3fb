/** Collects what clients were sent over all their connections and checks it against the laws of delivery. */
import type { JobEvent } from "../../../schemas/event.ts";
import type { Job } from "../../../schemas/job.ts";

const ENDS = ["completed", "failed", "cancelled", "expired"];

type Chunk = { choices: { delta: { content?: string } }[] };

export class Chronicle {
  /** job -> seq -> event */
  readonly #jobs = new Map<string, Map<number, JobEvent>>();
  /** Breaches of a law, in words. */
  readonly breaches: string[] = [];
  /** Events received, repetitions included. */
  received = 0;
  repeated = 0;
  #ends = 0;

  get ends(): number {
    return this.#ends;
  }

  add(event: JobEvent): void {
    this.received++;
    const events = this.#jobs.get(event.job) ?? new Map<number, JobEvent>();
    this.#jobs.set(event.job, events);
    const known = events.get(event.seq);
    if (known === undefined) {
      events.set(event.seq, event);
      if (ENDS.includes(event.event)) this.#ends++;
      return;
    }
    this.repeated++;
    if (content(known) !== content(event)) this.breaches.push(`${event.job} ${event.seq}: ${content(known)} and ${content(event)}`);
  }

  /** The greatest seq seen for a job, 0 if none. */
  lastSeq(job: string): number {
    return Math.max(0, ...(this.#jobs.get(job)?.keys() ?? []));
  }

  /** In the order of seq. */
  events(job: string): JobEvent[] {
    return [...(this.#jobs.get(job)?.values() ?? [])].sort((a, b) => a.seq - b.seq);
  }

  names(job: string): string[] {
    return this.events(job).map(({ event }) => event);
  }

  /**
   * Where to resume each of these jobs, as `subscribe` takes it: after the last event before the first gap. A follower of a
   * channel meets jobs that began before its subscription.
   */
  after(jobs: Iterable<string>): Record<string, number> {
    const behind = (job: string) => {
      let seq = 0;
      while (this.#jobs.get(job)?.has(seq + 1)) seq++;
      return seq;
    };
    return Object.fromEntries([...jobs].map((job) => [job, behind(job)]));
  }

  /**
   * What is wrong with the events of a job that has ended, null if nothing. They must begin with `queued`, be numbered without a gap, and
   * end once, last of all, with the job as it now is; the last attempt's deltas, if there are any, must make up the answer.
   */
  fault(job: Job): string | null {
    const events = this.events(job.id);
    const told = events.map(({ seq, event }) => `${seq} ${event}`).join(", ");
    if (events.some(({ seq }, index) => seq !== index + 1)) return `gap: ${told}`;
    if (events[0]?.event !== "queued") return `no beginning: ${told}`;
    const ends = events.filter(({ event }) => ENDS.includes(event));
    if (ends.length !== 1 || ends[0] !== events.at(-1)) return `not ended once, at the end: ${told}`;
    if (JSON.stringify(ends[0]?.data) !== JSON.stringify(job)) return `ended as ${JSON.stringify(ends[0])}, is ${JSON.stringify(job)}`;
    if (job.status !== "completed") return null;
    const answer = (job.response as { choices: { message: { content: string } }[] }).choices[0]?.message.content;
    const text = this.text(job.id);
    return text === null || text === answer ? null : `deltas say ${JSON.stringify(text)}, the answer ${JSON.stringify(answer)}`;
  }

  /** The text of the last attempt's deltas; null if it sent none. */
  text(job: string): string | null {
    const events = this.events(job);
    const attempt = events.slice(events.findLastIndex(({ event }) => event === "in_progress") + 1);
    const deltas = attempt.filter(({ event }) => event === "delta");
    if (deltas.length === 0) return null;
    const chunks = deltas.flatMap(({ data }) => (data as { chunks: Chunk[] }).chunks);
    return chunks.map(({ choices }) => choices[0]?.delta.content ?? "").join("");
  }
}

/** `queued` carries the job as it is when the event is sent (position, estimate, status), so only its id must be the same. */
function content({ event, data }: JobEvent): string {
  return JSON.stringify([event, event === "queued" ? (data as Job).id : data]);
}
