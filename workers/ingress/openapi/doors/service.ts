/** Doors that need no key. */
import type { Schema } from "../components.ts";
import { operation } from "../operation.ts";
import { header, json } from "../parameters.ts";

export const serviceDoors = (): Record<string, Record<string, Schema>> => ({
  "/": { get: front() },
  "/healthz": { get: health() },
  "/openapi.json": { get: description() },
});

function front(): Schema {
  return operation({
    id: "front",
    tag: "Service",
    summary: "What this is",
    opens: "nobody",
    parameters: [header("Accept", "With `text/html` in it, as browsers send it: the operators' page.")],
    answers: { 200: { text: "Where to go on.", content: { "application/json": "Service", "text/html": { type: "string" } } } },
  });
}

function health(): Schema {
  return operation({
    id: "health",
    tag: "Service",
    summary: "Whether the coordinator answers",
    opens: "nobody",
    answers: { 200: json("It does.", "Health") },
    refuses: { 500: ["internal_error"], 503: ["overloaded"] },
  });
}

function description(): Schema {
  return operation({
    id: "description",
    tag: "Service",
    summary: "This description",
    opens: "nobody",
    parameters: [header("If-None-Match", "The etag of what is known.")],
    answers: {
      200: { text: "OpenAPI 3.1.", headers: { etag: "Of this description." }, content: { "application/json": { type: "object" } } },
      304: { text: "It is the one that is known." },
    },
  });
}
