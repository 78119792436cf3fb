/** `/v1/tokens`. */
import type { Schema } from "../components.ts";
import { operation } from "../operation.ts";
import { json } from "../parameters.ts";

const REFUSES = { 413: ["request_too_large"], 501: ["tokens_not_configured"] };

export const tokenDoors = (): Record<string, Record<string, Schema>> => ({
  "/v1/tokens": { post: makeToken() },
  "/v1/tokens/revoke": { post: revokeToken() },
});

function makeToken(): Schema {
  return operation({
    id: "makeToken",
    tag: "Tokens",
    summary: "Creates a browser token",
    opens: "mint",
    body: { content: { "application/json": "TokenInput" } },
    answers: { 200: json("The token.", "Token") },
    refuses: { ...REFUSES, 400: ["invalid_json", "invalid_token_request", "token_too_large"], 404: ["job_not_found"] },
    alone: true,
  });
}

function revokeToken(): Schema {
  return operation({
    id: "revokeToken",
    tag: "Tokens",
    summary: "Revokes a browser token",
    text: "Once this is answered, the token is refused and its sockets are closed. Revoking it again does no harm.",
    opens: "mint",
    body: { content: { "application/json": "RevokeInput" } },
    answers: { 200: json("The token is no longer valid.", "RevokedToken") },
    refuses: { ...REFUSES, 400: ["invalid_json", "invalid_token_request", "invalid_token", "token_not_revocable"] },
  });
}
