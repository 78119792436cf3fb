/** The route table: every door of Sluice, and the role that opens it. */
import { Router } from "itty-router";
import { LookUp } from "../../platform/look-up.ts";
import { callCoordinator, type Env, isOverloaded } from "../../platform/objects.ts";
import { RaisedLimits } from "../../platform/raised.ts";
import { readSettings, type Settings } from "../../platform/settings.ts";
import type { Need } from "../../policy/grant.ts";
import type { Problem } from "../../schemas/problem.ts";
import { cancelBatch, createBatch, getBatch, listBatches } from "../openai/batches.ts";
import { chatCompletions } from "../openai/chat-completions.ts";
import { deleteFile, fileContent, getFile, listFiles } from "../openai/files.ts";
import { getModel, listModels } from "../openai/models.ts";
import { uploadFile } from "../openai/upload.ts";
import { getDashboard } from "../operator/dashboard.ts";
import { listDeadLetters, redrive } from "../operator/dead-letters.ts";
import { getMetrics } from "../operator/metrics.ts";
import { drainQueue, getQueue, pauseQueue, resumeQueue } from "../operator/queue.ts";
import { simulate } from "../operator/simulate.ts";
import { streamQueue } from "../operator/stream-queue.ts";
import { getPool, getTenant, tunePool, tuneTenant } from "../operator/tune.ts";
import { authenticate } from "./authenticate.ts";
import type { Context } from "./context.ts";
import { openToPages, preflight } from "./cors.ts";
import { listDeliveries, redeliverEvent } from "./deliveries.ts";
import { reportThrown } from "./internal-error.ts";
import { jobEvents } from "./job-events.ts";
import { makeToken } from "./make-token.ts";
import { answerDescription } from "./openapi/answer-description.ts";
import { TokenOver } from "./passes.ts";
import { cancelJob, getJob, listJobs } from "./read-jobs.ts";
import { invalid, json, notByToken, refuse } from "./respond.ts";
import { revokeToken } from "./revoke-token.ts";
import { simulator } from "./simulator.ts";
import { submitJobs } from "./submit-jobs.ts";
import { subscribe } from "./subscribe.ts";
import { whyJob } from "./why-job.ts";

type Door = (context: Context) => Promise<Response>;
type Routed = Request & { params: Record<string, string> };

let spread = Math.floor(Math.random() * 1_000);

const router = Router()
  .get("/", getDashboard)
  .get("/healthz", (_: Routed, env: Env) => health(env))
  .post("/v1/jobs", behind("submit", submitJobs))
  .get("/v1/jobs", behind("read", listJobs))
  .get("/v1/jobs/:id", behind("read", getJob))
  .get("/v1/jobs/:id/events", behind("read", jobEvents))
  .get("/v1/jobs/:id/why", behind("read", whyJob))
  .post("/v1/jobs/:id/cancel", behind("cancel", cancelJob))
  .post("/v1/tokens", behind("mint", makeToken))
  .post("/v1/tokens/revoke", behind("mint", revokeToken))
  .post("/v1/chat/completions", behind("submit", chatCompletions))
  .post("/v1/files", behindKey("submit", uploadFile))
  .get("/v1/files", behindKey("read", listFiles))
  .get("/v1/files/:id", behindKey("read", getFile))
  .get("/v1/files/:id/content", behindKey("read", fileContent))
  .delete("/v1/files/:id", behindKey("submit", deleteFile))
  .post("/v1/batches", behindKey("submit", createBatch))
  .get("/v1/batches", behindKey("read", listBatches))
  .get("/v1/batches/:id", behindKey("read", getBatch))
  .post("/v1/batches/:id/cancel", behindKey("submit", cancelBatch))
  .get("/v1/models", behind("submit", listModels))
  .get("/v1/models/:id+", behind("submit", getModel))
  .get("/v1/jobs/:id/deliveries", behindKey("read", listDeliveries))
  .post("/v1/jobs/:id/deliveries/:delivery/redeliver", behindKey("submit", redeliverEvent))
  .get("/v1/subscribe", behind("read", subscribe))
  .get("/openapi.json", answerDescription)
  .get("/metrics", behind("operate", getMetrics))
  .get("/v1/queue", behind("operate", getQueue))
  .get("/v1/queue/stream", behind("operate", streamQueue))
  .post("/v1/queue/pause", behind("operate", pauseQueue))
  .post("/v1/queue/drain", behind("operate", drainQueue))
  .post("/v1/queue/resume", behind("operate", resumeQueue))
  .get("/v1/pools/:pool", behind("operate", getPool))
  .patch("/v1/pools/:pool", behind("operate", tunePool))
  .get("/v1/tenants/:tenant", behind("operate", getTenant))
  .patch("/v1/tenants/:tenant", behind("operate", tuneTenant))
  .post("/v1/simulate", behind("operate", simulate))
  .get("/v1/dead-letters", behind("operate", listDeadLetters))
  .post("/v1/dead-letters/redrive", behind("operate", redrive))
  .all("/simulator/*", simulator)
  .all("*", (request: Routed) => {
    const { pathname } = new URL(request.url);
    return refuse(invalid(`Unknown request URL: ${request.method} ${pathname}.`, null, "unknown_url", 404));
  });

/** For the test that the API's description lists exactly these routes. */
export const { routes } = router;

/** For the local runtime only: Cloudflare's does not run everything on one thread. */
const lookUp = new LookUp(Date.now);

/** `now`: when the request came in, ms. */
export function route(request: Request, env: Env, ctx: ExecutionContext, now = Date.now()): Promise<Response> {
  const answered = () => answer(request, env, ctx, now);
  return env.SLUICE_LOCAL === "1" ? lookUp.during(answered, (timer) => ctx.waitUntil(timer)) : answered();
}

async function answer(request: Request, env: Env, ctx: ExecutionContext, now: number): Promise<Response> {
  const requestId = `req_${crypto.randomUUID().replaceAll("-", "")}`;
  let response: Response;
  try {
    response =
      preflight(request) ?? (request.method === "HEAD" ? await headOf(request, env, ctx, now) : await routed(request, env, ctx, now));
  } catch (error) {
    response = refuse(problemOf(error, request, requestId));
  }
  if (response.webSocket) return response;
  // Headers of a fetched response are immutable, so it is copied. A door's own response is not: copying costs as much as making it.
  const own = response.url === "" ? response : new Response(response.body, response);
  own.headers.set("x-request-id", requestId);
  openToPages(own.headers);
  return own;
}

async function routed(request: Request, env: Env, ctx: ExecutionContext, now: number): Promise<Response> {
  return (await router.fetch(request, env, ctx, now)) as Response;
}

/** What GET answers, without the body: uptime monitors ask this way. */
async function headOf(request: Request, env: Env, ctx: ExecutionContext, now: number): Promise<Response> {
  const answer = await routed(new Request(request, { method: "GET" }), env, ctx, now);
  await answer.body?.cancel();
  return new Response(null, answer);
}

function behind(need: Need, door: Door) {
  return async (request: Routed, env: Env, ctx: ExecutionContext, now: number): Promise<Response> => {
    const settings = settingsOf(env);
    const caller = await authenticate(request, settings, need, now);
    if (!caller.ok) return refuse(caller.problem);
    return door({
      request,
      url: new URL(request.url),
      params: request.params,
      env,
      settings,
      raised: new RaisedLimits(env, settings.region),
      key: caller.key,
      keyHash: caller.keyHash,
      grant: caller.grant,
      now,
      background: (work) => ctx.waitUntil(work),
      spread: () => spread++,
    });
  };
}

/** A door that no token opens. */
function behindKey(need: Need, door: Door) {
  return behind(need, async (context) => (context.grant ? refuse(notByToken("make this call: use a key")) : door(context)));
}

async function health(env: Env): Promise<Response> {
  await callCoordinator(env, settingsOf(env).region, (stub) => stub.ping());
  return json({ status: "ok" });
}

let known: { env: Env; settings: Settings } | null = null;

/** Parsed once per environment, not per request. */
function settingsOf(env: Env): Settings {
  if (known?.env !== env) known = { env, settings: readSettings(env) };
  return known.settings;
}

/** Anything else thrown is a bug, malformed settings, or an unreachable object: of no concern to the client, but the operator must see it. */
function problemOf(error: unknown, request: Request & { route?: string }, requestId: string): Problem {
  if (error instanceof TokenOver) return error.problem;
  const type = "server_error";
  if (isOverloaded(error))
    return { status: 503, type, code: "overloaded", message: "The service is overloaded: slow down and try again.", param: null };
  reportThrown(error, { requestId, method: request.method, route: request.route ?? null });
  const message = "The server had an error while processing your request.";
  return { status: 500, type, code: "internal_error", message, param: null };
}
