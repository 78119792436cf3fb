/** `GET /v1/subscribe`: a WebSocket, held by a mailbox. */
import { lobbyChannel } from "../../platform/mailboxes.ts";
import { fetchMailbox } from "../../platform/objects.ts";
import { mayUseChannel } from "../../policy/grant.ts";
import type { Problem } from "../../schemas/problem.ts";
import { CALLER_HEADER, VERBATIM_HEADER } from "../../schemas/socket.ts";
import { GRANT_HEADER } from "../../schemas/token.ts";
import { BAD_CHANNEL, canBeNamed } from "./channel.ts";
import type { Context } from "./context.ts";
import { mustStand, sayGrant, TokenOver } from "./passes.ts";
import { repetitionIn } from "./query.ts";
import { badParameter, invalid, notThatChannel, refuse } from "./respond.ts";

/**
 * `?channel=` places the socket in the mailbox where the channel's events arise, which saves a hop per event; it does not subscribe to anything. The 426
 * comes last: a client that cannot see why its WebSocket was refused repeats the request without an upgrade to find out.
 */
export async function subscribe({ env, grant, key, request, url, spread }: Context): Promise<Response> {
  const repetition = repetitionIn(url);
  if (repetition) return refuse(repetition);
  const channel = url.searchParams.get("channel");
  if (channel !== null && !canBeNamed(channel)) return refuse(badParameter(BAD_CHANNEL, "channel"));
  if (channel !== null && !mayUseChannel(grant, channel)) return refuse(notThatChannel("channel_not_allowed"));
  const address = { tenant: key.tenant, channel: channel ?? lobbyChannel(spread()) };
  if (request.headers.get("upgrade")?.toLowerCase() !== "websocket") {
    await mustStand({ env, grant }, address);
    return refuse(invalid("This is a WebSocket: send the request with `Upgrade: websocket`.", null, "upgrade_required", 426), {
      upgrade: "websocket",
      connection: "upgrade",
    });
  }
  const told = new Request(request);
  for (const own of [CALLER_HEADER, GRANT_HEADER, VERBATIM_HEADER]) told.headers.delete(own);
  if (grant) sayGrant(told.headers, grant);
  const answer = await fetchMailbox(env, address, told);
  if (answer.status === 401) throw new TokenOver("revoked");
  return answer.status === 503 ? refuse(tooManySockets()) : answer;
}

function tooManySockets(): Problem {
  const message = "This channel has as many sockets as it can hold. Try again later.";
  return { status: 503, type: "server_error", code: "overloaded", message, param: null };
}
