/** `POST /v1/tokens/revoke`: a backend takes a token back. */
import { parseJobId } from "../../platform/ids.ts";
import { lobbyChannel, SPREAD } from "../../platform/mailboxes.ts";
import { callMailbox } from "../../platform/objects.ts";
import { type Grant, RevokeInput } from "../../schemas/token.ts";
import { checked, readJson } from "./body.ts";
import type { Context } from "./context.ts";
import { passOf } from "./passes.ts";
import { invalid, json, noTokens, refuse } from "./respond.ts";
import { verifyToken } from "./tokens.ts";

/** Answers once no mailbox accepts the token any more. */
export async function revokeToken({ env, key, now, request, settings }: Context): Promise<Response> {
  if (settings.tokenSecret === null) return refuse(noTokens());
  const body = await readJson(request);
  if (!body.ok) return refuse(body.problem);
  const parsed = checked(RevokeInput, body.value, "invalid_token_request");
  if (!parsed.ok) return refuse(parsed.problem);
  const verified = await verifyToken(settings, parsed.value.token, now);
  // An expired token has nothing left to revoke.
  if (!verified.ok && verified.reason === "expired") return json({ object: "token", revoked: true });
  if (!verified.ok || verified.key.tenant !== key.tenant)
    return refuse(invalid("This is not a valid token of your tenant.", "token", "invalid_token"));
  const { grant } = verified;
  if (grant.id === "")
    return refuse(
      invalid(
        "This token comes from an older version and cannot be revoked by itself: remove the key that created it, or let it expire.",
        "token",
        "token_not_revocable",
      ),
    );
  await Promise.all(
    mailboxesOf(grant, key.tenant).map((channel) =>
      callMailbox(env, { tenant: key.tenant, channel }, (stub) => stub.revoke(passOf(grant))),
    ),
  );
  return json({ object: "token", revoked: true });
}

/** Every mailbox where the token may act, or that may hold a socket it opened. */
function mailboxesOf({ channels, jobs }: Grant, tenant: string): string[] {
  const lobbies = Array.from({ length: SPREAD }, (_, index) => lobbyChannel(index));
  const ofJobs = jobs.flatMap((id) => parseJobId(tenant, id)?.channel ?? []);
  return [...new Set([...channels, ...ofJobs, ...lobbies])];
}
