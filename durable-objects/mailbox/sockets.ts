/** The hibernation API: sockets that stay open while the object sleeps. */
import { SUBPROTOCOL, VERBATIM_HEADER } from "../../schemas/socket.ts";
import { GRANT_HEADER, type Grant } from "../../schemas/token.ts";

/**
 * `grant`: of a socket that was opened with a token; null for a key. `verbatim`: of a door that wants each chunk as upstream wrote it. `acks`: its
 * client says how far it is.
 */
type Attachment = { id: string; grant: Grant | null; verbatim?: true; acks?: true };

/** Sockets with a token are found by this tag without looking at all. */
export const PASS_TAG = "pass";

/** Takes a socket in; `wakeBy` is told (ms) when its token ends. Its id is its tag too, so that one socket is found without looking at all. */
export function acceptSocket(ctx: DurableObjectState, request: Request, wakeBy: (at: number) => void): Response {
  const pair = new WebSocketPair();
  const id = crypto.randomUUID();
  const grant = grantIn(request);
  ctx.acceptWebSocket(pair[1], grant ? [id, PASS_TAG] : [id]);
  const verbatim = request.headers.has(VERBATIM_HEADER);
  pair[1].serializeAttachment({ id, grant, ...(verbatim && { verbatim }) } satisfies Attachment);
  if (grant) wakeBy(grant.expiresAt);
  const offered = (request.headers.get("sec-websocket-protocol") ?? "").split(",").map((each) => each.trim());
  const headers = offered.includes(SUBPROTOCOL) ? { "sec-websocket-protocol": SUBPROTOCOL } : undefined;
  return new Response(null, { status: 101, webSocket: pair[0], ...(headers && { headers }) });
}

/** What the token allows that a socket is opened with; null for a key. */
export function grantIn(request: Request): Grant | null {
  const told = request.headers.get(GRANT_HEADER);
  return told === null ? null : (JSON.parse(decodeURIComponent(told)) as Grant);
}

export function socketId(socket: WebSocket): string {
  return (socket.deserializeAttachment() as Attachment).id;
}

export function grantOf(socket: WebSocket): Grant | null {
  return (socket.deserializeAttachment() as Attachment).grant ?? null;
}

export function acks(socket: WebSocket): boolean {
  return (socket.deserializeAttachment() as Attachment).acks === true;
}

export function isVerbatim(socket: WebSocket): boolean {
  return (socket.deserializeAttachment() as Attachment).verbatim === true;
}

/** Kept with the socket: an object that slept would send without end to who no longer reads. */
export function startAcking(socket: WebSocket): void {
  socket.serializeAttachment({ ...(socket.deserializeAttachment() as Attachment), acks: true } satisfies Attachment);
}

/** Answers a close: without this the client waits ten seconds and reads 1006. 1005 and 1006 may not be sent. */
export function closeSocket(socket: WebSocket, code: number, reason: string): void {
  try {
    socket.close(code === 1005 || code === 1006 || code === 1015 ? 1000 : code, reason);
  } catch {
    // Closed already.
  }
}
