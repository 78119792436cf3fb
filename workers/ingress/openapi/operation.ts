/** A door as it is described here, and the OpenAPI operation made of it. */
import { type Schema, type SchemaName, schemaRef } from "./components.ts";

/** What opens a door: any one of these, a key with its roles or a token with its actions. */
const OPENED_BY = {
  nobody: [],
  submit: [{ key: ["submit"] }, { token: ["submit"] }],
  read: [{ key: ["read"] }, { token: ["read"] }],
  cancel: [{ key: ["submit"] }, { token: ["cancel"] }],
  call: [{ key: ["submit"] }, { token: ["submit", "read"] }],
  mint: [{ key: ["read"] }, { key: ["submit"] }],
  operate: [{ key: ["operate"] }],
  "submit, by key": [{ key: ["submit"] }],
  "read, by key": [{ key: ["read"] }],
} as const;

type Code = string | null;
type Tag = "Jobs" | "Tokens" | "OpenAI" | "Operators" | "Service";
/** A schema, by name or inline. */
type Shape = SchemaName | Schema;

export type Answer = { text: string; content?: Record<string, Shape>; headers?: Record<string, string> };
export type Body = { content: Record<string, Shape>; optional?: true };

export type Door = {
  /** The name of the function that answers. */
  id: string;
  tag: Tag;
  summary: string;
  text?: string;
  opens: keyof typeof OPENED_BY;
  parameters?: Schema[];
  body?: Body;
  answers: Record<number, Answer>;
  /** Error codes by status, in addition to those shared by every door that needs a key or token. */
  refuses?: Record<number, Code[]>;
  /** It calls no Durable Object, so it can neither be overloaded nor learn that a token was revoked. */
  alone?: true;
  /** Upstream's refusals are passed on too, with their own status and code. */
  upstream?: true;
};

const WORDS: Record<number, string> = {
  400: "The request is invalid.",
  401: "The key or token is missing or not accepted.",
  403: "The key or token does not allow this.",
  404: "Not found, or owned by another tenant.",
  408: "The deadline has passed.",
  409: "Conflicts with the current state.",
  413: "The body is too large.",
  426: "A WebSocket upgrade is required.",
  429: "A limit is reached for now.",
  500: "Internal error: the log has it under this `x-request-id`.",
  501: "The deployment is not configured for this.",
  503: "Unavailable for now: try again.",
};

export function operation(door: Door): Schema {
  const { answers, body, id, opens, parameters, summary, tag, text } = door;
  return {
    operationId: id,
    tags: [tag],
    summary,
    ...(text !== undefined && { description: text }),
    security: OPENED_BY[opens],
    ...(parameters && { parameters }),
    ...(body && {
      requestBody: { required: !body.optional, content: contentOf(body.content) },
    }),
    responses: {
      ...mapped(answers, answered),
      ...mapped(refusalsOf(door), (codes, status) => refused(Number(status), codes, door)),
      ...others(door),
    },
  };
}

function answered({ content, headers, text }: Answer): Schema {
  const own = mapped(headers ?? {}, (description) => ({ description, schema: { type: "string" } }));
  return { description: text, headers: { ...own, ...REQUEST_ID }, ...(content && { content: contentOf(content) }) };
}

const REQUEST_ID = { "x-request-id": { $ref: "#/components/headers/RequestId" } };
const RETRY_AFTER = { "retry-after": { $ref: "#/components/headers/RetryAfter" } };
const SHOULD_RETRY = { "x-should-retry": { $ref: "#/components/headers/ShouldRetry" } };

function refusalsOf({ alone, opens, refuses = {} }: Door): Record<number, Code[]> {
  if (opens === "nobody") return refuses;
  const byToken = OPENED_BY[opens].some((each) => "token" in each);
  const revoked = byToken && !alone ? ["token_revoked"] : [];
  return {
    ...refuses,
    401: ["missing_api_key", "invalid_api_key", "invalid_token", "token_expired", ...revoked],
    403: ["insufficient_permissions", ...(refuses[403] ?? [])],
    500: ["internal_error"],
    ...(!alone && { 503: [...new Set(["overloaded", ...(refuses[503] ?? [])])] }),
  };
}

/** An error with one of the codes; with any code where upstream's come too. */
function refused(status: number, codes: Code[], { upstream }: Door): Schema {
  const coded = { type: "object", properties: { error: { type: "object", properties: { code: { enum: codes } } } } };
  const schema = upstream ? schemaRef("ErrorBody") : { allOf: [schemaRef("ErrorBody"), coded] };
  const told = codes.map((code) => (code === null ? "null" : `\`${code}\``)).join(", ");
  return {
    description: `${WORDS[status]} ${upstream ? "Sluice's own codes" : "Codes"}: ${told}.`,
    headers: { ...REQUEST_ID, ...((status === 429 || status === 503) && RETRY_AFTER), ...(upstream && SHOULD_RETRY) },
    content: { "application/json": { schema } },
  };
}

function others({ upstream }: Door): Record<string, Schema> {
  if (!upstream) return {};
  const description = "Upstream refused the call: its status, code and message are passed on.";
  return { default: { description, headers: { ...REQUEST_ID, ...SHOULD_RETRY }, content: contentOf({ "application/json": "ErrorBody" }) } };
}

function contentOf(content: Record<string, Shape>): Record<string, Schema> {
  return mapped(content, (shape) => ({ schema: typeof shape === "string" ? schemaRef(shape) : shape }));
}

function mapped<V, R>(record: Record<string, V>, change: (value: V, name: string) => R): Record<string, R> {
  return Object.fromEntries(Object.entries(record).map(([name, value]) => [name, change(value, name)]));
}
