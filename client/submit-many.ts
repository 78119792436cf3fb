/**
 * Jobs in bulk, as JSONL. They are sent in groups, each a separate request that is kept until it is answered: a streamed body could not be sent again, browsers
 * refuse it over HTTP/1.1, and one request holds at most 50,000 lines.
 */
import type { Job, JobInput } from "../schemas/job.ts";
import { ConnectionError, errorFrom, type SluiceError } from "./errors.ts";
import { type Call, repeat, send, type Wire } from "./http.ts";
import { linesOf } from "./lines.ts";

/** The answer to the job at `index` of the input. */
export type Submitted = { index: number; ok: true; job: Job } | { index: number; ok: false; error: SluiceError };

export type SubmitManyOptions = {
  signal?: AbortSignal;
  /** Makes the whole repeatable: the same jobs in the same order under the same key are the same jobs, however often they are sent. */
  idempotencyKey?: string;
};

type Source = Iterable<JobInput> | AsyncIterable<JobInput>;
type Group = { first: number; lines: string[] };

const GROUP_LINES = 500;
const GROUP_CHARACTERS = 1_000_000;
/** Jobs wait no longer than this for others to fill their group. */
const LINGER_MS = 20;
/** What a group may take on top of a call's time-out: it is answered once all of it is durable. */
const GROUP_EXTRA_MS = 60_000;

/**
 * Reads the jobs as they are needed and yields the answers in order, each once its job is durable; a bad one fails alone.
 * @throws SluiceError when a group cannot be sent; everything yielded before is accepted.
 */
export async function* submitMany(wire: Wire, jobs: Source, options: SubmitManyOptions = {}): AsyncGenerator<Submitted, void, undefined> {
  const key = options.idempotencyKey ?? crypto.randomUUID();
  // For the caller's key to mean the same next time, groups must not depend on how fast the jobs came.
  const lingerMs = options.idempotencyKey === undefined ? LINGER_MS : null;
  const signal = options.signal ?? new AbortController().signal;
  for await (const group of groupsOf(jobs, lingerMs, signal)) yield* await sendGroup(wire, group, `${key}-${group.first}`, signal);
}

/** All or nothing: the service answers a group of this size at once. If the answer breaks off, the group is sent again under the same key. */
function sendGroup(wire: Wire, { first, lines }: Group, key: string, signal: AbortSignal): Promise<Submitted[]> {
  const call: Call = {
    method: "POST",
    path: "/v1/jobs",
    headers: { "content-type": "application/jsonl", "idempotency-key": key },
    body: `${lines.join("\n")}\n`,
    repeatable: true,
    extraMs: GROUP_EXTRA_MS,
    signal,
  };
  return repeat(wire, call, async (trySignal) => {
    const answers: Submitted[] = [];
    const response = await send(wire, call, trySignal);
    for await (const line of linesOf(response.body!)) answers.push(answer(first + answers.length, line));
    if (answers.length < lines.length) throw new ConnectionError("The answer broke off.");
    return answers;
  });
}

function answer(index: number, line: string): Submitted {
  const said = JSON.parse(line) as Job | { error: unknown };
  // A job has an `error` field too, so `object` tells them apart.
  return "object" in said ? { index, ok: true, job: said } : { index, ok: false, error: errorFrom(said.error) };
}

/** @param lingerMs null: a group ends only when it is full, or when the jobs end. */
async function* groupsOf(jobs: Source, lingerMs: number | null, signal: AbortSignal): AsyncGenerator<Group> {
  const iterator = Symbol.asyncIterator in jobs ? jobs[Symbol.asyncIterator]() : jobs[Symbol.iterator]();
  let coming: Promise<IteratorResult<JobInput>> | null = null;
  let finished = false;
  try {
    for (let first = 0; !finished; ) {
      const lines: string[] = [];
      let characters = 0;
      while (lines.length < GROUP_LINES && characters < GROUP_CHARACTERS) {
        coming ??= Promise.resolve(iterator.next());
        const next = await within(coming, lines.length === 0 ? null : lingerMs, signal);
        if (next === null) break;
        coming = null;
        finished = next.done === true;
        if (next.done) break;
        const line = JSON.stringify(next.value);
        lines.push(line);
        characters += line.length;
      }
      if (lines.length > 0) yield { first, lines };
      first += lines.length;
    }
  } finally {
    // Not awaited: a source that is busy producing its next job does not react before it has one.
    if (!finished) void Promise.resolve(iterator.return?.()).catch(() => {});
  }
}

/** Null if it does not come within `ms`; it is then still to come. @throws the signal's reason */
function within<T>(coming: Promise<T>, ms: number | null, signal: AbortSignal): Promise<T | null> {
  return new Promise<T | null>((done, fail) => {
    const stop = () => settle(() => fail(signal.reason));
    const timer: ReturnType<typeof setTimeout> | undefined = ms === null ? undefined : setTimeout(() => settle(() => done(null)), ms);
    const settle = (how: () => void) => {
      clearTimeout(timer);
      signal.removeEventListener("abort", stop);
      how();
    };
    if (signal.aborted) return stop();
    signal.addEventListener("abort", stop, { once: true });
    coming.then(
      (value) => settle(() => done(value)),
      (error) => settle(() => fail(error)),
    );
  });
}
