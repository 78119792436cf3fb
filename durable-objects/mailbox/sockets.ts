/** The hibernation API: sockets that stay open while the object sleeps. */
import { SUBPROTOCOL } from "../../schemas/socket.ts";

type Attachment = { id: string };

/** Takes a socket in. Its id is its tag too, so that one socket is found without looking at all. */
export function acceptSocket(ctx: DurableObjectState, request: Request): Response {
  const pair = new WebSocketPair();
  const id = crypto.randomUUID();
  ctx.acceptWebSocket(pair[1], [id]);
  pair[1].serializeAttachment({ id } satisfies Attachment);
  const offered = (request.headers.get("sec-websocket-protocol") ?? "").split(",").map((each) => each.trim());
  const headers = offered.includes(SUBPROTOCOL) ? { "sec-websocket-protocol": SUBPROTOCOL } : undefined;
  return new Response(null, { status: 101, webSocket: pair[0], ...(headers && { headers }) });
}

export function socketId(socket: WebSocket): string {
  return (socket.deserializeAttachment() as Attachment).id;
}

/** Answers a close: without this the client waits ten seconds and reads 1006. 1005 and 1006 may not be sent. */
export function closeSocket(socket: WebSocket, code: number, reason: string): void {
  try {
    socket.close(code === 1005 || code === 1006 || code === 1015 ? 1000 : code, reason);
  } catch {
    // Closed already.
  }
}
