/** The few calls that the demo makes besides those of the client: an operator's, and the simulator's. */
import type { PoolState, QueueState } from "../../../schemas/queue.ts";

export type Api = { url: string; signal: AbortSignal };

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

/** The pool that a model spends from; null if its name does not tell. */
export async function poolOf(api: Api, operatorKey: string, model: string): Promise<PoolState | null> {
  const { pools } = await read<QueueState>(api, operatorKey, "/v1/queue");
  return pools.find(({ id }) => id === model) ?? pools.find(({ id }) => id === "default") ?? null;
}

export function upstreamStats(api: Api): Promise<Stats> {
  // Without the totals by key, which may be long.
  return read<Stats>(api, null, "/simulator/stats?keys=repeated");
}

/** How many seconds' worth of its rates the simulator lets through at once. An empty change changes nothing and returns the settings. */
export async function upstreamBurstSeconds(api: Api): Promise<number> {
  const init = { method: "POST", headers: { "content-type": "application/json" }, body: "{}" };
  return (await read<{ settings: { burst_seconds: number } }>(api, null, "/simulator/control", init)).settings.burst_seconds;
}
