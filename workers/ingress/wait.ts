/** How long a caller is willing to wait: `?wait=SECONDS` or `Prefer: wait=SECONDS` (RFC 7240). */
import type { Problem } from "../../schemas/problem.ts";
import type { Context } from "./context.ts";
import { repetitionIn } from "./query.ts";
import { badParameter } from "./respond.ts";

/** Longest long-poll, seconds. */
const WAIT_LIMIT = 60;

/** `seconds`: null if the caller named none. `headers`: for the answer. */
export type Wait = { ok: true; seconds: number | null; headers: Record<string, string> } | { ok: false; problem: Problem };

export function waitOf({ request, url }: Pick<Context, "request" | "url">): Wait {
  const repetition = repetitionIn(url);
  if (repetition) return { ok: false, problem: repetition };
  const preferred = /(?:^|[,;\s])wait\s*=\s*"?(\d+)/i.exec(request.headers.get("prefer") ?? "")?.[1];
  const told = url.searchParams.get("wait") ?? preferred;
  if (told === undefined) return { ok: true, seconds: null, headers: {} };
  const wait = Number(told);
  if (!(wait >= 0)) return { ok: false, problem: badParameter("wait must be a number of seconds, 0 or more.", "wait") };
  const seconds = Math.min(wait, WAIT_LIMIT);
  return { ok: true, seconds, headers: preferred === undefined ? {} : { "preference-applied": `wait=${seconds}` } };
}
