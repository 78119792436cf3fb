/** The service as a test drives it: over HTTP where a client would, by RPC where an object would, and by the clock. */
import { abortAllDurableObjects, evictDurableObject, runDurableObjectAlarm, runInDurableObject } from "cloudflare:test";
import { env, exports } from "cloudflare:workers";
import { parseJobId } from "../../platform/ids.ts";
import { during, type Spaces } from "../../platform/nesting.ts";
import type { Job } from "../../schemas/job.ts";
import type { PoolState } from "../../schemas/queue.ts";
import type { CoordinatorRpc, DispatcherRpc, Logged, MailboxRpc, Submission } from "../../schemas/rpc.ts";
import type { Coordinator, Dispatcher, Mailbox } from "./entry.ts";
import { world } from "./world.ts";

type Bindings = {
  COORDINATOR: DurableObjectNamespace<Coordinator>;
  MAILBOX: DurableObjectNamespace<Mailbox>;
  DISPATCHER: DurableObjectNamespace<Dispatcher>;
};
const bindings = env as unknown as Bindings;

export const coordinator = () => bindings.COORDINATOR.getByName("account") as unknown as CoordinatorRpc & DurableObjectStub<Coordinator>;
export const mailbox = (tenant: string, channel: string) =>
  bindings.MAILBOX.getByName(`${tenant}/${channel}`) as unknown as MailboxRpc & DurableObjectStub<Mailbox>;

export const dispatcher = (index = 0) =>
  bindings.DISPATCHER.getByName(`disp-wnam-${String(index).padStart(2, "0")}`) as unknown as DispatcherRpc & DurableObjectStub<Dispatcher>;

/** The mailbox of a job. */
export const mailboxOf = (id: string, tenant = "alice") => mailbox(tenant, parseJobId(tenant, id)!.channel);

type Answer<T> = { status: number; body: T; headers: Headers };

/** Sends a request unchanged and leaves its answer unread. */
export function send(path: string, init: RequestInit = {}): Promise<Response> {
  return (exports as unknown as { default: Fetcher }).default.fetch(`http://sluice${path}`, init);
}

/** Sends a request with a development key, alice's by default, and reads its answer. */
export async function call<T = Job>(
  method: string,
  path: string,
  body?: unknown,
  options: { key?: string; headers?: Record<string, string> } = {},
): Promise<Answer<T>> {
  const response = await send(path, {
    method,
    headers: {
      authorization: `Bearer ${options.key ?? "sk-dev-alice"}`,
      ...(body === undefined ? {} : { "content-type": "application/json" }),
      ...options.headers,
    },
    ...(body === undefined ? {} : { body: typeof body === "string" ? body : JSON.stringify(body) }),
  });
  const text = await response.text();
  const isJson = /^application\/json(;|$)/.test(response.headers.get("content-type") ?? "");
  return { status: response.status, headers: response.headers, body: (isJson ? JSON.parse(text) : text) as T };
}

export function job(more: Record<string, unknown> = {}, request: Record<string, unknown> = {}): Record<string, unknown> {
  return {
    request: { model: "gpt-5-mini", max_completion_tokens: 10, messages: [{ role: "user", content: "hello" }], ...request },
    ...more,
  };
}

/** What an ingress hands to a mailbox. */
export const submission = (nonce: string, more: Partial<Submission> = {}): Submission => ({
  nonce,
  request: JSON.stringify({ model: "gpt-5-mini", messages: [{ role: "user", content: nonce }] }),
  model: "gpt-5-mini",
  pool: "gpt-5-mini",
  tokens: 20,
  priority: 0,
  notBefore: null,
  deadline: null,
  deadlinePolicy: "strict",
  metadata: null,
  retry: "safe",
  idempotency: null,
  ...more,
});

/** Submits a job and returns it; fails the test unless it was accepted. */
export async function submit(more: Record<string, unknown> = {}, request: Record<string, unknown> = {}, key?: string): Promise<Job> {
  const { status, body } = await call("POST", "/v1/jobs", job(more, request), key ? { key } : {});
  if (status !== 202) throw new Error(`refused: ${JSON.stringify(body)}`);
  return body;
}

/** Waits for the job's end, by long-poll. */
export async function ended(id: string, key?: string): Promise<Job> {
  const { status, body } = await call("GET", `/v1/jobs/${id}?wait=10`, undefined, key ? { key } : {});
  if (status !== 200) throw new Error(`not ended: ${JSON.stringify(body)}`);
  return body;
}

/** Waits for a job's end without watching it: a watcher sees more, and costs more. */
export async function over(id: string): Promise<void> {
  await until(async () => (await call("GET", `/v1/jobs/${id}`)).status === 200);
}

/** Moves the clock to an instant and rings the coordinator's alarm. */
export async function advanceTo(at: number): Promise<void> {
  world.now = at;
  await runDurableObjectAlarm(bindings.COORDINATOR.getByName("account"));
}

/**
 * Polls until `found` returns something other than null or false; bounded in turns, not in time. The pause lets the objects
 * work: moving the clock would not make them take their turns.
 */
export async function until<T>(found: () => Promise<T | null | false> | T | null | false, turns = 400): Promise<T> {
  for (let turn = 0; turn < turns; turn++) {
    const result = await found();
    if (result !== null && result !== false) return result;
    await scheduler.wait(5);
  }
  throw new Error("it never came about");
}

/** A pool as the coordinator sees it. */
export async function pool(id = "gpt-5-mini"): Promise<PoolState> {
  const { pools } = await coordinator().inspect();
  return pools.find((each) => each.id === id)!;
}

/** How many rows the coordinator still keeps for jobs. */
export const ticketRows = () =>
  inside(coordinator(), (_, state) => {
    const count = "SELECT (SELECT count(*) FROM tickets) + (SELECT count(*) FROM segments) AS rows";
    return state.storage.sql.exec<{ rows: number }>(count).one().rows;
  });

/** Waits until the coordinator knows of no job any more, neither in memory nor in storage. */
export async function drained(): Promise<void> {
  await until(async () => {
    const { pools } = await coordinator().inspect();
    return pools.every((each) => each.depth + each.in_flight + each.scheduled === 0) && (await ticketRows()) === 0;
  });
}

/** Names of a job's events from the first on, without deltas. */
export async function story(id: string, tenant = "alice"): Promise<string[]> {
  return ((await mailboxOf(id, tenant).events(id, 0, false)) as Logged).events.map(({ event }) => event);
}

/** The hash by which `SLUICE_KEYS` names a key. */
export async function hashOf(key: string): Promise<string> {
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(key));
  return [...new Uint8Array(digest)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** Kills all objects at once, mid-step; what was durable stays. */
export const crash = () => abortAllDurableObjects();

/**
 * Evicts the object, as hibernation does: memory is lost, sockets stay. As on the platform, a mailbox sleeps only once it has nothing left to tell, so
 * this waits for that, 40 turns at most.
 */
export async function evict(stub: DurableObjectStub): Promise<void> {
  for (let turn = 0; turn < 40 && (await isTelling(stub)); turn++) await scheduler.wait(5);
  await evictDurableObject(stub);
}

const isTelling = (stub: DurableObjectStub) =>
  inside(stub, (_, { storage: { sql } }) => {
    if (sql.exec("SELECT name FROM sqlite_master WHERE name = 'marks'").toArray().length === 0) return false;
    return sql.exec("SELECT value FROM marks WHERE name = 'untold' AND value > 0").toArray().length > 0;
  });

type Inside = (instance: { env: Spaces }, state: DurableObjectState) => unknown;
const runInside = runInDurableObject as unknown as (stub: DurableObjectStub, run: Inside) => Promise<unknown>;

/** Runs in an object, as an event that it has received. */
export const inside = ((stub: DurableObjectStub, run: Inside) =>
  runInside(stub, (instance, state) => during(instance.env, null, () => run(instance, state)))) as unknown as typeof runInDurableObject;

export { world };
