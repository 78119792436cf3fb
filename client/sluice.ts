/** The client: everything that a backend, a Worker or a page asks of Sluice. */
import type { Job, JobInput, JobStatus } from "../schemas/job.ts";
import { type ChannelOptions, ChannelPlan } from "./channel.ts";
import { ConsumerPlan } from "./consumer.ts";
import { TimeoutError } from "./errors.ts";
import { hasEnded } from "./events.ts";
import { type Call, callJson, type Wire } from "./http.ts";
import { jobPlan } from "./stream.ts";
import { type SubmitManyOptions, type Submitted, submitMany } from "./submit-many.ts";
import { Subscription, type SubscriptionOptions } from "./subscription.ts";

export type SluiceOptions = {
  /** Where Sluice answers, e.g. `https://sluice.example.com`. */
  url: string;
  /** A key or a browser token. A function is called before each call and each connection, so that it can renew what expires. */
  token: string | (() => string | Promise<string>);
  /** For one try of one call (default 30,000). */
  timeoutMs?: number;
  /** Tries after the first, of calls that are safe to repeat (default 4). */
  retries?: number;
  /** Replaces the platform's own. */
  fetch?: (url: string, init: RequestInit) => Promise<Response>;
  WebSocket?: new (url: string, protocols: string[]) => WebSocket;
};

export type CallOptions = { signal?: AbortSignal };

/** What a token allows. Its bearer gets nothing beyond the named channels and jobs. */
export type TokenRequest = {
  channels?: string[];
  jobs?: string[];
  actions?: ("read" | "submit" | "cancel")[];
  /** Models that it may submit to, as in SLUICE_KEYS; any if left out. */
  models?: string[];
  /** Jobs that it may submit; only for a token of one channel. */
  max_jobs?: number;
  /** Seconds (default 900, at most 86,400). */
  expires_in?: number;
};
/** `expires_at`: Unix seconds. */
export type Token = { token: string; expires_at: number };

export type JobPage = { object: "list"; data: Job[]; first_id: string | null; last_id: string | null; has_more: boolean };

/** Seconds of one long-poll: the service waits at most 60, and intermediaries may be less patient. */
const POLL_SECONDS = 50;

/** All methods throw SluiceError (see errors.ts), or their signal's reason when it is aborted. */
export class Sluice {
  readonly #wire: Wire;

  constructor(options: SluiceOptions) {
    const { token, timeoutMs = 30_000, retries = 4 } = options;
    this.#wire = {
      url: options.url.replace(/\/+$/, ""),
      token: typeof token === "string" ? () => token : token,
      // A browser's `fetch` refuses to be called as a method of another object.
      fetch: options.fetch ?? ((url, init) => fetch(url, init)),
      openSocket: (url, protocols) => new (options.WebSocket ?? WebSocket)(url, protocols),
      timeoutMs,
      retries,
      random: Math.random,
    };
  }

  /**
   * Submits a job; it is durable when this resolves. Retries use one Idempotency-Key, which the client generates unless one is given. With `token` in the
   * input, the answer carries a token for this job.
   */
  submit(input: JobInput, options: CallOptions & { idempotencyKey?: string } = {}): Promise<Job & { token?: Token }> {
    return this.#post("/v1/jobs", input, options.signal, { "idempotency-key": options.idempotencyKey ?? crypto.randomUUID() });
  }

  /** Submits any number of jobs; yields the answers in order, each once its job is durable. A bad job fails alone. */
  submitMany(jobs: Iterable<JobInput> | AsyncIterable<JobInput>, options?: SubmitManyOptions): AsyncGenerator<Submitted, void, undefined> {
    return submitMany(this.#wire, jobs, options);
  }

  get(id: string, options: CallOptions = {}): Promise<Job> {
    return this.#get(jobPath(id), options.signal);
  }

  /** A page of jobs, newest first. */
  list(query: { channel?: string; status?: JobStatus; after?: string; limit?: number } = {}, options: CallOptions = {}): Promise<JobPage> {
    const given = Object.entries(query).flatMap(([name, value]) => (value === undefined ? [] : [[name, `${value}`] as [string, string]]));
    return this.#get(`/v1/jobs?${new URLSearchParams(given)}`, options.signal);
  }

  /**
   * The job once it has ended, well or not.
   * @param options.timeoutMs no limit if left out. @throws TimeoutError after that; the job goes on.
   */
  async wait(id: string, options: CallOptions & { timeoutMs?: number } = {}): Promise<Job> {
    const { timeoutMs = Number.POSITIVE_INFINITY, signal } = options;
    const until = performance.now() + timeoutMs;
    while (true) {
      const left = (until - performance.now()) / 1_000;
      const seconds = Math.max(0, Math.min(POLL_SECONDS, Math.ceil(left)));
      const job = await this.#get<Job>(`${jobPath(id)}?wait=${seconds}`, signal, seconds * 1_000);
      if (hasEnded(job)) return job;
      if (performance.now() >= until)
        throw new TimeoutError(`The job has not ended within ${timeoutMs / 1_000} seconds: it is ${job.status}.`);
    }
  }

  /** The job, cancelled unless it had already ended; a running call is broken off. */
  cancel(id: string, options: CallOptions = {}): Promise<Job> {
    return this.#post(`${jobPath(id)}/cancel`, {}, options.signal);
  }

  /** Makes a short-lived token for a browser. Call it from a backend, with its key. */
  createToken(request: TokenRequest, options: CallOptions = {}): Promise<Token> {
    return this.#post("/v1/tokens", request, options.signal);
  }

  /** Revokes a token everywhere; what it opened is closed. Call it from a backend, with its key. */
  async revokeToken(token: string, options: CallOptions = {}): Promise<void> {
    await this.#post("/v1/tokens/revoke", { token }, options.signal);
  }

  /**
   * A job's events up to its end, with deltas as they are written. The last event is the end, with the job.
   * @param options.after the last seq already seen, to continue from there.
   */
  stream(id: string, options: SubscriptionOptions & { after?: number } = {}): Subscription {
    return new Subscription(this.#wire, jobPlan(id, options.after), options);
  }

  /**
   * The events of a channel, without end: those of jobs that are open now, from their beginning, and of all new jobs. With a `consumer` name: everything after
   * the events that a reader under that name has dealt with.
   */
  subscribe(channel: string, options: SubscriptionOptions & ChannelOptions = {}): Subscription {
    const { consumer, deltas = false } = options;
    if (consumer !== undefined) return new Subscription(this.#wire, new ConsumerPlan(channel, consumer, deltas), options);
    return new Subscription(this.#wire, new ChannelPlan(this.#wire, channel, options), options);
  }

  #get<T>(path: string, signal: AbortSignal | undefined, extraMs = 0): Promise<T> {
    return callJson<T>(this.#wire, { method: "GET", path, repeatable: true, signal, extraMs });
  }

  #post<T>(path: string, body: object, signal: AbortSignal | undefined, more: Record<string, string> = {}): Promise<T> {
    const headers = { "content-type": "application/json", ...more };
    const call: Call = { method: "POST", path, headers, body: JSON.stringify(body), repeatable: true, signal };
    return callJson<T>(this.#wire, call);
  }
}

function jobPath(id: string): string {
  return `/v1/jobs/${encodeURIComponent(id)}`;
}
