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
    summary: "Describes the service, or serves the operators' page",
    opens: "nobody",
    parameters: [header("Accept", "If it contains `text/html`, as from browsers, the answer is the operators' page.")],
    answers: {
      200: {
        text: "A description of the service, or the page.",
        content: { "application/json": "Service", "text/html": { type: "string" } },
      },
    },
  });
}

function health(): Schema {
  return operation({
    id: "health",
    tag: "Service",
    summary: "Checks whether the coordinator answers",
    opens: "nobody",
    answers: { 200: json("The coordinator answers.", "Health") },
    refuses: { 500: ["internal_error"], 503: ["overloaded"] },
  });
}

function description(): Schema {
  return operation({
    id: "description",
    tag: "Service",
    summary: "Gets this description",
    opens: "nobody",
    parameters: [header("If-None-Match", "The etag of the copy you have.")],
    answers: {
      200: {
        text: "The API as an OpenAPI 3.1 document.",
        headers: { etag: "Identifies this version of the description." },
        content: { "application/json": { type: "object" } },
      },
      304: { text: "Your copy is current." },
    },
  });
}
