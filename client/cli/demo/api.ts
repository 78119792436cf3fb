/** The few calls that the demo makes, as any backend would make them. */
import type { Job } from "../../../schemas/job.ts";
import type { ErrorBody } from "../../../schemas/problem.ts";
import type { PoolState, QueueState } from "../../../schemas/queue.ts";

export type Api = { url: string; signal: AbortSignal };
export type Answered = Job | ErrorBody;

/** A job has an `error` too, so it is told by its kind. */
export function isJob(answer: Answered): answer is Job {
  return "object" in answer;
}

/** What the simulated upstream counted, as far as the demo reads it. */
export type Stats = { calls: number; rejected_429: { requests: number; tokens: number } };

const PATIENCE_MS = 30_000;

export async function call(api: Api, key: string | null, path: string, init: RequestInit = {}): Promise<Response> {
  const signal = AbortSignal.any([api.signal, AbortSignal.timeout(PATIENCE_MS)]);
  const headers = { ...init.headers, ...(key !== null && { authorization: `Bearer ${key}` }) };
  return fetch(api.url + path, { ...init, headers, signal });
}

/** @throws unless the answer is a success. */
async function read<T>(api: Api, key: string | null, path: string, init?: RequestInit): Promise<T> {
  const response = await call(api, key, path, init);
  const text = await response.text();
  if (!response.ok) throw new Error(`${init?.method ?? "GET"} ${path} answered ${response.status}: ${text.slice(0, 300)}`);
  return JSON.parse(text) as T;
}

/** In bulk. Answers in the order of the lines; a bad one fails alone. */
export async function submit(api: Api, key: string, jobs: readonly object[]): Promise<Answered[]> {
  const body = jobs.map((job) => JSON.stringify(job)).join("\n");
  const response = await call(api, key, "/v1/jobs", { method: "POST", headers: { "content-type": "application/jsonl" }, body });
  const text = await response.text();
  if (response.status !== 202) throw new Error(`POST /v1/jobs answered ${response.status}: ${text.slice(0, 300)}`);
  const answers = text.trim().split("\n");
  return answers.map((line) => JSON.parse(line) as Answered);
}

export function getJob(api: Api, key: string, id: string, waitSeconds = 0): Promise<Job> {
  return read<Job>(api, key, `/v1/jobs/${id}${waitSeconds > 0 ? `?wait=${waitSeconds}` : ""}`);
}

/** The pool that a model spends from; null if its name does not tell. */
export async function poolOf(api: Api, operatorKey: string, model: string): Promise<PoolState | null> {
  const { pools } = await read<QueueState>(api, operatorKey, "/v1/queue");
  return pools.find(({ id }) => id === model) ?? pools.find(({ id }) => id === "default") ?? null;
}

export function upstreamStats(api: Api): Promise<Stats> {
  // Without the totals by key, which may be long.
  return read<Stats>(api, null, "/simulator/stats?keys=repeated");
}

/** How many seconds' worth of its rates the simulator lets through at once. An empty change changes nothing and shows the settings. */
export async function upstreamBurstSeconds(api: Api): Promise<number> {
  const init = { method: "POST", headers: { "content-type": "application/json" }, body: "{}" };
  return (await read<{ settings: { burst_seconds: number } }>(api, null, "/simulator/control", init)).settings.burst_seconds;
}
