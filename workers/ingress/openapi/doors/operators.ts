/** Operators' doors: the queue, its levers, its limits, and failed jobs. */
import type { Schema } from "../components.ts";
import { operation } from "../operation.ts";
import { after, BODY_CODES, eventStream, json, limit, path } from "../parameters.ts";

export const operatorDoors = (): Record<string, Record<string, Schema>> => ({
  "/v1/queue": { get: getQueue() },
  "/v1/queue/stream": { get: streamQueue() },
  "/v1/queue/pause": { post: lever("pauseQueue", "Pauses: nothing starts any more, calls under way go on") },
  "/v1/queue/drain": { post: lever("drainQueue", "Drains: no new jobs are taken in") },
  "/v1/queue/resume": { post: lever("resumeQueue", "Ends a pause, a drain, and a pool's halts and cuts") },
  "/v1/pools/{pool}": { get: getPool(), patch: tunePool() },
  "/v1/tenants/{tenant}": { get: getTenant(), patch: tuneTenant() },
  "/v1/simulate": { post: simulate() },
  "/v1/dead-letters": { get: listDeadLetters() },
  "/v1/dead-letters/redrive": { post: redrive() },
  "/metrics": { get: getMetrics() },
});

function getQueue(): Schema {
  return operation({
    id: "getQueue",
    tag: "Operators",
    summary: "The queue: depth, calls, budgets and waits",
    opens: "operate",
    answers: { 200: json("The queue.", "QueueState") },
  });
}

function streamQueue(): Schema {
  const stream = eventStream(
    "`event: queue`, and a `QueueState` as `data`: at once, then as it changes, once a second at the most. It ends after an hour.",
  );
  return operation({
    id: "streamQueue",
    tag: "Operators",
    summary: "The queue, as it changes",
    opens: "operate",
    answers: { 200: { text: "Server-Sent Events.", content: { "text/event-stream": stream } } },
  });
}

function lever(id: string, summary: string): Schema {
  return operation({
    id,
    tag: "Operators",
    summary,
    opens: "operate",
    body: { content: { "application/json": "Lever" }, optional: true },
    answers: { 200: json("The queue, as it is then.", "QueueState") },
    refuses: { 400: BODY_CODES, 404: ["pool_not_found", "tenant_not_found"], 413: ["request_too_large"] },
  });
}

const OF_POOL = { parameters: [path("pool", "Its name.")], no: ["pool_not_found"] };
const OF_TENANT = { parameters: [path("tenant", "Its name.")], no: ["tenant_not_found"] };

function getPool(): Schema {
  return operation({
    id: "getPool",
    tag: "Operators",
    summary: "A pool, as the queue shows it",
    opens: "operate",
    parameters: OF_POOL.parameters,
    answers: { 200: json("The pool.", "Pool") },
    refuses: { 404: OF_POOL.no },
  });
}

function tunePool(): Schema {
  return operation({
    id: "tunePool",
    tag: "Operators",
    summary: "Sets a pool's limits while the service runs",
    opens: "operate",
    parameters: OF_POOL.parameters,
    body: { content: { "application/json": "PoolTuning" } },
    answers: { 200: json("The pool.", "Pool") },
    refuses: { 400: BODY_CODES, 404: OF_POOL.no, 413: ["request_too_large"] },
  });
}

function getTenant(): Schema {
  return operation({
    id: "getTenant",
    tag: "Operators",
    summary: "What a tenant may use",
    opens: "operate",
    parameters: OF_TENANT.parameters,
    answers: { 200: json("The tenant.", "Tenant") },
    refuses: { 404: OF_TENANT.no },
  });
}

function tuneTenant(): Schema {
  return operation({
    id: "tuneTenant",
    tag: "Operators",
    summary: "Sets a tenant's weight and limits while the service runs",
    opens: "operate",
    parameters: OF_TENANT.parameters,
    body: { content: { "application/json": "TenantTuning" } },
    answers: { 200: json("The tenant.", "Tenant") },
    refuses: { 400: BODY_CODES, 404: OF_TENANT.no, 413: ["request_too_large"] },
  });
}

function simulate(): Schema {
  return operation({
    id: "simulate",
    tag: "Operators",
    summary: "What other limits or weights would do to the jobs that wait now",
    text: "Nothing is set by it. It is reckoned as if nothing more came, nothing stood still, calls used what they reserve and each tenant's jobs were alike.",
    opens: "operate",
    body: { content: { "application/json": "SimulationInput" }, optional: true },
    answers: { 200: json("As it is, and with what was asked for.", "Simulation") },
    refuses: { 400: BODY_CODES, 404: ["pool_not_found", "tenant_not_found"], 413: ["request_too_large"] },
  });
}

function listDeadLetters(): Schema {
  return operation({
    id: "listDeadLetters",
    tag: "Operators",
    summary: "Jobs that failed, of every tenant, newest first",
    text: "The last 10,000 are kept.",
    opens: "operate",
    parameters: [after("the id of a dead letter"), limit(20, 100)],
    answers: { 200: json("A page.", "DeadLetterList") },
    refuses: { 400: ["invalid_parameter"] },
  });
}

function redrive(): Schema {
  return operation({
    id: "redrive",
    tag: "Operators",
    summary: "Submits the requests of failed jobs again, as new jobs",
    text: "A letter that was redriven is gone. A line of a batch is not redriven (`batch_line`).",
    opens: "operate",
    body: { content: { "application/json": "Redrive" } },
    answers: { 202: json("A job or an error for each.", "RedrivenList") },
    refuses: { 400: BODY_CODES, 413: ["request_too_large"] },
  });
}

function getMetrics(): Schema {
  return operation({
    id: "getMetrics",
    tag: "Operators",
    summary: "The queue's figures, for Prometheus",
    opens: "operate",
    answers: { 200: { text: "Text format 0.0.4.", content: { "text/plain": { type: "string" } } } },
  });
}
