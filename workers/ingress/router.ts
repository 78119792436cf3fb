/** The menu: every door of Sluice, and the role that opens it. */
import { Router } from "itty-router";
import { callCoordinator, type Env, isOverloaded } from "../../platform/objects.ts";
import { readSettings, type Settings } from "../../platform/settings.ts";
import type { Role } from "../../schemas/settings.ts";
import { getQueue } from "../operator/queue.ts";
import { authenticate } from "./authenticate.ts";
import type { Context } from "./context.ts";
import { openToPages, preflight } from "./cors.ts";
import { cancelJob, getJob, listJobs } from "./read-jobs.ts";
import { invalid, json, refuse } from "./respond.ts";
import { simulator } from "./simulator.ts";
import { submitJobs } from "./submit-jobs.ts";
import { subscribe } from "./subscribe.ts";
import { whyJob } from "./why-job.ts";

type Door = (context: Context) => Promise<Response>;
type Routed = Request & { params: Record<string, string> };

let spread = Math.floor(Math.random() * 1_000);

const router = Router()
  .get("/", () => json({ object: "service", name: "sluice", docs: "README.md", health: "/healthz" }))
  .get("/healthz", (_: Routed, env: Env) => health(env))
  .post("/v1/jobs", behind("submit", submitJobs))
  .get("/v1/jobs", behind("read", listJobs))
  .get("/v1/jobs/:id", behind("read", getJob))
  .get("/v1/jobs/:id/why", behind("read", whyJob))
  .post("/v1/jobs/:id/cancel", behind("submit", cancelJob))
  .get("/v1/subscribe", behind("read", subscribe))
  .get("/v1/queue", behind("operate", getQueue))
  .all("/simulator/*", simulator)
  .all("*", (request: Routed) => {
    const { pathname } = new URL(request.url);
    return refuse(invalid(`Unknown request URL: ${request.method} ${pathname}.`, null, "unknown_url", 404));
  });

export async function route(request: Request, env: Env, ctx: ExecutionContext): Promise<Response> {
  let response: Response;
  try {
    response = preflight(request) ?? ((await router.fetch(request, env, ctx)) as Response);
  } catch (error) {
    response = refuse(failure(error));
  }
  // A WebSocket's answer cannot be copied; its headers can still be set.
  const requestId = `req_${crypto.randomUUID().replaceAll("-", "")}`;
  if (response.webSocket) return response;
  const answer = new Response(response.body, response);
  answer.headers.set("x-request-id", requestId);
  openToPages(answer.headers);
  return answer;
}

function behind(role: Role, door: Door) {
  return async (request: Routed, env: Env, ctx: ExecutionContext): Promise<Response> => {
    const settings = settingsOf(env);
    const caller = await authenticate(request, settings, role);
    if (!caller.ok) return refuse(caller.problem);
    return door({
      request,
      url: new URL(request.url),
      params: request.params,
      env,
      settings,
      key: caller.key,
      background: (work) => ctx.waitUntil(work),
      spread: () => spread++,
    });
  };
}

async function health(env: Env): Promise<Response> {
  await callCoordinator(env, settingsOf(env).region, (stub) => stub.ping());
  return json({ status: "ok" });
}

let known: { env: Env; settings: Settings } | null = null;

/** Parsed once for each environment, not for each request. */
function settingsOf(env: Env): Settings {
  if (known?.env !== env) known = { env, settings: readSettings(env) };
  return known.settings;
}

/** What was thrown is a bug, or an object that could not be reached; neither's words are the client's business. */
function failure(error: unknown) {
  const overloaded = isOverloaded(error);
  const message = overloaded ? "Too much at once; slow down." : "The server had an error while processing your request.";
  return { status: overloaded ? 503 : 500, type: "server_error", code: overloaded ? "overloaded" : "internal_error", message, param: null };
}
