/** What an operator may order: what it will do, in words, and the request that does it. */
import type { Lever, QueueState, Scope } from "../../schemas/queue.ts";
import { FIELDS, type Kind, type Values, wordOf } from "./fields.ts";
import { type Forecast, forecast } from "./forecast.ts";
import { counted, name } from "./words.ts";

export type Request = { method: "GET" | "POST" | "PATCH"; path: string; body?: object };
/** `says`: what will happen, one sentence each; `forecast`: the part that the service must be asked for. `done`: shown once it is done. */
export type Order = { title: string; says: string[]; forecast: Forecast | null; verb: string; done: string; request: Request };

const VERBS: Record<Lever, string> = { pause: "Pause", drain: "Drain", resume: "Resume" };
const DONE: Record<Lever, string> = { pause: "is paused", drain: "is draining", resume: "is resumed" };

export function leverOrder(lever: Lever, scope: Scope, state: QueueState): Order {
  const what = scope.kind === "all" ? "everything" : `${scope.kind} ${name(scope.id)}`;
  return {
    title: `${VERBS[lever]} ${what}?`,
    says: SAYS[lever](scope, countsOf(scope, state), state),
    forecast: null,
    verb: `${VERBS[lever]} ${what}`,
    done: `${what.charAt(0).toUpperCase()}${what.slice(1)} ${DONE[lever]}.`,
    request: { method: "POST", path: `/v1/queue/${lever}`, body: scope.kind === "all" ? {} : { [scope.kind]: scope.id } },
  };
}

type Counts = { depth: number; in_flight: number; scheduled: number | null };

function countsOf(scope: Scope, { pools }: QueueState): Counts {
  const counts: Counts = { depth: 0, in_flight: 0, scheduled: scope.kind === "tenant" ? null : 0 };
  for (const pool of pools) {
    if (scope.kind === "pool" && pool.id !== scope.id) continue;
    const of = scope.kind === "tenant" ? pool.tenants.find(({ id }) => id === scope.id) : pool;
    counts.depth += of?.depth ?? 0;
    counts.in_flight += of?.in_flight ?? 0;
    if (counts.scheduled !== null) counts.scheduled += pool.scheduled;
  }
  return counts;
}

const OF: Record<Scope["kind"], string> = { all: "", pool: " of this pool", tenant: " of this tenant" };

const SAYS: Record<Lever, (scope: Scope, counts: Counts, state: QueueState) => string[]> = {
  pause: ({ kind }, { depth, in_flight }) => [
    `No new calls${OF[kind]} start. ${counted(in_flight, "call")} in flight ${in_flight === 1 ? "goes" : "go"} on.`,
    `${counted(depth, "queued job")} ${depth === 1 ? "keeps its place" : "keep their places"}, and new jobs are accepted. Deadlines still apply.`,
    "The pause outlasts restarts and deployments, until somebody resumes.",
  ],
  drain: ({ kind }, { depth, in_flight, scheduled }) => [
    `New jobs${OF[kind]} are refused (503, draining). Running batches wait.`,
    `Accepted jobs go on: ${[counted(depth, "job"), "queued,", counted(in_flight, "call"), "in flight"].join(" ")}${scheduled === null ? "" : `, ${counted(scheduled, "job")} scheduled`}.`,
    "The drain lasts until somebody resumes.",
  ],
  resume: ({ kind }, _, state) => RESUMES[kind](state),
};

const LEARNED = "lowered limits, what others spend, how much may be spent at once. The next answer may teach it again.";

const RESUMES: Record<Scope["kind"], (state: QueueState) => string[]> = {
  all: () => [
    "All pauses and drains end: the general ones and those of each pool and tenant.",
    "In all pools, halts, open circuit breakers and rate cuts after a slow_down are lifted. If the cause is still there, calls will be refused again.",
    `What was learned from upstream's headers is forgotten: ${LEARNED}`,
  ],
  pool: ({ draining, paused }) => [
    "The pool's pause, drain, halt, open circuit breaker and rate cut after a slow_down are lifted. If the cause is still there, its calls will be refused again.",
    `What was learned about it from upstream's headers is forgotten: ${LEARNED}`,
    ...(paused ? ["Everything is paused: none of the pool's jobs start until everything is resumed."] : []),
    ...(draining ? ["Everything is draining: new jobs are refused until everything is resumed."] : []),
  ],
  tenant: ({ draining, paused }) => [
    "The tenant's pause and drain end: its jobs start in their turn, and new ones are accepted.",
    ...(paused ? ["Everything is paused: none of its jobs start until everything is resumed."] : []),
    ...(draining ? ["Everything is draining: new jobs are refused until everything is resumed."] : []),
  ],
};

const KEPT = [
  "The coordinator restarts with the new values: calls in flight go on, what was spent stays spent, and waiting jobs keep their places.",
  "The new values outlast restarts and deployments, until they are changed or reset.",
];

/** `before`: what is in force. */
export function setOrder(kind: Kind, id: string, before: Values, set: Record<string, number | null>): Order {
  const changes = FIELDS[kind]
    .filter(({ key }) => key in set)
    .map((field) => {
      const old = before[field.key];
      return `${field.label}: ${old === undefined ? "" : `${wordOf(field, old)} → `}${wordOf(field, set[field.key]!)}.`;
    });
  const [tpm, lower] = [before.tpm ?? Number.POSITIVE_INFINITY, set.tpm ?? Number.POSITIVE_INFINITY];
  if (kind === "pool" && lower < tpm) changes.push("Jobs that are too large for the lower token limit wait until it is raised.");
  const title = `Set the limits of ${kind} ${name(id)}?`;
  return {
    title,
    says: [...changes, ...KEPT],
    forecast: forecast(kind, id, set),
    verb: "Set",
    done: `The limits of ${kind} ${name(id)} are set.`,
    request: patch(kind, id, set),
  };
}

/** `settings`: what is set, in words. */
export function resetOrder(kind: Kind, id: string, settings: string): Order {
  return {
    title: `Reset ${kind} ${name(id)}?`,
    says: [`This removes what was ${settings}.`, "The configured values apply again.", KEPT[0]!],
    forecast: null,
    verb: "Reset",
    done: `${kind === "pool" ? "Pool" : "Tenant"} ${name(id)} has its configured values again.`,
    request: patch(kind, id, { reset: true }),
  };
}

export function getTenant(id: string): Request {
  return { method: "GET", path: pathOf("tenant", id) };
}

function patch(kind: Kind, id: string, body: object): Request {
  return { method: "PATCH", path: pathOf(kind, id), body };
}

function pathOf(kind: Kind, id: string): string {
  return `/v1/${kind}s/${encodeURIComponent(id.toWellFormed())}`;
}

export function redriveOrder({ job, tenant }: { job: string; tenant: string }): Order {
  return {
    title: "Redrive this job?",
    says: [
      `The request of ${name(job)} is submitted again, as a new job of tenant ${name(tenant)} in the same channel; it may cost as much again. A deadline that has passed is left out.`,
      "The failed job is not changed, and this dead letter is removed.",
    ],
    forecast: null,
    verb: "Redrive",
    done: "The job was submitted again.",
    request: { method: "POST", path: "/v1/dead-letters/redrive", body: { jobs: [job] } },
  };
}
