/** One attempt: prepare the call, make it, read the stream, commit the result. */
import { backoffMs } from "../../policy/backoff.ts";
import { assembler } from "../../policy/completion.ts";
import type { Problem } from "../../schemas/problem.ts";
import type { PoolReading } from "../../schemas/rate.ts";
import type { AppendCall, Appended, CommitCall, Committed, Lease, Opened, Outcome, Word } from "../../schemas/rpc.ts";
import type { TimeoutsConfig } from "../../schemas/settings.ts";
import { classify, TIMEOUT_REPEATS, type UnknownEnd, unknownEnd, untakenEnd } from "./classify.ts";
import type { Delivery } from "./delivery.ts";
import { leaveOf, stayed } from "./leave.ts";
import { type Asked, type Holds, prepare } from "./prepare.ts";
import type { Upstream, UpstreamFailure } from "./upstream.ts";

/** A mailbox that cannot be reached for this long is considered broken, and the call's outcome unknown. */
const COMMIT_PATIENCE_MS = 120_000;
/**
 * The most that an answer may have as JSON text. A message between objects, or to a socket, holds 32 MiB, and a character takes up to three bytes. A longer
 * answer (a long one with log probabilities, say) would never reach its mailbox, nor would the answer to a repeated call, which would be charged for as well.
 */
const ANSWER_CHARACTERS = 10_000_000;
/** The SDK's own timeout only backs up ours, which can tell a slow start from a silent stream. */
const SDK_TIMEOUT_MARGIN_MS = 60_000;

export type Ports = {
  upstream: Upstream;
  holds: Holds;
  timeouts: TimeoutsConfig;
  open: (lease: Lease) => Promise<Opened>;
  /** Asks whether a call that is ready, but late, may still be sent. */
  late: (lease: Lease) => Promise<Word>;
  piece: (lease: Lease, index: number) => Promise<string | null>;
  append: (lease: Lease, call: AppendCall) => Promise<Appended>;
  commit: (lease: Lease, call: CommitCall) => Promise<Committed>;
  /** Reports that upstream has taken a probe's call: its answer has begun. */
  proven: (lease: Lease) => void;
  /** Takes in what an answer's headers say about upstream's limits. */
  read: (reading: PoolReading) => void;
  now: () => number;
};

/** A running attempt, as the dispatcher holds it. */
export class Call {
  readonly lease: Lease;
  readonly controller = new AbortController();
  delivery: Delivery | null = null;
  /** From its leaving until upstream's headers came; null before. */
  headersMs: number | null = null;
  /** When it left for upstream, ms; null before. */
  sentAt: number | null = null;
  /** The coordinator's answer if it was late; "lost" until that comes, and "go" if it was not asked. */
  word: Word = "go";
  readonly #startedAt: number;
  /** Whether `watch` was called: that may come before the attempt is opened, when there is no `delivery` yet. */
  watched = false;
  #body: Record<string, unknown> | null = null;

  constructor(lease: Lease, now: number) {
    this.lease = lease;
    this.#startedAt = now;
  }

  sent(now: number): void {
    this.sentAt = now;
  }

  /** From its start to its sending, ms; null until it is sent. */
  get waitedMs(): number | null {
    return this.sentAt === null ? null : this.sentAt - this.#startedAt;
  }

  /** Whether more than this part of the time from its start until `by` (ms) is used up. */
  hasUsed(part: number, by: number, now: number): boolean {
    return now - this.#startedAt > part * (by - this.#startedAt);
  }

  /** Sets the body to send. */
  give(body: Record<string, unknown>): void {
    this.#body = body;
  }

  /** Hands over the body, once, so that nothing keeps it in memory while the answer is read. */
  take(): Record<string, unknown> {
    const body = this.#body!;
    this.#body = null;
    return body;
  }

  abort(reason: string): void {
    this.controller.abort(reason);
    this.delivery?.stop();
  }

  watch(): void {
    this.watched = true;
    this.delivery?.watch();
  }
}

/** Makes the attempt and says how it ended; null if its lease is not valid. Never throws. */
export async function attempt(call: Call, ports: Ports): Promise<Outcome | null> {
  const prepared = await prepare(call, ports);
  return prepared.ok ? callUpstream(call, ports, prepared.asked, prepared.release) : prepared.outcome;
}

async function callUpstream(
  call: Call,
  ports: Ports,
  { choices, pool, timeouts: own }: Asked,
  release: () => void,
): Promise<Outcome | null> {
  const timeouts = { ...ports.timeouts, ...own };
  const startedAt = ports.now();
  const clock = new Watch(call.controller);
  clock.total(timeouts.total);
  // A job's own, shorter timeout is its client's choice: if it runs out, that says nothing about upstream.
  const silent = `Upstream sent no response headers within ${timeouts.first_byte} seconds (timeouts.first_byte).`;
  const slow = timedOut("upstream_timeout", silent, timeouts.first_byte >= ports.timeouts.first_byte);
  clock.next(slow, timeouts.first_byte);
  const leave = leaveOf(call, ports, () => clock.next(slow, timeouts.first_byte));
  let begun = false;
  let requestId: string | null = null;
  try {
    const timeoutMs = timeouts.total * 1_000 + SDK_TIMEOUT_MARGIN_MS;
    const stream = await ports.upstream.call(call.take(), call.controller.signal, timeoutMs, () => clock.sign(), leave);
    release();
    if (stream.rates) ports.read({ ...stream.rates, pool, job: call.lease.job, sentAt: call.sentAt ?? startedAt, at: ports.now() });
    requestId = stream.requestId;
    const end = stream.ok ? undefined : stayed(call, clock.ended !== null);
    if (end !== undefined) return end;
    if (!stream.ok) return clock.endedBy(stream.failure) ?? named(classify(stream.failure, false), requestId);
    call.headersMs = ports.now() - (call.sentAt ?? startedAt);
    const answer = assembler({ choices });
    const paused = `Upstream's stream was silent for ${timeouts.idle} seconds (timeouts.idle).`;
    const fellSilent = (blame: boolean) => timedOut("stream_stalled", paused, blame);
    clock.next(fellSilent(timeouts.idle >= ports.timeouts.idle), timeouts.idle);
    for await (const piece of stream.pieces) {
      // An upstream that has begun to answer is up: the model may think for longer than the timeout.
      if (!begun) clock.next(fellSilent(false), timeouts.idle);
      // Headers alone prove nothing: the stream may hold only an error.
      if (!begun && call.lease.probe) ports.proven(call.lease);
      begun = true;
      answer.add(piece.value);
      call.delivery!.add(piece);
    }
    if (clock.ended) return await partial(call, named(clock.ended, requestId));
    if (call.controller.signal.aborted) return { kind: "aborted" };
    clock.stop();
    return named(await deliver(call, ports, answer.result(), startedAt), requestId);
  } catch (error) {
    return await partial(call, named(clock.ended ?? classify(ports.upstream.broken(error, call.controller.signal), begun), requestId));
  } finally {
    release();
    clock.stop();
  }
}

function timedOut(code: string, message: string, blame: boolean): UnknownEnd {
  return unknownEnd(code, message, { blame, repeats: TIMEOUT_REPEATS });
}

/** The outcome; a problem in it gets upstream's id of the call, for a complaint to upstream. */
function named(outcome: Outcome, requestId: string | null): Outcome {
  if (requestId === null || !("problem" in outcome) || !outcome.problem) return outcome;
  return { ...outcome, problem: { ...outcome.problem, upstream_request_id: requestId } };
}

/** Before the end of the call is reported, whatever came of its answer is delivered to those who watch. */
async function partial(call: Call, outcome: Outcome): Promise<Outcome> {
  if (outcome.kind !== "aborted") await call.delivery!.drain();
  return outcome;
}

async function deliver(
  call: Call,
  ports: Ports,
  result: ReturnType<ReturnType<typeof assembler>["result"]>,
  startedAt: number,
): Promise<Outcome> {
  await call.delivery!.drain();
  if (!result.complete) {
    const message = `Upstream's stream ended early: ${result.missing} is missing.`;
    return unknownEnd("stream_truncated", message, { blame: true });
  }
  const { job, attempt: number } = call.lease;
  const response = JSON.stringify(result.completion);
  if (response.length > ANSWER_CHARACTERS) return { kind: "fatal", problem: tooLarge(response.length) };
  const lacking = call.delivery!.isLacking && { lacking: true as const };
  try {
    await persist(
      () => ports.commit(call.lease, { job, attempt: number, startedAt, response, usage: result.usage, ...lacking }),
      call,
      ports.now,
    );
  } catch {
    return call.controller.signal.aborted
      ? { kind: "aborted" }
      : unknownEnd("mailbox_unreachable", "The answer could not be stored: the job's mailbox could not be reached.", { blame: false });
  }
  return { kind: "committed", usage: result.usage };
}

function tooLarge(characters: number): Problem {
  const message = `The answer has ${characters} characters, but at most ${ANSWER_CHARACTERS} can be kept. It was not requested again: ask for a shorter one.`;
  return { status: 502, type: "server_error", code: "answer_too_large", message, param: null };
}

/** A result has been paid for: its mailbox is tried again until the call is broken off, for at most `COMMIT_PATIENCE_MS`. */
async function persist(commit: () => Promise<Committed>, call: Call, now: () => number): Promise<void> {
  const until = now() + COMMIT_PATIENCE_MS;
  for (let failures = 1; ; failures++) {
    try {
      await commit();
      return;
    } catch (error) {
      if (call.controller.signal.aborted || now() >= until) throw error;
      await new Promise((done) => setTimeout(done, backoffMs(failures, Math.random(), null)));
    }
  }
}

/** The timeouts of a call: one for the whole call, one for the next sign of life. */
class Watch {
  /** The outcome, once a timeout has run out. */
  ended: UnknownEnd | null = null;
  readonly #controller: AbortController;
  #whole: ReturnType<typeof setTimeout> | null = null;
  #step: { timer: ReturnType<typeof setTimeout>; dueAt: number; seconds: number; end: UnknownEnd } | null = null;
  #lastSign = 0;

  constructor(controller: AbortController) {
    this.#controller = controller;
  }

  /** Like `ended`, for a call that failed before its answer came: it may be certain that upstream has not taken it. */
  endedBy(failure: UpstreamFailure): UnknownEnd | null {
    return this.ended && failure.untaken ? untakenEnd(this.ended, failure) : this.ended;
  }

  total(seconds: number): void {
    // A long call is not a broken one: upstream is not to blame.
    const end = timedOut("upstream_timeout", `The call took longer than ${seconds} seconds (timeouts.total).`, false);
    this.#whole = setTimeout(() => this.#end(end), seconds * 1_000);
  }

  /** A sign of life came. */
  sign(): void {
    this.#lastSign = Date.now();
  }

  /** From now on each sign of life is due within `seconds` of the one before, the first within `seconds` of now. Otherwise the call ends with `end`. */
  next(end: UnknownEnd, seconds: number): void {
    this.sign();
    const dueAt = this.#lastSign + seconds * 1_000;
    // A timer that fires sooner stays, and is set again when it fires.
    const known = this.#step && this.#step.dueAt <= dueAt ? this.#step : null;
    if (this.#step && !known) clearTimeout(this.#step.timer);
    this.#step = { timer: known?.timer ?? this.#timer(seconds * 1_000), dueAt: known?.dueAt ?? dueAt, seconds, end };
  }

  stop(): void {
    if (this.#whole) clearTimeout(this.#whole);
    if (this.#step) clearTimeout(this.#step.timer);
  }

  /** One timer per call, set again when it fires: a timer set for every chunk costs more than the chunk. */
  #check(): void {
    const step = this.#step!;
    const left = this.#lastSign + step.seconds * 1_000 - Date.now();
    if (left <= 0) {
      this.#end(step.end);
      return;
    }
    step.timer = this.#timer(left);
    step.dueAt = Date.now() + left;
  }

  #timer(ms: number): ReturnType<typeof setTimeout> {
    return setTimeout(() => this.#check(), ms);
  }

  #end(end: UnknownEnd): void {
    this.ended = end;
    this.#controller.abort("timed out");
  }
}
