/** The API's description, in OpenAPI 3.1 (spec.openapis.org/oas/v3.1.1). */
import { type Schema, schemaRef, schemas } from "./components.ts";
import { jobDoors } from "./doors/jobs.ts";
import { openaiDoors } from "./doors/openai.ts";
import { operatorDoors } from "./doors/operators.ts";
import { serviceDoors } from "./doors/service.ts";
import { tokenDoors } from "./doors/tokens.ts";

export type Description = { paths: Record<string, Record<string, Schema>>; components: { schemas: Record<string, Schema> } & Schema };

const ABOUT = `One queue in front of one OpenAI account.

Errors have OpenAI's shape, and every answer an \`x-request-id\`. Times are Unix seconds. What GET answers, HEAD answers without its body. Pages of any origin may call (CORS). What is not here is 404 \`unknown_url\`.
Each operation says in \`security\` what opens it: a key that has the role, or a browser token that has the actions.`;

const TAGS = [
  { name: "Jobs", description: "Submit, look, wait, follow, cancel." },
  { name: "Tokens", description: "For browsers, made by a backend." },
  { name: "OpenAI", description: "OpenAI's own API, through the queue." },
  { name: "Operators", description: "The queue and its levers." },
  { name: "Service", description: "No key is needed." },
];

const SECURITY = {
  key: { type: "http", scheme: "bearer", description: "A key of `SLUICE_KEYS`, which has roles: submit, read, operate." },
  token: {
    type: "http",
    scheme: "bearer",
    bearerFormat: "JWT",
    description:
      "A browser token of `POST /v1/tokens`, which has actions: submit, read, cancel. Its key must have the roles for them. It holds for its channels and jobs: others are 404 or `channel_not_allowed`.",
  },
};

const HEADERS = {
  RequestId: { description: "Names the request in the service's log.", schema: { type: "string" } },
  ShouldRetry: { description: "Whether another try may succeed; OpenAI's SDKs obey it.", schema: { type: "boolean" } },
  RetryAfter: { description: "Seconds.", schema: { type: "integer" } },
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
      summary: `Tells the webhook of a ${what} of its end`,
      description: "By the Standard Webhooks specification. Sent until it arrives: any 2xx within 15 seconds.",
      security: [],
      parameters: [
        text("webhook-id", "The event's id."),
        text("webhook-timestamp", "Unix seconds of this attempt."),
        text("webhook-signature", "`v1,` and the HMAC-SHA256 of `id.timestamp.body` in base64, for each secret of the tenant."),
      ],
      requestBody: { required: true, content: { "application/json": { schema: schemaRef(event) } } },
      responses: {
        "2XX": { description: "It has arrived." },
        410: { description: "The URL is disabled, in its channel." },
        default: { description: "It is sent again." },
      },
    },
  };
}
