/** Operators' doors: the queue, its levers, its limits, and failed jobs. */
import type { Schema } from "../components.ts";
import { operation } from "../operation.ts";
import { after, BODY_CODES, eventStream, json, limit, path } from "../parameters.ts";

export const operatorDoors = (): Record<string, Record<string, Schema>> => ({
  "/v1/queue": { get: getQueue() },
  "/v1/queue/stream": { get: streamQueue() },
  "/v1/queue/pause": { post: lever("pauseQueue", "Pauses: no new calls start; calls in flight go on") },
  "/v1/queue/drain": { post: lever("drainQueue", "Drains: new jobs are refused; accepted ones go on") },
  "/v1/queue/resume": { post: lever("resumeQueue", "Resumes: ends a pause or drain, and lifts a pool's halt, breaker or rate cut") },
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
    summary: "Gets the queue: depth, calls, budgets and waits",
    opens: "operate",
    answers: { 200: json("The queue.", "QueueState") },
  });
}

function streamQueue(): Schema {
  const stream = eventStream(
    "`event: queue` with a `QueueState` as `data`: immediately, then on each change, at most once a second. The stream ends after an hour.",
  );
  return operation({
    id: "streamQueue",
    tag: "Operators",
    summary: "Streams the queue as it changes",
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
    answers: { 200: json("The resulting state of the queue.", "QueueState") },
    refuses: { 400: BODY_CODES, 404: ["pool_not_found", "tenant_not_found"], 413: ["request_too_large"] },
  });
}

const OF_POOL = { parameters: [path("pool", "The pool's name.")], no: ["pool_not_found"] };
const OF_TENANT = { parameters: [path("tenant", "The tenant's name.")], no: ["tenant_not_found"] };

function getPool(): Schema {
  return operation({
    id: "getPool",
    tag: "Operators",
    summary: "Gets a pool, as in the queue",
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
    summary: "Changes a pool's limits while the service runs",
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
    summary: "Gets a tenant's weight and limits",
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
    summary: "Changes a tenant's weight and limits while the service runs",
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
    summary: "Predicts what other limits or weights would do to the waiting jobs",
    text: "Changes nothing. The prediction assumes that no more jobs come, that nothing is paused or halted, that calls use what they reserve, and that each tenant's jobs are alike.",
    opens: "operate",
    body: { content: { "application/json": "SimulationInput" }, optional: true },
    answers: { 200: json("The outcome with the current and with the requested settings.", "Simulation") },
    refuses: { 400: BODY_CODES, 404: ["pool_not_found", "tenant_not_found"], 413: ["request_too_large"] },
  });
}

function listDeadLetters(): Schema {
  return operation({
    id: "listDeadLetters",
    tag: "Operators",
    summary: "Lists failed jobs of all tenants, newest first",
    text: "The last 10,000 are kept.",
    opens: "operate",
    parameters: [after("the id of a dead letter"), limit(20, 100)],
    answers: { 200: json("A page of failed jobs.", "DeadLetterList") },
    refuses: { 400: ["invalid_parameter"] },
  });
}

function redrive(): Schema {
  return operation({
    id: "redrive",
    tag: "Operators",
    summary: "Submits the requests of failed jobs again, as new jobs",
    text: "A redriven job is removed from the list. A job named twice is redriven once. Lines of a batch cannot be redriven (`batch_line`).",
    opens: "operate",
    body: { content: { "application/json": "Redrive" } },
    answers: { 202: json("A new job or an error for each id.", "RedrivenList") },
    refuses: { 400: BODY_CODES, 413: ["request_too_large"] },
  });
}

function getMetrics(): Schema {
  return operation({
    id: "getMetrics",
    tag: "Operators",
    summary: "Gets the queue's figures for Prometheus",
    opens: "operate",
    answers: { 200: { text: "Prometheus text format 0.0.4.", content: { "text/plain": { type: "string" } } } },
  });
}
