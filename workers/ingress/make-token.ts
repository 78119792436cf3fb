/** `POST /v1/tokens`: a backend makes a short-lived token for a browser. */
import { parseJobId } from "../../platform/ids.ts";
import { objection } from "../../policy/grant.ts";
import { TOKEN_LIMIT, TokenInput } from "../../schemas/token.ts";
import { checked, readJson } from "./body.ts";
import type { Context } from "./context.ts";
import { invalid, json, noSuchJob, noTokens, refuse } from "./respond.ts";
import { mint } from "./tokens.ts";

export async function makeToken({ key, keyHash, now, request, settings }: Context): Promise<Response> {
  if (settings.tokenSecret === null) return refuse(noTokens());
  const body = await readJson(request);
  if (!body.ok) return refuse(body.problem);
  const parsed = checked(TokenInput, body.value, "invalid_token_request");
  if (!parsed.ok) return refuse(parsed.problem);
  const input = parsed.value;
  const objected = objection(input, key.roles);
  if (objected) {
    const type = objected.status === 403 ? "permission_error" : "invalid_request_error";
    return refuse({ ...objected, type });
  }
  const foreign = input.jobs.find((id) => !parseJobId(key.tenant, id));
  if (foreign !== undefined) return refuse(noSuchJob(foreign));
  const { channels, jobs, actions, models, max_jobs: maxJobs } = input;
  const made = await mint(settings.tokenSecret, keyHash, { channels, jobs, actions, models, maxJobs }, input.expires_in, now);
  if (made.token.length > TOKEN_LIMIT)
    return refuse(
      invalid(`The token would be longer than ${TOKEN_LIMIT} characters: name fewer channels and jobs.`, null, "token_too_large"),
    );
  return json(made);
}
