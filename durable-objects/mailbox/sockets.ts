/** The hibernation API: sockets that stay open while the object sleeps. */
import { CALLER_HEADER, SUBPROTOCOL, VERBATIM_HEADER } from "../../schemas/socket.ts";
import { GRANT_HEADER, type Grant } from "../../schemas/token.ts";

/**
 * `grant`: of a socket that was opened with a token; null for a key. `call`: the number of the job that its door waits for on behalf of the caller.
 * `verbatim`: the door wants each chunk as upstream wrote it. `acks`: its client acks what it has dealt with.
 */
type Attachment = { id: string; grant: Grant | null; call?: number; verbatim?: true; acks?: true };

/** Tag of the door's socket at which a job's caller waits, by the job's number. */
const callTag = (n: number) => `call ${n}`;

/** Tag of all sockets with a token: they are found without looking at every socket. */
export const PASS_TAG = "pass";

/**
 * Accepts a socket; `wakeBy` is told when its token expires (ms). Its id is a tag too, so that it is found without looking at every socket. Answers 503 if the
 * object has as many as the platform lets it have: 32,768 (workerd, io/legacy-hibernation-manager.h).
 */
export function acceptSocket(ctx: DurableObjectState, request: Request, wakeBy: (at: number) => void): Response {
  const pair = new WebSocketPair();
  const id = crypto.randomUUID();
  const grant = grantIn(request);
  const call = callIn(request);
  try {
    ctx.acceptWebSocket(pair[1], [id, ...(grant ? [PASS_TAG] : []), ...(call === null ? [] : [callTag(call)])]);
  } catch {
    return new Response(null, { status: 503 });
  }
  const verbatim = request.headers.has(VERBATIM_HEADER);
  pair[1].serializeAttachment({ id, grant, ...(call !== null && { call }), ...(verbatim && { verbatim }) } satisfies Attachment);
  if (grant) wakeBy(grant.expiresAt);
  const offered = (request.headers.get("sec-websocket-protocol") ?? "").split(",").map((each) => each.trim());
  const headers = offered.includes(SUBPROTOCOL) ? { "sec-websocket-protocol": SUBPROTOCOL } : undefined;
  return new Response(null, { status: 101, webSocket: pair[0], ...(headers && { headers }) });
}

/** What the token of a socket's request allows; null for a key. */
export function grantIn(request: Request): Grant | null {
  const told = request.headers.get(GRANT_HEADER);
  return told === null ? null : (JSON.parse(decodeURIComponent(told)) as Grant);
}

/** The number of the job that a door waits for on behalf of its caller; null if it is not such a door. */
export function callIn(request: Request): number | null {
  const told = request.headers.get(CALLER_HEADER);
  return told === null ? null : Number(told);
}

/** Whether the door of a job's caller is there. */
export function isCalled(ctx: DurableObjectState, n: number): boolean {
  return ctx.getWebSockets(callTag(n)).some(({ readyState }) => readyState === WebSocket.OPEN);
}

export function callOf(socket: WebSocket): number | null {
  return (socket.deserializeAttachment() as Attachment).call ?? null;
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

/** Kept with the socket: otherwise an object that slept would send without limit to a client that no longer reads. */
export function startAcking(socket: WebSocket): void {
  socket.serializeAttachment({ ...(socket.deserializeAttachment() as Attachment), acks: true } satisfies Attachment);
}

/** Closes a socket, or answers its close: without that the client waits ten seconds and reads 1006. 1005, 1006 and 1015 may not be sent. */
export function closeSocket(socket: WebSocket, code: number, reason: string): void {
  try {
    socket.close(code === 1005 || code === 1006 || code === 1015 ? 1000 : code, reason);
  } catch {
    // Closed already.
  }
}
