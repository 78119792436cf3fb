/** Calls made with a browser token. Its mailboxes know whether it was revoked, so the check happens where the call goes anyway. */
import { callMailbox } from "../../platform/objects.ts";
import type { Problem } from "../../schemas/problem.ts";
import type { MailboxAddress, MailboxRpc } from "../../schemas/rpc.ts";
import { GRANT_HEADER, type Grant, type Pass } from "../../schemas/token.ts";
import type { Context } from "./context.ts";

/** Thrown through a door; the router answers with its problem. */
export class TokenOver extends Error {
  readonly problem: Problem;

  constructor(how: "expired" | "revoked") {
    super(how === "expired" ? "The token has expired." : "The token was revoked.");
    this.problem = { status: 401, type: "authentication_error", code: `token_${how}`, message: this.message, param: null };
  }
}

/** The part of a grant that a mailbox needs. */
export function passOf({ expiresAt, id, maxJobs }: Grant): Pass {
  return { id, maxJobs, expiresAt };
}

/** Tells a mailbox what the token that opens a socket allows. Encoded, because a header cannot hold all characters. */
export function sayGrant(headers: Headers, grant: Grant): void {
  headers.set(GRANT_HEADER, encodeURIComponent(JSON.stringify(grant)));
}

/** A call to a mailbox that changes nothing. @throws TokenOver if the caller uses a revoked token. */
export async function readMailbox<R>(
  { env, grant }: Pick<Context, "env" | "grant">,
  address: MailboxAddress,
  read: (stub: MailboxRpc) => Promise<R>,
): Promise<R> {
  if (!grant) return callMailbox(env, address, read);
  const [revoked, result] = await callMailbox(env, address, (stub) => Promise.all([stub.isRevoked(passOf(grant)), read(stub)]));
  if (revoked) throw new TokenOver("revoked");
  return result;
}

/** The same check, before a call that changes something. @throws TokenOver */
export async function mustStand({ env, grant }: Pick<Context, "env" | "grant">, address: MailboxAddress): Promise<void> {
  if (grant && (await callMailbox(env, address, (stub) => stub.isRevoked(passOf(grant))))) throw new TokenOver("revoked");
}
