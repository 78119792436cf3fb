/** Gives direct access to the built-in upstream, in local mode only. Jobs do not come this way. */
import type { Env } from "../../platform/objects.ts";
import { invalid, refuse } from "./respond.ts";

const PREFIX = "/simulator";

export async function simulator(request: Request, env: Env): Promise<Response> {
  const url = new URL(request.url);
  if (env.SLUICE_LOCAL !== "1") return refuse(invalid(`Unknown request URL: ${request.method} ${url.pathname}.`, null, "unknown_url", 404));
  url.pathname = url.pathname.slice(PREFIX.length);
  return env.SIMULATOR.getByName("openai").fetch(new Request(url, request));
}
