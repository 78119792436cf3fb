/** How one object reaches another: a stub that failed is not used again, and only what may be repeated is repeated. */
import type { CoordinatorRpc, DispatcherRpc, Enqueued, MailboxAddress, MailboxRpc, Submission, Submitted, Ticket } from "../schemas/rpc.ts";
import type { ArchiveRpc, BatchRpc } from "../schemas/rpc-batch.ts";
import { batchChannel, isBatchChannel, mailboxName } from "./mailboxes.ts";
import { reach, type Spaces } from "./nesting.ts";
import { pack, TABLE_FROM, unpack } from "./table.ts";

/** The bindings of wrangler.toml. The OpenAI key is read in the dispatcher alone. */
export type Env = Spaces & { SIMULATOR: DurableObjectNamespace } & { [name: string]: unknown };

/** There is one account, hence one coordinator. */
const COORDINATOR_NAME = "account";

const ATTEMPTS = 4;
/** After the second failure. After the first there is none: a stub that was kept may only have led to where the object no longer is. */
const FIRST_PAUSE_MS = 100;

/** `call` is told whether an earlier try may have come through. */
export function callCoordinator<R>(env: Env, region: string, call: (stub: CoordinatorRpc, repeated: boolean) => Promise<R>): Promise<R> {
  const locationHint = region as DurableObjectLocationHint;
  return repeat((repeated) => call(reach(env, "COORDINATOR", COORDINATOR_NAME, { locationHint }) as CoordinatorRpc, repeated));
}

/** `call` is told whether an earlier try may have come through. */
export function callDispatcher<R>(
  env: Env,
  name: string,
  region: string,
  call: (stub: DispatcherRpc, repeated: boolean) => Promise<R>,
): Promise<R> {
  const locationHint = region as DurableObjectLocationHint;
  return repeat((repeated) => call(reach(env, "DISPATCHER", name, { locationHint }) as DispatcherRpc, repeated));
}

/** `call` is told whether an earlier try may have come through. */
export function callMailbox<R>(env: Env, address: MailboxAddress, call: (stub: MailboxRpc, repeated: boolean) => Promise<R>): Promise<R> {
  return repeat((repeated) => call(mailboxOf(env, address), repeated));
}

/**
 * Hands jobs to a mailbox. Repeats use the plain method: during a rollout, an object that still runs the previous version has no other. `again`: they may have
 * been handed over before. Jobs that have ended come with their answers: if those are too many for one message, the jobs go in halves.
 */
export async function submitTo(env: Env, address: MailboxAddress, submissions: Submission[], again = false): Promise<Submitted[]> {
  try {
    return await callMailbox(env, address, async (stub, repeated) => {
      if (again || repeated || submissions.length < TABLE_FROM) return stub.submit(submissions, again || repeated);
      return unpack(await stub.submitMany(pack(submissions), repeated));
    });
  } catch (error) {
    if (submissions.length === 1 || !isTooLong(error)) throw error;
    const half = Math.ceil(submissions.length / 2);
    const first = await submitTo(env, address, submissions.slice(0, half), true);
    return [...first, ...(await submitTo(env, address, submissions.slice(half), true))];
  }
}

/** Hands a mailbox's tickets to the coordinator, in the same way. */
export function enqueueFrom(env: Env, region: string, address: MailboxAddress, tickets: Ticket[]): Promise<Enqueued[]> {
  return callCoordinator(env, region, async (stub, repeated) => {
    if (repeated || tickets.length < TABLE_FROM) return stub.enqueue(address, tickets);
    return unpack(await stub.enqueueMany(address, pack(tickets)));
  });
}

/** A batch is a mailbox too, with a class of its own. */
function mailboxOf(env: Env, address: MailboxAddress): MailboxRpc & { fetch: (request: Request) => Promise<Response> } {
  return reach(env, isBatchChannel(address.channel) ? "BATCH" : "MAILBOX", mailboxName(address)) as ReturnType<typeof mailboxOf>;
}

export function callBatch<R>(env: Env, tenant: string, name: string, call: (stub: BatchRpc) => Promise<R>): Promise<R> {
  return callMailbox(env, { tenant, channel: batchChannel(name) }, (stub) => call(stub as BatchRpc));
}

/** `name`: a file's, or `library`. */
export function callArchive<R>(env: Env, tenant: string, name: string, call: (stub: ArchiveRpc) => Promise<R>): Promise<R> {
  return repeat(() => call(reach(env, "ARCHIVE", `${tenant}/${name}`) as ArchiveRpc));
}

/** Hands a request (a WebSocket upgrade) to a mailbox; not repeated. */
export function fetchMailbox(env: Env, address: MailboxAddress, request: Request): Promise<Response> {
  return mailboxOf(env, address).fetch(request);
}

/**
 * Every method of `schemas/rpc.ts` except `start` may be repeated, so any failure is worth another try, with a new stub. Not so `.overloaded`: repeating would
 * make it worse; nor a message that is too long, and would be again.
 */
async function repeat<R>(attempt: (repeated: boolean) => Promise<R>): Promise<R> {
  for (let count = 1; ; count++) {
    try {
      return await attempt(count > 1);
    } catch (error) {
      if (count >= ATTEMPTS || isOverloaded(error) || isTooLong(error)) throw error;
      if (count > 1) await new Promise((done) => setTimeout(done, FIRST_PAUSE_MS * 4 ** (count - 2) * (0.5 + Math.random())));
    }
  }
}

/** No answer came in time. */
export class NoAnswer extends Error {}

/** @throws NoAnswer if it takes longer. The work may still be done. */
export async function within<R>(ms: number, work: Promise<R>): Promise<R> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new NoAnswer(`No answer within ${ms} ms.`)), ms);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    // A running timer keeps the object from sleeping.
    clearTimeout(timer);
  }
}

export function isOverloaded(error: unknown): boolean {
  return typeof error === "object" && error !== null && (error as { overloaded?: unknown }).overloaded === true;
}

/** workerd says so only in its message (api/worker-rpc.c++). */
function isTooLong(error: unknown): boolean {
  return error instanceof Error && /are limited to \d+MiB/.test(error.message);
}
