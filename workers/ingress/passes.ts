/** Calls made with a browser token. Whether it was revoked its mailboxes know: it is asked where the call goes anyway. */
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

/** What of a grant a mailbox must know. */
export function passOf({ expiresAt, id, maxJobs }: Grant): Pass {
  return { id, maxJobs, expiresAt };
}

/** Tells a mailbox what the token allows that a socket is opened with. Encoded: a header holds no other characters. */
export function sayGrant(headers: Headers, grant: Grant): void {
  headers.set(GRANT_HEADER, encodeURIComponent(JSON.stringify(grant)));
}

/** A call to a mailbox that changes nothing, for whoever asks. @throws TokenOver if that is a token which was revoked. */
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

/** The same before a call that changes something. */
export async function mustStand({ env, grant }: Pick<Context, "env" | "grant">, address: MailboxAddress): Promise<void> {
  if (grant && (await callMailbox(env, address, (stub) => stub.isRevoked(passOf(grant))))) throw new TokenOver("revoked");
}
