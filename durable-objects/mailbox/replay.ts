/** What a client missed: the log and the deltas of a job after a seq, and who is told of the rest. */
import { mailboxName } from "../../platform/mailboxes.ts";
import { together } from "../../policy/deltas.ts";
import { isEnd } from "../../policy/lifecycle.ts";
import type { EventName, JobEvent, ToldEvent } from "../../schemas/event.ts";
import type { FollowCall, Followed, MailboxRpc, Missing } from "../../schemas/rpc.ts";
import { find, lastSeq, noteRunning } from "./attempts.ts";
import type { Desk } from "./desk.ts";
import { WHOLE_CHANNEL } from "./followers.ts";
import { entriesOf, priorSeq } from "./log.ts";
import type { JobRow } from "./store/store.ts";
import { asAccepted, idOf, jobOf } from "./view.ts";

export type UnfollowCall = Parameters<MailboxRpc["unfollow"]>[0];

/**
 * A lobby follows jobs or the whole channel. What is answered and what is told later join without a gap: both are read and registered
 * in one turn.
 */
export function follow(desk: Desk, call: FollowCall): Followed {
  const lobby = mailboxName(call.lobby);
  const missing: string[] = [];
  const unknown: string[] = [];
  const events: JobEvent[] = [];
  const fresh = call.channel && desk.followers.add(WHOLE_CHANNEL, lobby, call.deltas);
  const asked = new Map(call.jobs.map(({ id, after }) => [id, after]));
  for (const [id, after] of Object.entries(call.after)) if (call.channel && !asked.has(id)) asked.set(id, after);
  const named = new Set(call.jobs.map(({ id }) => id));
  for (const [id, after] of asked) {
    const row = find(desk, id);
    if (!row) {
      (named.has(id) ? missing : unknown).push(id);
      continue;
    }
    if (!isEnd(row.status) && named.has(id)) desk.followers.add(row.n, lobby, call.deltas);
    const running = desk.running.get(row.n);
    if (running && row.status === "queued") noteRunning(desk, row, running.attempt, running.startedAt);
    events.push(...replay(desk, id, row, after ?? 0, call.deltas));
  }
  desk.background(desk.inquiries.ask(call, fresh));
  return { events, missing, unknown };
}

export function unfollow(desk: Desk, call: UnfollowCall): void {
  const lobby = mailboxName(call.lobby);
  if (call.channel) desk.followers.remove(WHOLE_CHANNEL, lobby);
  for (const id of call.jobs) {
    const row = find(desk, id);
    if (!row) continue;
    desk.followers.remove(row.n, lobby);
    if (!desk.followers.watched(row.n)) desk.calls.left(row);
  }
}

/** What is written of a job's events, for who does not follow; null when there is no such job. */
export function eventsOf(desk: Desk, id: string, after: number, deltas: boolean): JobEvent[] | null {
  const row = find(desk, id);
  return row && replay(desk, id, row, after, deltas);
}

/** Events of a job after a seq, in order. */
export function replay(desk: Desk, id: string, row: JobRow, after: number, deltas: boolean): JobEvent[] {
  const entries = entriesOf(row).filter(([seq]) => seq > after);
  const events = entries.map(([seq, event, , data]): JobEvent => ({ job: id, seq, event, data: dataOf(desk, row, event, data) }));
  if (deltas) {
    for (const { seq, chunks } of desk.store.deltas.after(row.n, after)) events.push({ job: id, seq, event: "delta", data: { chunks } });
  }
  return events.sort((a, b) => a.seq - b.seq);
}

/** The newest event of a job, of all or of those that are no deltas; null if there is no such job. */
export function newest(desk: Desk, n: number, deltas: boolean): JobEvent | null {
  const row = desk.store.job(n);
  if (!row) return null;
  const seq = deltas ? lastSeq(desk, row) : entriesOf(row).at(-1)![0];
  const event = replay(desk, idOf(desk.address, row), row, seq - 1, deltas)[0]!;
  return event.event === "delta" ? event : { ...event, prior: priorSeq(row) };
}

/** What a reader who lagged has missed: deltas that follow each other are one. */
export function missed(desk: Desk, jobs: Missing[]): ToldEvent[] {
  return jobs.flatMap(({ after, deltas, id }) => {
    const row = find(desk, id);
    return row ? together(replay(desk, id, row, after, deltas)) : [];
  });
}

function dataOf(desk: Desk, row: JobRow, event: EventName, data: unknown): unknown {
  if (event === "queued") return asAccepted(desk.address, row);
  return isEnd(event) ? snapshot(desk, row) : data;
}

function snapshot(desk: Desk, row: JobRow) {
  const standing = { place: null, runningSince: desk.running.get(row.n)?.startedAt ?? null, now: desk.now() };
  return jobOf(desk.address, row, standing, row.status === "completed" ? desk.store.text(row.n, "response") : null);
}
