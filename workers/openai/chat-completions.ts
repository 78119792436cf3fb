/** `POST /v1/chat/completions`: OpenAI's own call, through the queue. */
import { readText } from "../ingress/body.ts";
import type { Context } from "../ingress/context.ts";
import { invalid, notByToken, refuse } from "../ingress/respond.ts";
import { shouldRetry } from "./answers.ts";
import { callerOf } from "./caller.ts";
import { plain } from "./plain.ts";
import { streamed } from "./streamed.ts";
import { submitCall } from "./submit-call.ts";

export async function chatCompletions(context: Context): Promise<Response> {
  const { grant, key, request } = context;
  if (grant && !grant.actions.includes("read")) return refuse(notByToken("read the answer"));
  const came = Date.now();
  const text = await readText(request);
  if (!text.ok) return refuse(text.problem);
  const body = objectOf(text.text);
  if (!body) return refuse(invalid("We could not parse the JSON body of your request."));
  const called = callerOf(request.headers, key, came);
  if (!called.ok) return refuse(called.problem);
  const { caller } = called;
  const placed = await submitCall(context, caller, body, text.text);
  if (!placed.ok) {
    // Worth another try: a full queue, an object that could not be reached.
    const { status } = placed.problem;
    return refuse(placed.problem, shouldRetry(status === 429 || status >= 500));
  }
  return body.stream === true ? streamed(context, body, placed) : plain(context, caller, placed);
}

function objectOf(text: string): Record<string, unknown> | null {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : null;
  } catch {
    return null;
  }
}
