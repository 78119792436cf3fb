/** The API's description, in OpenAPI 3.1 (spec.openapis.org/oas/v3.1.1). */
import { type Schema, schemaRef, schemas } from "./components.ts";
import { jobDoors } from "./doors/jobs.ts";
import { openaiDoors } from "./doors/openai.ts";
import { operatorDoors } from "./doors/operators.ts";
import { serviceDoors } from "./doors/service.ts";
import { tokenDoors } from "./doors/tokens.ts";

export type Description = { paths: Record<string, Record<string, Schema>>; components: { schemas: Record<string, Schema> } & Schema };

const ABOUT = `One queue in front of one OpenAI account.

Errors have OpenAI's shape, and every response carries an \`x-request-id\`. Times are Unix seconds. Every GET can also be called as HEAD. Pages from any origin may call (CORS). URLs not listed here return 404 \`unknown_url\`.
The \`security\` of each operation names what it requires: a key with the role, or a browser token with the actions.`;

const TAGS = [
  { name: "Jobs", description: "Submit, read, wait for, follow and cancel jobs." },
  { name: "Tokens", description: "Short-lived tokens for browsers, created by a backend." },
  { name: "OpenAI", description: "OpenAI's own API, through the queue." },
  { name: "Operators", description: "The queue and its controls." },
  { name: "Service", description: "No key needed." },
];

const SECURITY = {
  key: { type: "http", scheme: "bearer", description: "A key from `SLUICE_KEYS`. Its roles: submit, read, operate." },
  token: {
    type: "http",
    scheme: "bearer",
    bearerFormat: "JWT",
    description:
      "A browser token from `POST /v1/tokens`. Its actions: submit, read, cancel; the key that created it must have the matching roles. It works only for its own channels and jobs: others return 404 or `channel_not_allowed`.",
  },
};

const HEADERS = {
  RequestId: { description: "Identifies the request in the service's log.", schema: { type: "string" } },
  ShouldRetry: { description: "Whether a retry may succeed. OpenAI's SDKs obey it.", schema: { type: "boolean" } },
  RetryAfter: { description: "Seconds to wait before retrying.", schema: { type: "integer" } },
};

export function describeApi(): Description & Schema {
  return {
    openapi: "3.1.1",
    info: { title: "Sluice", version: "1", description: ABOUT, license: { name: "MIT", identifier: "MIT" } },
    servers: [{ url: "/" }],
    tags: TAGS,
    paths: { ...jobDoors(), ...tokenDoors(), ...openaiDoors(), ...operatorDoors(), ...serviceDoors() },
    webhooks: { jobEnded: told("job", "JobEndedEvent"), batchEnded: told("batch", "BatchEndedEvent") },
    components: { schemas: schemas(), securitySchemes: SECURITY, headers: HEADERS },
  };
}

/** What a webhook is sent. */
function told(what: "job" | "batch", event: "JobEndedEvent" | "BatchEndedEvent"): Schema {
  const text = (name: string, description: string) => ({ name, in: "header", required: true, description, schema: { type: "string" } });
  return {
    post: {
      operationId: `${what}Ended`,
      summary: `Tells a webhook that its ${what} has ended`,
      description:
        "Follows the Standard Webhooks specification. Any 2xx within 15 seconds counts as delivered; anything else is retried on a schedule.",
      security: [],
      parameters: [
        text("webhook-id", "The event's id, the same on every attempt."),
        text("webhook-timestamp", "Time of this attempt, Unix seconds."),
        text(
          "webhook-signature",
          "`v1,` followed by the base64 HMAC-SHA256 of `id.timestamp.body`; one for each of the tenant's secrets, separated by spaces.",
        ),
      ],
      requestBody: { required: true, content: { "application/json": { schema: schemaRef(event) } } },
      responses: {
        "2XX": { description: "Delivered." },
        410: { description: "Disables the URL in the job's channel." },
        default: { description: "Sent again later, until the attempts run out." },
      },
    },
  };
}
