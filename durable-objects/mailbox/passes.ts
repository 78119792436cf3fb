/** Sockets opened with a browser token: what each may follow, and that it closes when its token expires. Law: no frame is served after that. */
import { parseJobId } from "../../platform/ids.ts";
import { mayUseChannel, mayUseJob } from "../../policy/grant.ts";
import { CLOSE, type ClientFrame, type ServerFrame } from "../../schemas/socket.ts";
import type { Grant, Pass } from "../../schemas/token.ts";
import { notFound } from "./frames.ts";
import { closeSocket, grantOf, PASS_TAG, socketId } from "./sockets.ts";
import type { PassStore } from "./store/passes.ts";

type Subscribe = Extract<ClientFrame, { type: "subscribe" }>;

export function isOver(grant: Grant | null, now: number): boolean {
  return grant !== null && grant.expiresAt <= now;
}

export function endPass(socket: WebSocket): void {
  closeSocket(socket, CLOSE.tokenExpired, "token expired");
}

/** Revokes a token: it is refused from now on, and its sockets are closed. Returns their ids. */
export function revoke(ctx: DurableObjectState, store: PassStore, { expiresAt, id }: Pass): string[] {
  store.revoke(id, expiresAt);
  const closed: string[] = [];
  for (const socket of ctx.getWebSockets(PASS_TAG)) {
    if (grantOf(socket)?.id !== id) continue;
    closeSocket(socket, CLOSE.tokenRevoked, "token revoked");
    closed.push(socketId(socket));
  }
  return closed;
}

/** Cuts a frame down to what the token allows. Other jobs are answered like jobs that do not exist; another channel is refused as not allowed. */
export function within(grant: Grant | null, tenant: string, frame: Subscribe): { frame: Subscribe; refused: ServerFrame[] } {
  if (grant === null) return { frame, refused: [] };
  // A malformed id passes: it is answered later, where all of them are.
  const jobs = frame.jobs?.map((id) => {
    const name = parseJobId(tenant, id);
    return name && !mayUseJob(grant, id, name.channel) ? { id, allowed: false } : { id, allowed: true };
  });
  const beyond = (jobs ?? []).flatMap(({ id, allowed }) => (allowed ? [] : [id]));
  const refused = notFound([...new Set(beyond)]);
  const allowedJobs = jobs?.filter(({ allowed }) => allowed).map(({ id }) => id);
  const channel = frame.channel && mayUseChannel(grant, frame.channel) ? frame.channel : null;
  if (frame.channel && !channel) {
    const message = "This token may not follow the channel.";
    refused.push({ type: "error", error: { code: "channel_not_allowed", message, param: "channel" } });
  }
  return { frame: { ...frame, jobs: allowedJobs, channel }, refused };
}

/** Closes the sockets whose token has expired; returns their ids, and when the next token expires (ms), null if there is none. */
export function closeOver(ctx: DurableObjectState, now: number): { closed: string[]; next: number | null } {
  const closed: string[] = [];
  let next = Number.POSITIVE_INFINITY;
  for (const socket of ctx.getWebSockets(PASS_TAG)) {
    const grant = grantOf(socket);
    if (!grant) continue;
    if (isOver(grant, now)) {
      endPass(socket);
      closed.push(socketId(socket));
    } else next = Math.min(next, grant.expiresAt);
  }
  return { closed, next: next === Number.POSITIVE_INFINITY ? null : next };
}
