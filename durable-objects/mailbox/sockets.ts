/** The hibernation API: sockets that stay open while the object sleeps. */
import { CALLER_HEADER, SUBPROTOCOL, VERBATIM_HEADER } from "../../schemas/socket.ts";
import { GRANT_HEADER, type Grant } from "../../schemas/token.ts";

/**
 * `grant`: of a socket that was opened with a token; null for a key. `call`: the job that its door waits for as the caller's. `verbatim`: of a door that wants each chunk as upstream wrote it. `acks`: its
 * client says how far it is.
 */
type Attachment = { id: string; grant: Grant | null; call?: number; verbatim?: true; acks?: true };

/** The socket of a door that a job's caller waits at, by the job's number. */
const callTag = (n: number) => `call ${n}`;

/** Sockets with a token are found by this tag without looking at all. */
export const PASS_TAG = "pass";

/** Takes a socket in; `wakeBy` is told (ms) when its token ends. Its id is its tag too, so that one socket is found without looking at all. */
export function acceptSocket(ctx: DurableObjectState, request: Request, wakeBy: (at: number) => void): Response {
  const pair = new WebSocketPair();
  const id = crypto.randomUUID();
  const grant = grantIn(request);
  const call = callIn(request);
  ctx.acceptWebSocket(pair[1], [id, ...(grant ? [PASS_TAG] : []), ...(call === null ? [] : [callTag(call)])]);
  const verbatim = request.headers.has(VERBATIM_HEADER);
  pair[1].serializeAttachment({ id, grant, ...(call !== null && { call }), ...(verbatim && { verbatim }) } satisfies Attachment);
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

/** The job, by its number, that a door waits for as its caller's; null if it is no such door. */
export function callIn(request: Request): number | null {
  const told = request.headers.get(CALLER_HEADER);
  return told === null ? null : Number(told);
}

/** Whether a job's caller is there. */
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
