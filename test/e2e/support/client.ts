/** What a backend does: HTTP with a key. */
import { setTimeout as pause } from "node:timers/promises";
import type { Job } from "../../../schemas/job.ts";
import type { PoolState } from "../../../schemas/queue.ts";

export type Place = { url: string };
export type Answer<T> = { status: number; body: T; headers: Headers };
export type ErrorBody = { error: { message: string; type: string; code: string | null; param: string | null } };
type Sent = { key?: string; headers?: Record<string, string>; body?: unknown };

export async function call<T = Job>({ url }: Place, method: string, path: string, sent: Sent = {}): Promise<Answer<T>> {
  const { key = "sk-dev-alice", headers = {}, body } = sent;
  const response = await fetch(url + path, {
    method,
    headers: { authorization: `Bearer ${key}`, ...(body === undefined ? {} : { "content-type": "application/json" }), ...headers },
    ...(body === undefined ? {} : { body: typeof body === "string" ? body : JSON.stringify(body) }),
  });
  const text = await response.text();
  const isJson = /^application\/json(;|$)/.test(response.headers.get("content-type") ?? "");
  return { status: response.status, headers: response.headers, body: (isJson ? JSON.parse(text) : text) as T };
}

/** A job to submit; the request's `metadata` is what the simulator obeys (`simulate_…`). */
export function job(more: Record<string, unknown> = {}, request: Record<string, unknown> = {}): Record<string, unknown> {
  return {
    request: { model: "gpt-5-mini", max_completion_tokens: 500, messages: [{ role: "user", content: "Hello." }], ...request },
    ...more,
  };
}

/** @throws unless it was accepted. */
export async function submit(place: Place, body: unknown, sent: Sent = {}): Promise<Job> {
  const answer = await call(place, "POST", "/v1/jobs", { ...sent, body });
  if (answer.status !== 202) throw new Error(`refused: ${answer.status} ${JSON.stringify(answer.body)}`);
  return answer.body;
}

/** @throws unless all were accepted. */
export async function submitAll(place: Place, jobs: unknown[], sent: Sent = {}): Promise<Job[]> {
  const { status, body } = await call<{ data: Job[] }>(place, "POST", "/v1/jobs", { ...sent, body: { jobs } });
  const refused = body.data?.find((each) => each.object !== "job");
  if (status !== 202 || refused) throw new Error(`refused: ${status} ${JSON.stringify(refused ?? body)}`);
  return body.data;
}

export async function find(place: Place, id: string, key?: string): Promise<Job> {
  return (await call(place, "GET", `/v1/jobs/${id}`, key === undefined ? {} : { key })).body;
}

/** Waits for the end, by long-poll. */
export async function ended(place: Place, id: string, key = "sk-dev-alice"): Promise<Job> {
  return until(`the end of ${id}`, async () => {
    const { status, body } = await call(place, "GET", `/v1/jobs/${id}?wait=20`, { key });
    return status === 200 && body;
  });
}

/** Every job of a tenant (or of a channel), by id. */
export async function listed(
  place: Place,
  { channel, key = "sk-dev-alice" }: { channel?: string; key?: string } = {},
): Promise<Map<string, Job>> {
  const found = new Map<string, Job>();
  const query = new URLSearchParams({ limit: "100", ...(channel !== undefined && { channel }) });
  for (let more = true; more; ) {
    const { status, body } = await call<{ data: Job[]; last_id: string; has_more: boolean }>(place, "GET", `/v1/jobs?${query}`, { key });
    if (status !== 200) throw new Error(`no list: ${status} ${JSON.stringify(body)}`);
    for (const each of body.data) {
      if (found.has(each.id)) throw new Error(`${each.id} is on two pages`);
      found.set(each.id, each);
    }
    query.set("after", body.last_id);
    more = body.has_more;
  }
  return found;
}

export type Depth = Pick<PoolState, "depth" | "in_flight" | "scheduled">;

/** Sums over all pools. */
export async function queue(place: Place): Promise<Depth> {
  const { body } = await call<{ pools: PoolState[] }>(place, "GET", "/v1/queue", { key: "sk-dev-operator" });
  const sum = (of: keyof Depth) => body.pools.reduce((total, pool) => total + pool[of], 0);
  return { depth: sum("depth"), in_flight: sum("in_flight"), scheduled: sum("scheduled") };
}

export const EMPTY: Depth = { depth: 0, in_flight: 0, scheduled: 0 };

export function drained(place: Place): Promise<true> {
  return until("the queue to run empty", async () => {
    const { depth, in_flight, scheduled } = await queue(place);
    return depth + in_flight + scheduled === 0;
  });
}

export type Ledger = {
  calls: number;
  completed: number;
  aborted: number;
  in_flight: number;
  rejected_429: { requests: number; tokens: number };
  by_status: Record<string, number>;
  calls_by_key: Record<string, number>;
  completed_by_key: Record<string, number>;
};

/** The upstream's own books. `prefix`: the simulator's path, "/simulator" through a service. */
export async function ledger(place: Place, prefix = ""): Promise<Ledger> {
  return (await call<Ledger>(place, "GET", `${prefix}/stats`)).body;
}

export async function control(place: Place, change: object, prefix = ""): Promise<void> {
  const { status, body } = await call<unknown>(place, "POST", `${prefix}/control`, { body: change });
  if (status !== 200) throw new Error(`the simulator does not obey: ${JSON.stringify(body)}`);
}

/** Polls until `found` returns something; bounded by turns, not by time, so that a busy machine gets the time that it needs. */
export async function until<T>(
  what: string,
  found: () => Promise<T | null | false | undefined> | T | null | false | undefined,
  turns = 1_500,
) {
  for (let turn = 0; turn < turns; turn++) {
    const result = await found();
    if (result !== null && result !== undefined && result !== false) return result as T;
    await pause(40);
  }
  throw new Error(`Waited for ${what}, in vain.`);
}

/** Runs `work` on all items, at most `width` at once. Results are in order. */
export async function each<T, R>(items: readonly T[], width: number, work: (item: T, index: number) => Promise<R>): Promise<R[]> {
  const results: R[] = [];
  let next = 0;
  const run = async () => {
    for (let index = next++; index < items.length; index = next++) results[index] = await work(items[index]!, index);
  };
  await Promise.all(Array.from({ length: width }, run));
  return results;
}
