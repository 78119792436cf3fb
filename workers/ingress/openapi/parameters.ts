/** Parameters and content that several doors share. */

import type { Schema, SchemaName } from "./components.ts";
import type { Answer } from "./operation.ts";

const TEXT = { type: "string" };

export const path = (name: string, description: string): Schema => ({ name, in: "path", required: true, description, schema: TEXT });
export const query = (name: string, description: string, schema: Schema = TEXT): Schema => ({ name, in: "query", description, schema });
export const header = (name: string, description: string, schema: Schema = TEXT): Schema => ({ name, in: "header", description, schema });

export const jobId = () => path("id", "The job's id.");

/** Page size. */
export const limit = (standard: number, most: number): Schema =>
  query("limit", "Most items on a page.", { type: "integer", minimum: 1, maximum: most, default: standard });

export const after = (what: string): Schema => query("after", `Continue after this item: ${what}.`);

export const waiting = (): Schema[] => [
  query("wait", "Longest time to wait, in seconds. Values above 60 count as 60.", { type: "number", minimum: 0 }),
  header("Prefer", "`wait=SECONDS`: the same as the `wait` parameter, as a header."),
];

export const idempotencyKey = (): Schema =>
  header("Idempotency-Key", "Repeating a request with the same key and body returns the same job or batch; nothing is created twice.", {
    type: "string",
    minLength: 1,
    maxLength: 255,
  });

export const json = (text: string, name: SchemaName, headers?: Record<string, string>): Answer => ({
  text,
  content: { "application/json": name },
  ...(headers && { headers }),
});

/** OpenAPI 3.1 cannot describe the items of a stream. */
export const eventStream = (description: string): Schema => ({ type: "string", description });

export const BODY_CODES = ["invalid_json", "invalid_parameter"];
