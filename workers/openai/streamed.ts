/**
 * A call with `stream: true`: upstream's chunks as they come. While the job waits, comments, which SDKs skip, keep the connection open and say where the job
 * stands. Law: a stream that ends with `[DONE]` is complete.
 */
import { callMailbox } from "../../platform/objects.ts";
import { chunksOf, Ending, withoutUsage } from "../../policy/chunks.ts";
import { isEnd } from "../../policy/lifecycle.ts";
import { meaningOf, textOf } from "../../policy/verbatim.ts";
import type { Chunk, JobEvent } from "../../schemas/event.ts";
import type { Eta, Job } from "../../schemas/job.ts";
import type { Problem } from "../../schemas/problem.ts";
import type { Context } from "../ingress/context.ts";
import { follow } from "../ingress/follow.ts";
import { TokenOver } from "../ingress/passes.ts";
import { errorBody, refuse } from "../ingress/respond.ts";
import { HEARTBEAT_MS, SSE_HEADERS, type SseWriter, sse } from "../ingress/sse.ts";
import { headersOf, problemOf, shouldRetry, type Times } from "./answers.ts";
import type { Caller } from "./caller.ts";
import type { Placed } from "./submit-call.ts";

/**
 * How long (ms) the headers wait for the first chunk: a call that fails at once is then refused with its proper status, as at OpenAI. A job that waits longer
 * becomes a stream with status 200. At most half of the caller's remaining time.
 */
const HEADERS_MS = 5_000;

type Json = Record<string, unknown>;

/**
 * What a streamed call asks of its answer. Nothing else of the request body is kept: as many streams as an object of 128 MB can serve are open at once, each
 * for as long as its job waits and runs.
 */
export type Asked = { includeUsage: boolean; choices: number };

export function askedIn(body: Json): Asked {
  return {
    includeUsage: (body.stream_options as Json | undefined)?.include_usage === true,
    choices: typeof body.n === "number" ? body.n : 1,
  };
}

export async function streamed(
  context: Context,
  caller: Caller,
  asked: Asked,
  { address, job, replayed, share }: Extract<Placed, { ok: true }>,
): Promise<Response> {
  const { background, env, grant, request } = context;
  const reader = new AbortController();
  if (request.signal.aborted) reader.abort();
  else request.signal.addEventListener("abort", () => reader.abort());
  const times: Times = { submitted: Date.now(), started: null, ended: null };
  const events = follow(env, { address, job, after: 0, deltas: true, verbatim: true, caller: true, grant, signal: reader.signal });
  // Never awaited: an answer that was sent in full is complete, whatever becomes of its mailbox.
  const gone = (whole: boolean) =>
    background(callMailbox(env, address, (stub) => (whole ? stub.collect(job, null) : stub.abandon(job))).catch(() => {}));
  const early = await beginning(events, times, Math.min(HEADERS_MS, (caller.until - Date.now()) / 2));
  const failed = early.told.find(({ event }) => isEnd(event) && event !== "completed");
  if (failed && !early.told.some(({ event }) => event === "delta")) {
    reader.abort();
    gone(true);
    return refuse(problemOf(failed.data as Job)!, {
      ...headersOf(job, share, replayed ? { ...times, started: null } : times),
      ...shouldRetry(false),
    });
  }
  let answer: Answer | undefined;
  const write = async (writer: SseWriter) => {
    answer = new Answer(writer, asked);
    for (const event of early.told) await answer.take(event);
    try {
      for (let next = early.next; !answer.over; next = events.next()) {
        const { done, value } = await next;
        if (done) break;
        await answer.take(value);
      }
    } catch (error) {
      if (!(error instanceof TokenOver)) throw error;
      await answer.refuse(error.problem);
    }
  };
  // Runs at the end, and when the reader leaves: whatever is being written at that point may never finish.
  const leave = () => gone(answer?.final ?? false);
  if (reader.signal.aborted) leave();
  else reader.signal.addEventListener("abort", leave);
  // Derived from the whole time-out, not from what is left of it: once a client has its headers, its time-out restarts or no longer applies.
  return new Response(sse(write, reader, background, Math.min(HEARTBEAT_MS, caller.patienceMs / 3)), {
    headers: { ...SSE_HEADERS, ...headersOf(job, share, replayed ? { ...times, started: null } : times) },
  });
}

/** Events up to the first chunk or the end, or until the headers can wait no longer (ms); `next` is the event still to come. */
async function beginning(events: AsyncGenerator<JobEvent>, times: Times, patienceMs: number) {
  const told: JobEvent[] = [];
  let timer: ReturnType<typeof setTimeout> | undefined;
  const patience = new Promise<null>((late) => {
    timer = setTimeout(() => late(null), patienceMs);
  });
  let next = events.next();
  for (;;) {
    const result = await Promise.race([next, patience]);
    if (result === null || result.done) break;
    told.push(result.value);
    if (result.value.event === "in_progress") times.started ??= Date.now();
    next = events.next();
    if (result.value.event === "delta" || isEnd(result.value.event)) break;
  }
  clearTimeout(timer);
  // Awaited later, or not at all.
  next.catch(() => {});
  return { told, next };
}

/** Writes the answer, event by event. */
class Answer {
  /** Nothing more is written. */
  over = false;
  /** The job's outcome was written completely: there is nothing to come back for. */
  final = false;
  readonly #writer: SseWriter;
  readonly #includeUsage: boolean;
  readonly #ending: Ending;
  #chunks = 0;

  constructor(writer: SseWriter, { choices, includeUsage }: Asked) {
    this.#writer = writer;
    this.#includeUsage = includeUsage;
    this.#ending = new Ending(choices);
  }

  async take({ data, event, job }: JobEvent): Promise<void> {
    if (this.over) return;
    if (event === "retrying" && this.#chunks > 0) await this.#interrupted(job);
    else if (event === "delta") for (const chunk of (data as { chunks: Chunk[] }).chunks) await this.#chunk(chunk);
    else if (event === "position") await this.#writer.comment(waiting(data as { position: number; eta: Eta }));
    else if (["queued", "in_progress", "retrying"].includes(event)) await this.#writer.comment(`${job} ${event}`);
    else await this.#end(data as Job);
  }

  async #chunk(chunk: Chunk): Promise<void> {
    this.#ending.add(meaningOf(chunk));
    const data = this.#includeUsage ? textOf(chunk) : withoutUsage(chunk);
    if (data === null) return;
    this.#chunks++;
    await this.#writer.event({ data });
  }

  /** The next attempt produces a different answer, and what was sent of this one cannot be taken back. */
  #interrupted(job: string): Promise<void> {
    const message = `The answer broke off. The job ${job} goes on: read its result from GET /v1/jobs/${job}.`;
    return this.refuse({ status: 502, type: "server_error", code: "stream_interrupted", message, param: null });
  }

  async #end(job: Job): Promise<void> {
    const problem = problemOf(job);
    if (problem) {
      await this.refuse(problem);
      this.final = true;
      return;
    }
    if (this.#chunks === 0) for (const chunk of chunksOf(job.response as Json, this.#includeUsage)) await this.#chunk(chunk);
    if (!this.#ending.reached) {
      const message = `Some chunks of the answer were lost. Read the whole answer from GET /v1/jobs/${job.id}.`;
      return this.refuse({ status: 502, type: "server_error", code: "stream_incomplete", message, param: null });
    }
    this.over = true;
    await this.#writer.event({ data: "[DONE]" });
    this.final = true;
  }

  /** Ends the answer with an error, which SDKs throw. */
  async refuse(problem: Problem): Promise<void> {
    this.over = true;
    await this.#writer.event({ data: JSON.stringify(errorBody(problem)) });
  }
}

function waiting({ eta, position }: { position: number; eta: Eta }): string {
  if (eta.limited_by === "paused") return `position ${position}, waits until its queue is no longer paused`;
  return `position ${position}, starts in about ${eta.p50} s (limited by ${eta.limited_by})`;
}
