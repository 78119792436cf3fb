import { z } from "zod";
import type { ModelCard } from "./catalog.ts";
import { countCharacters, textOf } from "./charge.ts";
import { invalidRequest, type Problem } from "./errors.ts";
import { describeIssue } from "./issue.ts";

/** A chat completion request, as far as the answer or the charge depends on it; everything else is ignored. */
const part = z.looseObject({ type: z.string() });
const message = z.looseObject({
  role: z.enum(["system", "assistant", "user", "function", "tool", "developer"]),
  content: z.union([z.string(), z.array(part)]).nullish(),
  tool_calls: z.array(z.looseObject({ id: z.string() })).nullish(),
});
const tool = z.looseObject({
  type: z.string(),
  function: z.looseObject({ name: z.string(), parameters: z.record(z.string(), z.unknown()).nullish() }).nullish(),
});
const toolChoice = z.union([
  z.enum(["none", "auto", "required"]),
  z.looseObject({ function: z.looseObject({ name: z.string() }).nullish() }),
]);
const responseFormat = z.looseObject({
  type: z.enum(["text", "json_object", "json_schema"]),
  json_schema: z.looseObject({ name: z.string(), schema: z.record(z.string(), z.unknown()).nullish() }).nullish(),
});
const chatRequest = z.looseObject({
  messages: z.array(message).min(1),
  max_tokens: z.int().min(1).nullish(),
  max_completion_tokens: z.int().min(1).nullish(),
  n: z.int().min(1).max(128).nullish(),
  temperature: z.number().min(0).max(2).nullish(),
  top_p: z.number().min(0).max(1).nullish(),
  stream: z.boolean().nullish(),
  stream_options: z.looseObject({ include_usage: z.boolean().nullish() }).nullish(),
  stop: z.union([z.string(), z.array(z.string()).max(4)]).nullish(),
  tools: z.array(tool).max(128).nullish(),
  tool_choice: toolChoice.nullish(),
  parallel_tool_calls: z.boolean().nullish(),
  response_format: responseFormat.nullish(),
  logprobs: z.boolean().nullish(),
  top_logprobs: z.int().min(0).max(20).nullish(),
  metadata: z.record(z.string(), z.string().max(512)).nullish(),
  service_tier: z.string().nullish(),
});

export type ChatRequest = z.infer<typeof chatRequest> & { model: string };

type Parsed<Value> = { ok: true; value: Value } | { ok: false; problem: Problem };

/** The body as JSON with a model in it: all that can be checked before the model is known. */
export function parseBody(text: string): Parsed<{ model: string }> {
  let body: unknown;
  try {
    body = JSON.parse(text);
  } catch {
    const hint = "(HINT: This likely means you aren't using your HTTP library correctly. The OpenAI API expects a JSON payload.)";
    return refuse(invalidRequest(`We could not parse the JSON body of your request. ${hint}`, null, null));
  }
  const model = typeof body === "object" && body !== null && "model" in body ? body.model : undefined;
  if (typeof model !== "string" || model === "") return refuse(invalidRequest("you must provide a model parameter", null, null));
  return { ok: true, value: body as { model: string } };
}

export function parseChat(body: { model: string }, card: ModelCard): Parsed<ChatRequest> {
  const parsed = chatRequest.safeParse(body);
  if (!parsed.success) return refuse(describeIssue(parsed.error.issues[0]!, body));
  // The checked body itself, not zod's copy: a long conversation is not worth copying.
  const request = body as ChatRequest;
  const problem = checkTogether(request) ?? checkSize(request, card);
  return problem === undefined ? { ok: true, value: request } : refuse(problem);
}

/** Rules that span several fields. */
function checkTogether(request: ChatRequest): Problem | undefined {
  if (typeof request.top_logprobs === "number" && request.logprobs !== true) {
    return invalidRequest("The 'top_logprobs' parameter is only allowed when 'logprobs' is enabled.", "top_logprobs", null);
  }
  if (request.stream_options != null && request.stream !== true) {
    return invalidRequest("The 'stream_options' parameter is only allowed when 'stream' is enabled.", "stream_options", null);
  }
  if (request.tool_choice != null && request.tools == null) {
    return invalidRequest(
      "Invalid value for 'tool_choice': 'tool_choice' is only allowed when 'tools' are specified.",
      "tool_choice",
      null,
    );
  }
  if (request.response_format?.type === "json_schema" && request.response_format.json_schema == null) {
    const param = "response_format.json_schema";
    return invalidRequest(`Missing required parameter: '${param}'.`, param, "missing_required_parameter");
  }
  const mentionsJson = () => request.messages.some(({ content }) => /json/i.test(textOf(content)));
  if (request.response_format?.type === "json_object" && !mentionsJson()) {
    const rule = "'messages' must contain the word 'json' in some form, to use 'response_format' of type 'json_object'.";
    return invalidRequest(rule, "messages", null);
  }
  return undefined;
}

function checkSize(request: ChatRequest, card: ModelCard): Problem | undefined {
  for (const param of ["max_tokens", "max_completion_tokens"] as const) {
    const asked = request[param] ?? 0;
    if (asked <= card.maxOutput) continue;
    const support = `This model supports at most ${card.maxOutput} completion tokens, whereas you provided ${asked}.`;
    return invalidRequest(`${param} is too large: ${asked}. ${support}`, param, "invalid_value");
  }
  const prompt = countPromptTokens(request);
  if (prompt <= card.context) return undefined;
  const text = `This model's maximum context length is ${card.context} tokens. However, your messages resulted in ${prompt} tokens.`;
  return invalidRequest(`${text} Please reduce the length of the messages.`, "messages", "context_length_exceeded");
}

/** Roughly what a tokeniser would count: four characters per token, plus the few tokens that frame each message. */
export function countPromptTokens(request: ChatRequest): number {
  const tools = request.tools == null ? 0 : JSON.stringify(request.tools).length;
  return Math.ceil((countCharacters(request) + tools) / 4) + request.messages.length * 4 + 3;
}

function refuse(problem: Problem): { ok: false; problem: Problem } {
  return { ok: false, problem };
}
