/** Questions about jobs, and their cancellation. */

import { callCoordinator } from "../../platform/objects.ts";
import { isEnd } from "../../policy/lifecycle.ts";
import type { Job, JobStatus } from "../../schemas/job.ts";
import type { Listed, ListQuery, Place, Unlined } from "../../schemas/rpc.ts";
import { find, finish } from "./attempts.ts";
import type { Desk } from "./desk.ts";
import type { JobRow } from "./store/store.ts";
import { idOf, jobOf, statusOf } from "./view.ts";

/** Rows read at a time for a page of a list: only the coordinator can tell which open jobs run. */
const SCAN_LIMIT = 2_000;
/** Statuses that the coordinator can be asked for alone, by its own names. */
const STATES: Partial<Record<JobStatus, Unlined>> = { in_progress: "running", scheduled: "scheduled" };

export async function get(desk: Desk, id: string): Promise<Job | null> {
  const row = find(desk, id);
  if (!row) return null;
  if (isEnd(row.status)) return show(desk, row, null);
  const [place] = await placesOf(desk, [row]);
  // It may have ended while the coordinator was asked.
  const current = desk.store.job(row.n) ?? row;
  // The start time is shown now, and must not vanish if the job ends without another word of it.
  if (place?.held && current.status === "queued" && place.held.attempt >= current.attempt && !desk.running.has(row.n))
    desk.running.set(row.n, place.held);
  // A call that met a limit, or could not leave in time, is not an attempt: its job waits again, and the mailbox is not told.
  const running = desk.running.get(row.n);
  if (running && place && place.state !== "running" && (place.attempt ?? 0) >= running.attempt) desk.running.delete(row.n);
  return show(desk, current, place ?? null);
}

/** Newest first. */
export async function list(desk: Desk, query: ListQuery): Promise<Listed> {
  const { before, limit, status: wanted } = query;
  // Open jobs have no answers that could fill the page.
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

/** Open jobs with this status. The few that run may come after thousands that wait. */
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

/** Ends the job here and now; the coordinator drops its ticket, and a call under way is aborted. */
export async function cancel(desk: Desk, id: string): Promise<Job | null> {
  const row = find(desk, id);
  if (!row) return null;
  const running = desk.running.get(row.n);
  if (running) [row.attempt, row.attempts] = [Math.max(row.attempt, running.attempt), Math.max(row.attempts, 1)];
  // Asked again, perhaps because the answer was lost, and the event with it.
  if (isEnd(row.status)) desk.followers.tellAgain(row.n);
  else {
    finish(desk, row, "cancelled", {});
    // Losing this costs nothing: the dispatcher asks here before it calls upstream.
    desk.background(callCoordinator(desk.env, desk.settings.region, (stub) => stub.cancel([id])).catch(() => {}));
  }
  return show(desk, row, null);
}

function show(desk: Desk, row: JobRow, place: Place | null): Job {
  const standing = { place, runningSince: desk.running.get(row.n)?.startedAt ?? null, now: desk.now() };
  return jobOf(desk.address, row, standing, row.status === "completed" ? desk.store.text(row.n, "response") : null);
}

/** Where jobs stand, in order; null for jobs that have ended or are not in the given `state`, and for all if the coordinator cannot be reached. */
export async function placesOf(desk: Desk, rows: JobRow[], state?: Unlined): Promise<(Place | null)[]> {
  const open = rows.filter((row) => !isEnd(row.status));
  if (open.length === 0) return rows.map(() => null);
  const ids = open.map((row) => idOf(desk.address, row));
  const places = await callCoordinator(desk.env, desk.settings.region, (stub) => stub.locate(ids, state)).catch(() => []);
  const byNumber = new Map(open.map((row, index) => [row.n, places[index] ?? null]));
  return rows.map((row) => byNumber.get(row.n) ?? null);
}
