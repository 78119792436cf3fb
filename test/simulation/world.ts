/** Calls on their way to upstream and back, and the log of what was sent and seen. */
import type { SimJob } from "./loads.ts";
import { Random } from "./random.ts";
import { Time } from "./time.ts";
import { type Header, type Rule, Upstream } from "./upstream.ts";

export type Outcome = { kind: "done"; used: number } | { kind: "refused"; retryAfterMs: number };

/** What an answer's headers say, computed when its call arrived. */
export type Rates = { requests: Header; tokens: Header } | null;

/** One way, ms. The difference is how much closer together, or further apart, two calls may get on their way. */
export const DELAY = { least: 20, most: 120 };

export class World {
  readonly time = new Time();
  readonly random: Random;
  readonly upstream: Upstream;
  /** Every call, recorded when it leaves. */
  readonly sends: { at: number; job: SimJob }[] = [];
  /** The calls that upstream took, and when they reached it. */
  readonly taken: SimJob[] = [];
  readonly takenAt: number[] = [];
  lost = 0;

  constructor(rule: Rule, seed: number) {
    this.random = new Random(seed);
    this.upstream = new Upstream(rule);
  }

  delay(): number {
    return this.random.between(DELAY.least, DELAY.most);
  }

  /** Makes the call. `headers` is called when the response's headers reach the caller, `back` when the answer has ended or the refusal has come. */
  call(job: SimJob, back: (outcome: Outcome) => void, headers: (rates: Rates) => void = () => {}): void {
    this.sends.push({ at: this.time.now, job });
    job.sentAt = this.time.now;
    this.time.after(this.delay(), () => {
      const verdict = this.upstream.take(this.time.now, job.prompt, job.most);
      const rates = this.upstream.headers(this.time.now);
      if (!verdict.ok) {
        this.time.after(this.delay(), () => {
          headers(rates);
          back({ kind: "refused", retryAfterMs: verdict.retryAfterMs });
        });
        return;
      }
      this.taken.push(job);
      this.takenAt.push(this.time.now);
      const first = this.random.lognormal(400, 0.5);
      this.time.after(first, () => headers(rates));
      const used = job.prompt + job.output;
      this.time.after(first + job.output * 8, () => {
        this.upstream.end(this.time.now, job.prompt, job.most, used);
        back({ kind: "done", used });
      });
    });
  }

  finish(job: SimJob): void {
    job.done++;
  }
}

/** What is tried in a world: jobs come in, calls go out. */
export type Client = { submit: (job: SimJob) => void };

/**
 * Plays a load through a client to its end. Everything that arrives at one instant is one event, so that a million jobs present from the start need not each be
 * planned.
 */
export function play(world: World, jobs: SimJob[], client: Client): void {
  const inTurn = jobs.toSorted((a, b) => a.at - b.at);
  let next = 0;
  const arrive = () => {
    for (; next < inTurn.length && inTurn[next]!.at <= world.time.now; next++) client.submit(inTurn[next]!);
    if (next < inTurn.length) world.time.at(inTurn[next]!.at, arrive);
  };
  arrive();
  world.time.run();
}
