/**
 * Attempts as the mailbox sees them: opened by a dispatcher, fed with deltas, committed once, or judged by the coordinator.
 * Law: only the newest attempt of a job is listened to, and an end is written once.
 */
import { parseJobId } from "../../platform/ids.ts";
import { aTurn } from "../../platform/turns.ts";
import { mayBecome } from "../../policy/lifecycle.ts";
import type { EventName } from "../../schemas/event.ts";
import type { JobEnd } from "../../schemas/job.ts";
import type { Problem } from "../../schemas/problem.ts";
import type { AppendCall, Appended, CommitCall, Committed, Lease, OpenCall, Opened, Verdict } from "../../schemas/rpc.ts";
import type { Desk } from "./desk.ts";
import { append as appendTo, entriesOf, priorSeq, saysRetrying, saysRetryingSince, saysRunning } from "./log.ts";
import { placed } from "./order.ts";
import { deltasKeptMs } from "./retention.ts";
import type { JobRow } from "./store/store.ts";
import { idOf, jobOf, statusOf } from "./view.ts";

/** The row of a job by its id, or null. */
export function find(desk: Desk, id: string): JobRow | null {
  const name = parseJobId(desk.address.tenant, id);
  if (!name || name.channel !== desk.address.channel) return null;
  const row = desk.store.job(name.number);
  return row?.nonce === name.nonce && row.accepted_at === name.at ? row : null;
}

const UNKNOWN_OUTCOME = "unknown_outcome";
/** How much of the message of a failed call is quoted in the problem of a job that is given up because of it. */
const CAUSE_CHARACTERS = 300;
const UNWANTED: Opened = { ok: false, reason: "unwanted" };

/** A dispatcher is about to call upstream: it gets the body, unless the call is no longer wanted. */
export function open(desk: Desk, { dispatcher, inPieces, lease }: OpenCall): Opened {
  const row = find(desk, lease.job);
  if (row?.status === "failed") return givenUp(row);
  if (row?.status !== "queued" || lease.attempt < row.attempt) return UNWANTED;
  const running = desk.running.get(row.n);
  if (running && running.attempt > lease.attempt) return UNWANTED;
  if (lease.unknown > 0 && !mayRepeat(desk, row)) {
    // This attempt did not happen, so the one before was not repeated.
    noteAttempt(row, { ...lease, waits: lease.waits + 1, unknown: lease.unknown - 1 });
    finish(desk, row, "failed", { problem: unknownOutcome(null) });
    return givenUp(row);
  }
  if (!desk.room.keepsAnswers) return { ok: false, reason: "full" };
  const startedAt = desk.now();
  desk.running.set(row.n, { attempt: lease.attempt, dispatcher, startedAt });
  desk.promised.delete(row.n);
  const watched = desk.followers.watched(row.n);
  if (lease.attempt > 1) {
    noteAttempt(row, lease);
    // A follower may have heard of this attempt before: then only the counts are new.
    if (saysRunning(row, lease.attempt)) desk.store.update(row);
    else noteRunning(desk, row, lease.attempt, startedAt);
  } else if (watched) {
    // After the answer: the call to upstream need not wait for this commit. The first attempt of a job that nobody watches
    // is not worth a row at all: the coordinator knows that it runs.
    desk.background(aTurn().then(() => noteFirst(desk, row.n, startedAt)));
  }
  return {
    ok: true,
    request: (inPieces ? desk.store.request(row.n) : desk.store.text(row.n, "request")) ?? "{}",
    pool: row.pool,
    // Somebody saw a part of an attempt that broke off, and will come back for the rest.
    watched: row.call?.stream || desk.followers.wantsDeltas(row.n) || (lease.attempt > 1 && desk.store.deltas.counts(row.n, 0).last > 0),
    ...(row.call?.stream && { verbatim: true }),
    ...(row.timeouts && { timeouts: row.timeouts }),
  };
}

/** As much of a long request as a dispatcher has room for: several prompts of many MB at once would be more than an object can hold. */
export function piece(desk: Desk, job: string, index: number): string | null {
  const row = find(desk, job);
  return row && desk.store.parts.piece(row.n, index);
}

/** Repeated for a dispatcher that asks again: the coordinator has yet to hear that the job was given up here. */
function givenUp(row: JobRow): Opened {
  const problem = problemOfGivenUp(row);
  return problem ? { ok: false, reason: "given_up", problem } : UNWANTED;
}

function problemOfGivenUp(row: JobRow): Problem | null {
  const problem = JSON.parse(row.error ?? "null") as Problem | null;
  return problem?.code === UNKNOWN_OUTCOME ? problem : null;
}

function noteFirst(desk: Desk, n: number, startedAt: number): void {
  const row = desk.store.job(n);
  if (row?.status !== "queued" || row.attempt > 1) return;
  row.attempts = Math.max(row.attempts, 1);
  noteRunning(desk, row, 1, startedAt);
}

/** Chunks that arrived together become one event. A batch out of order is refused, and the answer names the number that is due. */
export function append(desk: Desk, call: AppendCall): Appended {
  const row = find(desk, call.job);
  if (row?.status !== "queued" || call.attempt < row.attempt) return { ok: false };
  const counts = desk.store.deltas.counts(row.n, call.attempt);
  desk.streams.begin(row.n);
  const { gapMs } = desk.streams;
  if (call.index !== counts.ofAttempt) return { ok: true, need: counts.ofAttempt, gapMs };
  noteRunning(desk, row, call.attempt, desk.running.get(row.n)?.startedAt ?? desk.now());
  const last = lastSeq(desk, row);
  const place = desk.order.next();
  desk.store.deltas.add(row.n, last + 1, call.attempt, call.chunks, place);
  const event = { job: call.job, seq: last + 1, event: "delta" as const, data: { chunks: call.chunks }, ...placed(place) };
  desk.background(desk.followers.tell(row.n, event).then((readers) => desk.streams.told(row.n, readers)));
  return { ok: true, need: counts.ofAttempt + 1, gapMs };
}

/** Writes the result here and now. The dispatcher does not wait for it to be told. */
export function commit(desk: Desk, call: CommitCall): Committed {
  const row = find(desk, call.job);
  if (!row) return { ok: false, reason: "unknown_job" };
  if (row.status !== "queued") {
    // Perhaps the answer to the first commit was lost, and with it the news.
    desk.followers.tellAgain(row.n);
    return { ok: false, reason: "ended" };
  }
  if (call.attempt < row.attempt) return { ok: false, reason: "fenced" };
  row.attempt = call.attempt;
  row.attempts = Math.max(row.attempts + (saysRunning(row, call.attempt) ? 0 : 1), 1);
  row.usage = call.usage && JSON.stringify(call.usage);
  finish(desk, row, "completed", { response: call.response, startedAt: call.startedAt });
  // Deltas are missing, so whoever comes later is told the whole answer, and no parts of it.
  if (call.lacking) desk.store.deltas.forget(row.n);
  return { ok: true };
}

/** The coordinator's verdict on an attempt that ended without a result. Returns why the job is given up here instead; null if it is not. */
export function judge(desk: Desk, verdict: Verdict): Problem | null {
  const row = find(desk, verdict.job);
  if (!row) return null;
  if (row.status !== "queued") {
    // A repeated verdict: perhaps the answer to the first was lost, and with it the news.
    desk.followers.tellAgain(row.n);
    return verdict.kind === "retrying" ? problemOfGivenUp(row) : null;
  }
  // Late: a newer attempt is open already.
  if (verdict.kind === "retrying" && verdict.attempt < row.attempt) return null;
  row.attempts = verdict.attempts;
  row.unknown = verdict.unknown;
  if (verdict.kind === "retrying" && verdict.unknown > 0 && !mayRepeat(desk, row)) {
    row.unknown = verdict.unknown - 1;
    row.attempt = Math.max(row.attempt, verdict.attempt);
    const problem = unknownOutcome(verdict.problem);
    finish(desk, row, "failed", { problem, startedAt: verdict.startedAt });
    return problem;
  }
  if (verdict.kind !== "retrying") {
    row.attempt = Math.max(row.attempt, verdict.attempt);
    finish(desk, row, verdict.kind, { problem: verdict.problem, startedAt: verdict.startedAt });
    return null;
  }
  const isNews = !saysRetrying(row, verdict.attempt);
  const begun = isNews ? writeBegun(desk, row, verdict.attempt, verdict.startedAt) : null;
  // From here on that attempt is refused.
  row.attempt = Math.max(row.attempt, verdict.attempt + 1);
  desk.running.delete(row.n);
  desk.streams.over(row.n);
  if (begun) tellBegun(desk, row, begun);
  if (isNews) {
    note(desk, row, "retrying", { attempt: verdict.attempt, retry_at: verdict.retryAt / 1_000, ...reasonOf(verdict) });
  }
  return null;
}

type Retrying = Extract<Verdict, { kind: "retrying" }>;

/** Why, and since when; an older coordinator does not say when. */
function reasonOf({ failedAt, problem }: Retrying): object {
  const error = problem && { message: problem.message, code: problem.code, status: problem.status };
  return { error, ...(failedAt !== undefined && { failed_at: failedAt / 1_000 }) };
}

type End = { problem?: Problem; response?: string; startedAt?: number | null | undefined };

/** Writes the end of a job, once, and tells it. `row` carries what else has changed. */
export function finish(desk: Desk, row: JobRow, status: JobEnd, end: End): void {
  const now = desk.now();
  const before = statusOf(row, { place: null, runningSince: desk.running.get(row.n)?.startedAt ?? null, now });
  if (status !== "completed" && !mayBecome(before, status)) return;
  const begun = writeBegun(desk, row, row.attempt, end.startedAt);
  row.status = status;
  row.ended_at = now;
  if (end.problem) {
    row.error = JSON.stringify(end.problem);
  }
  const lastDelta = desk.store.deltas.counts(row.n, 0).last;
  write(desk, row, lastDelta, status, null, now);
  const store = () => desk.store.end(row, end.response ?? null);
  if (row.webhook === undefined) store();
  else desk.webhooks.tell(row, row.webhook, store);
  desk.followers.owe(row.n);
  desk.running.delete(row.n);
  desk.promised.delete(row.n);
  desk.store.deltas.close(row.n);
  desk.streams.over(row.n);
  desk.wakeBy(now + (lastDelta > 0 ? deltasKeptMs(desk) : desk.retentionMs));
  desk.ended(status);
  if (begun) tellBegun(desk, row, begun);
  if (desk.followers.watched(row.n)) tellEnd(desk, row, end.response ?? null);
}

function tellEnd(desk: Desk, row: JobRow, response: string | null): void {
  const job = jobOf(desk.address, row, { place: null, runningSince: null, now: desk.now() }, response);
  const [seq, event, , , place] = entriesOf(row).at(-1)!;
  desk.background(desk.followers.tell(row.n, { job: job.id, seq, event, data: job, prior: priorSeq(row), ...placed(place) }));
}

type Begun = { seq: number; prior: number; place?: number; data: { attempt: number } };

/**
 * Writes that an attempt began, along with its end: while it runs and nobody watches, that is not worth a write of its own. Null if it is written already, or
 * if nobody knows of one that began. `startedAt`: as others know it, null if they say that none began; a mailbox that slept since does not know it itself.
 */
function writeBegun(desk: Desk, row: JobRow, attempt: number, startedAt: number | null | undefined): Begun | null {
  if (startedAt === null || saysRunning(row, attempt)) return null;
  const running = desk.running.get(row.n);
  const at = running?.attempt === attempt ? running.startedAt : startedAt;
  if (at === undefined) return null;
  row.started_at ??= at;
  const data = { attempt };
  // Had a first attempt deltas, its beginning would be written already.
  const lastDelta = attempt === 1 ? 0 : desk.store.deltas.counts(row.n, 0).last;
  return { ...write(desk, row, lastDelta, "in_progress", data, at), data };
}

/** For followers that came while it ran: otherwise they would miss a number. */
function tellBegun(desk: Desk, row: JobRow, begun: Begun): void {
  if (desk.followers.watched(row.n))
    desk.background(desk.followers.tell(row.n, { job: idOf(desk.address, row), event: "in_progress", ...begun }));
}

/** Writes that this attempt runs, unless that is written already. */
export function noteRunning(desk: Desk, row: JobRow, attempt: number, startedAt: number): void {
  if (saysRunning(row, attempt)) return;
  row.started_at ??= startedAt;
  row.attempt = Math.max(row.attempt, attempt);
  // The coordinator's verdict on the attempt before may have been lost. Without it, the deltas of both would read as one text.
  const broken = attempt > 1 ? desk.store.deltas.attemptBefore(row.n, attempt) : null;
  if (broken !== null && !saysRetryingSince(row, broken))
    note(desk, row, "retrying", { attempt: broken, retry_at: startedAt / 1_000, error: null });
  note(desk, row, "in_progress", { attempt });
}

function noteAttempt(row: JobRow, lease: Lease): void {
  row.attempt = Math.max(row.attempt, lease.attempt);
  row.attempts = lease.attempt - lease.waits;
  row.unknown = lease.unknown;
}

/** Writes an event of a job, and tells it. `row` carries what else has changed. */
export function note(desk: Desk, row: JobRow, event: EventName, data: unknown): void {
  const written = write(desk, row, desk.store.deltas.counts(row.n, 0).last, event, data, desk.now());
  desk.store.update(row);
  desk.background(desk.followers.tell(row.n, { job: idOf(desk.address, row), event, data, ...written }));
}

/** Appends an event to the row, at the next place of the channel's order. */
function write(desk: Desk, row: JobRow, lastDelta: number, event: EventName, data: unknown, at: number) {
  const place = desk.order.next();
  return { seq: appendTo(row, lastDelta, event, at, data, place), prior: priorSeq(row), ...placed(place) };
}

export function lastSeq(desk: Desk, row: JobRow): number {
  return Math.max(entriesOf(row).at(-1)![0], desk.store.deltas.counts(row.n, 0).last);
}

/** A call of unknown outcome may be made again: by the job's policy, and never silently once a consumer saw a part of the answer. */
function mayRepeat(desk: Desk, row: JobRow): boolean {
  if (row.retry === "always") return true;
  return row.retry === "safe" && desk.store.deltas.counts(row.n, 0).last === 0;
}

/** `cause`: how the call ended, as far as that is known. */
function unknownOutcome(cause: Problem | null): Problem {
  const named = cause && { ...(cause.upstream_request_id !== undefined && { upstream_request_id: cause.upstream_request_id }) };
  const how = cause ? ` (${cause.code ?? cause.status}: ${cause.message.slice(0, CAUSE_CHARACTERS)})` : "";
  const message = `The outcome of a call is unknown${how}, and the job's retry policy does not allow another call.`;
  return { status: 502, type: "server_error", code: UNKNOWN_OUTCOME, message, param: null, ...named };
}
