/** The jobs of the hour: always so many outstanding while there is work, and each followed to its end. */
import { randomUUID } from "node:crypto";
import { isEnd, type Job, type JobInput, Sluice } from "../../client/index.ts";
import { MODEL, type Upstream } from "./upstreams.ts";

const CHANNELS = 4;
const SENTENCE = "Tell me what happens in an hour. ";
const PATIENCE_MS = 30_000;
const LOOK_MS = 250;

/** So many jobs outstanding, of prompts so long and up to twice as long. */
export type Work = { jobs: number; promptTokens: number };

export type Ended = Pick<Job, "status" | "attempts" | "possible_duplicates" | "error">;

export class Jobs {
  /** By label, those that have ended. */
  readonly ended = new Map<string, Ended>();
  private readonly sluice: Sluice;
  private readonly upstream: Upstream;
  private readonly labels = new Map<string, string>();
  private readonly leave = new AbortController();
  private made = 0;

  constructor(url: string, upstream: Upstream) {
    this.sluice = new Sluice({ url, token: "sk-dev-alice" });
    this.upstream = upstream;
  }

  get accepted(): number {
    return this.labels.size;
  }

  get outstanding(): number {
    return this.labels.size - this.ended.size;
  }

  /** Begins to listen. */
  async follow(): Promise<void> {
    const listen = async (channel: string) => {
      const events = this.sluice.subscribe(channel, { deltas: false, signal: this.leave.signal });
      this.read(events);
      await events.ready;
    };
    await Promise.all(Array.from({ length: CHANNELS }, (_, n) => listen(`hour-${n}`)));
  }

  stop(): void {
    this.leave.abort();
  }

  /** Hands in what is missing to so many outstanding ones; those of another size count as well. A job counts once it was accepted. */
  async fill({ jobs, promptTokens }: Work): Promise<void> {
    const missing = jobs - this.outstanding;
    if (missing <= 0) return;
    const labels = Array.from({ length: missing }, () => `${this.made++}-${randomUUID()}`);
    for await (const answer of this.sluice.submitMany(labels.map((label, index) => this.input(label, index, promptTokens)))) {
      if (!answer.ok) throw new Error(`refused: ${answer.error.message}`);
      this.labels.set(answer.job.id, labels[answer.index]!);
    }
  }

  /** Waits until nothing is outstanding, looking each job up that no event told of. @returns the labels of those that never ended. */
  async drain(patienceMs: number, look: () => Promise<unknown>): Promise<string[]> {
    const until = Date.now() + patienceMs;
    while (this.outstanding > 0 && Date.now() < until) {
      await new Promise((done) => setTimeout(done, LOOK_MS));
      await look();
    }
    for (const [id, label] of this.labels) {
      if (this.ended.has(label)) continue;
      const job = await this.sluice.get(id, { signal: AbortSignal.timeout(PATIENCE_MS) }).catch(() => null);
      if (job?.ended_at != null) this.ended.set(label, job);
    }
    return [...this.labels.values()].filter((label) => !this.ended.has(label));
  }

  private input(label: string, index: number, promptTokens: number): JobInput {
    const content = SENTENCE.repeat(Math.ceil(((promptTokens * 4) / SENTENCE.length) * (1 + (index % 8) / 8)));
    const messages = [{ role: "user", content }];
    const request = { model: MODEL, max_completion_tokens: 40 + 20 * (index % 9), messages, metadata: this.upstream.label(label) };
    return { channel: `hour-${index % CHANNELS}`, request, metadata: { label } };
  }

  private async read(events: ReturnType<Sluice["subscribe"]>): Promise<void> {
    try {
      for await (const event of events) {
        if (!isEnd(event)) continue;
        const label = event.data.metadata?.label;
        if (label !== undefined) this.ended.set(label, event.data);
      }
    } catch (error) {
      if (!this.leave.signal.aborted) throw error;
    }
  }
}
