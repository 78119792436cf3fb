/** `POST /v1/chat/completions`: OpenAI's own call, through the queue. */
import { readJson } from "../ingress/body.ts";
import type { Context } from "../ingress/context.ts";
import { invalid, notByToken, refuse } from "../ingress/respond.ts";
import { shouldRetry } from "./answers.ts";
import { callerOf } from "./caller.ts";
import { plain } from "./plain.ts";
import { askedIn, streamed } from "./streamed.ts";
import { submitCall } from "./submit-call.ts";

export async function chatCompletions(context: Context): Promise<Response> {
  const { grant, key, request } = context;
  if (grant && !grant.actions.includes("read")) return refuse(notByToken("make this call without the action read"));
  const came = Date.now();
  const read = await readJson(request);
  if (!read.ok) return refuse(read.problem);
  if (typeof read.value !== "object" || read.value === null || Array.isArray(read.value))
    return refuse(invalid("The body of your request must be a JSON object."));
  const body = read.value as Record<string, unknown>;
  const called = callerOf(request.headers, key, { came, read: Date.now() });
  if (!called.ok) return refuse(called.problem);
  const { caller } = called;
  const placed = await submitCall(context, caller, body, read.text);
  if (!placed.ok) {
    // Worth another try: a full queue, or an object that could not be reached.
    const { status } = placed.problem;
    return refuse(placed.problem, shouldRetry(status === 429 || status >= 500));
  }
  return body.stream === true ? streamed(context, caller, askedIn(body), placed) : plain(context, caller, placed);
}
