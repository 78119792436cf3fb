/** `GET /v1/subscribe`: a WebSocket, held by a mailbox. */
import { lobbyChannel } from "../../platform/mailboxes.ts";
import { fetchMailbox } from "../../platform/objects.ts";
import { mayUseChannel } from "../../policy/grant.ts";
import { GRANT_HEADER } from "../../schemas/token.ts";
import { canBeNamed } from "./channel.ts";
import type { Context } from "./context.ts";
import { invalid, notThatChannel, refuse } from "./respond.ts";

/** `?channel=` places the socket where the channel's events arise, which saves a hop for each; it subscribes to nothing by itself. */
export async function subscribe({ env, grant, key, request, url, spread }: Context): Promise<Response> {
  if (request.headers.get("upgrade")?.toLowerCase() !== "websocket") {
    return refuse(invalid("This is a WebSocket: send an upgrade.", null, "upgrade_required", 426), {
      upgrade: "websocket",
      connection: "upgrade",
    });
  }
  const channel = url.searchParams.get("channel");
  if (channel !== null && !canBeNamed(channel)) return refuse(invalid("No such channel can be.", "channel"));
  if (channel !== null && !mayUseChannel(grant, channel)) return refuse(notThatChannel("channel_not_allowed"));
  const told = new Request(request);
  told.headers.delete(GRANT_HEADER);
  // Encoded: a header holds no other characters.
  if (grant) told.headers.set(GRANT_HEADER, encodeURIComponent(JSON.stringify(grant)));
  return fetchMailbox(env, { tenant: key.tenant, channel: channel ?? lobbyChannel(spread()) }, told);
}
