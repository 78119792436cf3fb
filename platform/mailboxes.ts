/** Names of mailboxes: `tenant/channel`. A tenant's name holds no slash. */

import { RESERVED_CHANNEL_PREFIX } from "../schemas/channel.ts";
import type { MailboxAddress } from "../schemas/rpc.ts";
import { hashOf } from "./ids.ts";

/** Jobs sent without a channel are spread over this many mailboxes, so that a tenant is not limited to what one object can do. */
export const SPREAD = 8;

export function mailboxName(address: MailboxAddress): string {
  return `${address.tenant}/${address.channel}`;
}

export function parseMailboxName(name: string): MailboxAddress {
  const slash = name.indexOf("/");
  return { tenant: name.slice(0, slash), channel: name.slice(slash + 1) };
}

export function spreadChannel(index: number): string {
  return `${RESERVED_CHANNEL_PREFIX}${index % SPREAD}`;
}

/** A lobby holds sockets whose client named no channel when it connected. */
export function lobbyChannel(index: number): string {
  return `${RESERVED_CHANNEL_PREFIX}lobby-${index % SPREAD}`;
}

/** Where a tenant's claims on an Idempotency-Key are kept. */
export function claimsChannel(key: string): string {
  return `${RESERVED_CHANNEL_PREFIX}keys-${hashOf(key) % SPREAD}`;
}

/** The jobs of a batch live in the batch itself. */
const BATCH_PREFIX = `${RESERVED_CHANNEL_PREFIX}batch-`;

export function batchChannel(name: string): string {
  return `${BATCH_PREFIX}${name}`;
}

export function isBatchChannel(channel: string): boolean {
  return channel.startsWith(BATCH_PREFIX);
}

/** What clients see: null for a job sent without a channel. */
export function publicChannel(channel: string): string | null {
  return channel.startsWith(RESERVED_CHANNEL_PREFIX) ? null : channel;
}
