/** Questions about jobs, and their cancellation. */

import { callCoordinator } from "../../platform/objects.ts";
import { isEnd } from "../../policy/lifecycle.ts";
import type { Job, JobStatus } from "../../schemas/job.ts";
import type { Listed, ListQuery, Place, Unlined } from "../../schemas/rpc.ts";
import { find, finish } from "./attempts.ts";
import type { Desk } from "./desk.ts";
import type { JobRow } from "./store/store.ts";
import { idOf, jobOf, statusOf } from "./view.ts";

/** Rows looked at in one go for a page of a list: jobs that wait or run are told apart only by asking. */
const SCAN_LIMIT = 2_000;
/** Of those that are asked for alone, as the coordinator calls them. */
const STATES: Partial<Record<JobStatus, Unlined>> = { in_progress: "running", scheduled: "scheduled" };

export async function get(desk: Desk, id: string): Promise<Job | null> {
  const row = find(desk, id);
  if (!row) return null;
  if (isEnd(row.status)) return show(desk, row, null);
  const [place] = await placesOf(desk, [row]);
  // It may have ended while the coordinator was asked.
  const current = desk.store.job(row.n) ?? row;
  // Since when it runs is told now, and is not to vanish should it end without another word of that.
  if (place?.held && current.status === "queued" && place.held.attempt >= current.attempt && !desk.running.has(row.n))
    desk.running.set(row.n, place.held);
  // A call that met a limit, or could not leave in time, was no attempt: nobody says so, but it waits again.
  const running = desk.running.get(row.n);
  if (running && place && place.state !== "running" && (place.attempt ?? 0) >= running.attempt) desk.running.delete(row.n);
  return show(desk, current, place ?? null);
}

/** Newest first. */
export async function list(desk: Desk, query: ListQuery): Promise<Listed> {
  const { before, limit, status: wanted } = query;
  // These have no answers.
  if (wanted !== null && !isEnd(wanted)) return { jobs: await listOpen(desk, wanted, before, limit), cut: false };
  const rows = desk.store.jobs(wanted, before, limit);
  const places = await placesOf(desk, rows);
  const jobs: Job[] = [];
  let { room } = query;
  for (const [index, row] of rows.entries()) {
    if (room <= 0) return { jobs, cut: true };
    jobs.push(show(desk, row, places[index] ?? null));
    if (row.status === "completed") room -= desk.store.length(row.n, "response");
  }
  return { jobs, cut: false };
}

/** Those of the jobs without an end that have this status. The few that run may stand behind thousands that wait. */
async function listOpen(desk: Desk, wanted: JobStatus, before: ListQuery["before"], limit: number): Promise<Job[]> {
  const found: Job[] = [];
  for (let bound = before; ; ) {
    const rows = desk.store.jobs("queued", bound, SCAN_LIMIT);
    const places = await placesOf(desk, rows, STATES[wanted]);
    const now = desk.now();
    for (const [index, row] of rows.entries()) {
      const standing = { place: places[index] ?? null, runningSince: desk.running.get(row.n)?.startedAt ?? null, now };
      if (statusOf(row, standing) === wanted) found.push(show(desk, row, standing.place));
      if (found.length === limit) return found;
    }
    const last = rows.at(-1);
    if (!last || rows.length < SCAN_LIMIT) return found;
    bound = { at: last.accepted_at, number: last.n };
  }
}

/** Ends the job here and now; the coordinator drops its ticket, a call under way is broken off. */
export async function cancel(desk: Desk, id: string): Promise<Job | null> {
  const row = find(desk, id);
  if (!row) return null;
  const running = desk.running.get(row.n);
  if (running) [row.attempt, row.attempts] = [Math.max(row.attempt, running.attempt), Math.max(row.attempts, 1)];
  // Asked again, perhaps since the answer was lost, and with it the news.
  if (isEnd(row.status)) desk.followers.tellAgain(row.n);
  else {
    finish(desk, row, "cancelled", {});
    // Lost, this costs nothing: the dispatcher asks here before it calls upstream.
    desk.background(callCoordinator(desk.env, desk.settings.region, (stub) => stub.cancel([id])).catch(() => {}));
  }
  return show(desk, row, null);
}

function show(desk: Desk, row: JobRow, place: Place | null): Job {
  const standing = { place, runningSince: desk.running.get(row.n)?.startedAt ?? null, now: desk.now() };
  return jobOf(desk.address, row, standing, row.status === "completed" ? desk.store.text(row.n, "response") : null);
}

/** Where jobs stand, in order; null for those that have ended or are not in the `state` that is asked for, and for all if the coordinator cannot be asked. */
export async function placesOf(desk: Desk, rows: JobRow[], state?: Unlined): Promise<(Place | null)[]> {
  const open = rows.filter((row) => !isEnd(row.status));
  if (open.length === 0) return rows.map(() => null);
  const ids = open.map((row) => idOf(desk.address, row));
  const places = await callCoordinator(desk.env, desk.settings.region, (stub) => stub.locate(ids, state)).catch(() => []);
  const byNumber = new Map(open.map((row, index) => [row.n, places[index] ?? null]));
  return rows.map((row) => byNumber.get(row.n) ?? null);
}
