/** `POST /v1/tokens`: a backend makes a short-lived token for a browser. */
import { parseJobId } from "../../platform/ids.ts";
import { objection } from "../../policy/grant.ts";
import { type Grant, KEY_ID_DIGITS, TOKEN_LIMIT, TokenInput } from "../../schemas/token.ts";
import { readJson } from "./body.ts";
import type { Context } from "./context.ts";
import { invalid, json, noSuchJob, refuse } from "./respond.ts";
import { signToken } from "./tokens.ts";

export async function makeToken({ key, keyHash, now, request, settings }: Context): Promise<Response> {
  if (settings.tokenSecret === null) {
    const message = "This deployment makes no tokens: its operator has not set SLUICE_TOKEN_SECRET.";
    return refuse({ status: 501, type: "server_error", code: "tokens_not_configured", message, param: null });
  }
  const body = await readJson(request);
  if (!body.ok) return refuse(body.problem);
  const parsed = TokenInput.safeParse(body.value);
  if (!parsed.success) {
    const issue = parsed.error.issues[0];
    const param = issue?.path.join(".") || null;
    return refuse(invalid(`${param ? `${param}: ` : ""}${issue?.message ?? "malformed"}`, param, "invalid_token_request"));
  }
  const input = parsed.data;
  const objected = objection(input, key.roles);
  if (objected) {
    const type = objected.status === 403 ? "permission_error" : "invalid_request_error";
    return refuse({ ...objected, type });
  }
  const foreign = input.jobs.find((id) => !parseJobId(key.tenant, id));
  if (foreign !== undefined) return refuse(noSuchJob(foreign));
  const { channels, jobs, actions, models } = input;
  const expiresAt = (Math.floor(now / 1_000) + input.expires_in) * 1_000;
  const grant: Grant = { key: keyHash.slice(0, KEY_ID_DIGITS), channels, jobs, actions, models, expiresAt };
  const token = await signToken(settings.tokenSecret, grant, now);
  if (token.length > TOKEN_LIMIT)
    return refuse(invalid("The token would be too long: name fewer channels and jobs.", null, "token_too_large"));
  return json({ token, expires_at: expiresAt / 1_000 });
}
