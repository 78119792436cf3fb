/** What a client missed: the log and the deltas of a job after a seq; and which lobbies are told the rest. */
import { mailboxName } from "../../platform/mailboxes.ts";
import { pageOf } from "../../policy/deltas.ts";
import { isEnd } from "../../policy/lifecycle.ts";
import { meant } from "../../policy/verbatim.ts";
import type { EventName, JobEvent, ToldEvent } from "../../schemas/event.ts";
import type { FollowCall, Followed, Logged, Missed, Missing, UnfollowCall } from "../../schemas/rpc.ts";
import { find, lastSeq, noteRunning } from "./attempts.ts";
import type { Desk } from "./desk.ts";
import { WHOLE_CHANNEL } from "./followers.ts";
import { EventFrame } from "./frames.ts";
import { entriesOf, priorSeq } from "./log.ts";
import type { Delta } from "./store/deltas.ts";
import type { JobRow } from "./store/store.ts";
import { asAccepted, idOf, jobOf } from "./view.ts";

/** Characters of events in one answer, plus one event: far below the 32 MiB that an answer may have, and little of an object's memory. */
const FOLLOWED_CHARACTERS = 4_000_000;
const PAGE_CHARACTERS = 1_000_000;
/** `least`: where the lobby has no room left, a `follow` need only say how far each job goes, but a page must hold something. */
export const FOLLOWED = { most: FOLLOWED_CHARACTERS, least: 0 };
export const PAGE = { most: PAGE_CHARACTERS, least: 50_000 };

/**
 * A lobby follows jobs or the whole channel. The answer and what is told later join without a gap, because reading and registering
 * happen in one turn. If a job's events do not fit, the answer says how far it goes.
 */
export function follow(desk: Desk, call: FollowCall): Followed {
  const lobby = mailboxName(call.lobby);
  const missing: string[] = [];
  const unknown: string[] = [];
  const events: JobEvent[] = [];
  const behind: NonNullable<Followed["behind"]> = [];
  const over: string[] = [];
  const from: NonNullable<Followed["from"]> = {};
  let room = call.room ?? FOLLOWED_CHARACTERS;
  const fresh = call.channel && desk.followers.add(WHOLE_CHANNEL, lobby, call.deltas, call.leaves);
  const asked = new Map(call.jobs.map(({ id, after }) => [id, after]));
  for (const [id, after] of Object.entries(call.after)) if (call.channel && !asked.has(id)) asked.set(id, after);
  const named = new Set(call.jobs.map(({ id }) => id));
  for (const [id, after] of asked) {
    const row = find(desk, id);
    if (!row) {
      (named.has(id) ? missing : unknown).push(id);
      continue;
    }
    if (!isEnd(row.status) && named.has(id)) desk.followers.add(row.n, lobby, call.deltas, call.leaves);
    const running = desk.running.get(row.n);
    if (running && row.status === "queued") noteRunning(desk, row, running.attempt, running.startedAt);
    const newest = newestSeq(desk, row, call.deltas);
    const claimed = after ?? 0;
    let told = startOf(desk, row, claimed);
    if (told !== claimed) from[id] = told;
    else if (told === lastSeq(desk, row) && isEnd(row.status)) over.push(id);
    for (const event of room > 0 ? replayed(desk, id, row, told, call.deltas) : []) {
      if (room <= 0) break;
      events.push(event);
      room -= sizeOf(event);
      told = event.seq;
    }
    if (told < newest) behind.push({ id, after: told, newest });
  }
  desk.background(desk.inquiries.ask(call, fresh));
  return { events, missing, unknown, behind, over, from };
}

export function unfollow(desk: Desk, call: UnfollowCall): void {
  const lobby = mailboxName(call.lobby);
  if (call.channel) desk.followers.remove(WHOLE_CHANNEL, lobby, call.leave);
  for (const id of call.jobs) {
    const row = find(desk, id);
    if (!row) continue;
    // A lobby that follows the channel as well must still be told of an end.
    if (!isEnd(row.status) || !desk.followers.has(WHOLE_CHANNEL, lobby)) desk.followers.remove(row.n, lobby, call.leave);
    // A caller's door follows from this mailbox: this may be that door, which died without a word.
    if (lobby === mailboxName(desk.address)) desk.calls.left(row.n);
  }
}

/** A job's stored events, for a client that does not follow it, as far as one answer has room; null if there is no such job. */
export function eventsOf(desk: Desk, id: string, after: number, deltas: boolean, limit = Number.POSITIVE_INFINITY): Logged | null {
  const row = find(desk, id);
  if (!row) return null;
  const events: JobEvent[] = [];
  let room = FOLLOWED_CHARACTERS;
  const from = startOf(desk, row, after);
  for (const event of limit > 0 ? replayed(desk, id, row, from, deltas) : []) {
    if (room <= 0 || events.length >= limit) return { events, more: true, from };
    events.push(meant(event));
    room -= sizeOf(event);
  }
  return { events, more: false, from };
}

/** The seq after which a client is told events. A claimed seq beyond the last counts as the last, or if the job has ended, as the one before its end. */
function startOf(desk: Desk, row: JobRow, claimed: number): number {
  const last = lastSeq(desk, row);
  if (claimed <= last) return claimed;
  return isEnd(row.status) ? last - 1 : last;
}

/** Events of a job after a seq, in order, one by one, so that no more of a long stream is read than is taken. */
export function* replayed(desk: Desk, id: string, row: JobRow, after: number, deltas: boolean): Generator<JobEvent, void> {
  const missed = deltas ? desk.store.deltas.after(row.n, after) : [].values();
  let delta = missed.next();
  for (const [seq, event, , data] of entriesOf(row)) {
    for (; !delta.done && delta.value.seq < seq; delta = missed.next()) yield deltaOf(id, delta.value);
    if (seq > after) yield { job: id, seq, event, data: dataOf(desk, row, event, data) };
  }
  for (; !delta.done; delta = missed.next()) yield deltaOf(id, delta.value);
}

function deltaOf(job: string, { chunks, seq }: Delta): JobEvent {
  return { job, seq, event: "delta", data: { chunks } };
}

/** The newest event of a job, deltas included or not; null if there is no such job. */
export function newest(desk: Desk, n: number, deltas: boolean): JobEvent | null {
  const row = desk.store.job(n);
  if (!row) return null;
  const event = replayed(desk, idOf(desk.address, row), row, newestSeq(desk, row, deltas) - 1, deltas).next().value!;
  return event.event === "delta" ? event : { ...event, prior: priorSeq(row) };
}

function newestSeq(desk: Desk, row: JobRow, deltas: boolean): number {
  return deltas ? lastSeq(desk, row) : entriesOf(row).at(-1)![0];
}

/** What a reader lacks of a job. Consecutive deltas are merged, unless the reader wants each as it came. */
export function missed(desk: Desk, { after, deltas, id, room = PAGE_CHARACTERS, verbatim }: Missing): Missed {
  const row = find(desk, id);
  return pageOf(row ? replayed(desk, id, row, after, deltas) : [], room, !verbatim);
}

function sizeOf(event: ToldEvent): number {
  return new EventFrame(event).text.length;
}

function dataOf(desk: Desk, row: JobRow, event: EventName, data: unknown): unknown {
  if (event === "queued") return asAccepted(desk.address, row);
  return isEnd(event) ? snapshot(desk, row) : data;
}

function snapshot(desk: Desk, row: JobRow) {
  const standing = { place: null, runningSince: desk.running.get(row.n)?.startedAt ?? null, now: desk.now() };
  return jobOf(desk.address, row, standing, row.status === "completed" ? desk.store.text(row.n, "response") : null);
}
