/**
 * From a lease to a call that can be sent. Law: there are never more requests in hand than fit in an object's 128 MB, where each may be held three times: as
 * text, parsed, and as what is sent.
 */
import { parseExact } from "../../platform/exact-json.ts";
import { mailboxName } from "../../platform/mailboxes.ts";
import { within } from "../../platform/objects.ts";
import { HEADER_SLOTS } from "../../policy/placement.ts";
import type { CallTimeouts, InPieces, Opened, Outcome } from "../../schemas/rpc.ts";
import type { Call, Ports } from "./attempt.ts";
import { Delivery } from "./delivery.ts";
import { Slots } from "./slots.ts";

/** Requests in hand: those that are being sent, and as many more that are ready to follow. */
const IN_HAND = 2 * HEADER_SLOTS;
/**
 * Of these, the most that may belong to one mailbox that has not answered yet: a mailbox that hangs must not keep the calls of others from being made. With
 * fewer, a burst of one channel would be held back.
 */
const UNANSWERED = HEADER_SLOTS;
/** Characters of all long requests in hand; a character may take two bytes. One that has more is the only long one. */
const LONG_CHARACTERS = 8_000_000;
/** A mailbox that has not answered within this time is considered unreachable, ms. */
const ANSWER_MS = 10_000;

/**
 * What calls hold until upstream's headers have come. `headers`: the platform lets six connections of an object wait for headers; a seventh is queued
 * silently while its timeouts run (developers.cloudflare.com/workers/platform/limits), so we count them ourselves. `unanswered`: by mailbox, until it answers.
 */
export type Holds = { headers: Slots; inHand: Slots; long: Slots; unanswered: Map<string, Slots> };

export function openHolds(): Holds {
  return { headers: new Slots(HEADER_SLOTS), inHand: new Slots(IN_HAND), long: new Slots(LONG_CHARACTERS), unanswered: new Map() };
}

/**
 * What a call must know of its opened job until the end. Neither the request's text nor its body: when they were held until the whole answer had been read,
 * 150 calls of a megabyte each took 300 MB, and an isolate has 128.
 */
export type Asked = { pool: string; timeouts: CallTimeouts | undefined; choices: number };

export type Prepared =
  | { ok: true; asked: Asked /** To be called once upstream's headers have come; may be called more than once. */; release: () => void }
  /** Null: its lease is not valid, or no longer valid. */
  | { ok: false; outcome: Outcome | null };

/** Never throws. */
export async function prepare(call: Call, ports: Ports): Promise<Prepared> {
  const { signal } = call.controller;
  const hold = new Hold(signal);
  const ended = (outcome: Outcome | null): Prepared => {
    hold.release();
    return { ok: false, outcome };
  };
  try {
    const opened = await open(call, ports, hold);
    if (opened === null) return ended({ kind: "void" });
    if (!opened.ok) return ended(unwanted(opened));
    deliverTo(call, ports, opened);
    const { pool, request, timeouts } = opened;
    const text = typeof request === "string" ? request : await inWhole(call, request, ports, hold);
    if (text === null)
      return ended(signal.aborted ? { kind: "void" } : unopened("request_incomplete", "Part of the stored request is missing."));
    if (!(await hold.take(ports.holds.headers))) return ended({ kind: "void" });
    const body = parseExact(text) as Record<string, unknown>;
    call.give(body);
    const asked = { pool, timeouts, choices: typeof body.n === "number" ? body.n : 1 };
    return { ok: true, asked, release: () => hold.release() };
  } catch {
    return ended(signal.aborted ? { kind: "void" } : unopened("mailbox_unreachable", "The job's mailbox could not be reached."));
  }
}

/** What one call holds. */
class Hold {
  readonly #signal: AbortSignal;
  readonly #releases: (() => void)[] = [];

  constructor(signal: AbortSignal) {
    this.#signal = signal;
  }

  /** False if the call was broken off first. */
  async take(slots: Slots, weight?: number): Promise<boolean> {
    const release = await slots.take(this.#signal, weight);
    if (release) this.#releases.push(release);
    return release !== null;
  }

  release(): void {
    for (const each of this.#releases.splice(0)) each();
  }
}

/** Asks the mailbox; a short request comes with its answer. Null if the call was broken off first. @throws if no answer comes, or it is broken off later. */
async function open({ controller, lease }: Call, ports: Ports, hold: Hold): Promise<Opened | null> {
  const { signal } = controller;
  const { inHand, unanswered } = ports.holds;
  const mailbox = mailboxName(lease.mailbox);
  const slots = unanswered.get(mailbox) ?? new Slots(UNANSWERED);
  unanswered.set(mailbox, slots);
  const answered = await slots.take(signal);
  try {
    if (answered === null || !(await hold.take(inHand))) return null;
    return await unless(signal, within(ANSWER_MS, ports.open(lease)));
  } finally {
    answered?.();
    if (slots.isFree && unanswered.get(mailbox) === slots) unanswered.delete(mailbox);
  }
}

/**
 * The text of a long request, piece by piece. Null if a piece is missing, or the call was broken off while it waited for room. @throws if the mailbox does
 * not answer, or the call is broken off meanwhile.
 */
async function inWhole({ controller, lease }: Call, { characters, pieces }: InPieces, ports: Ports, hold: Hold): Promise<string | null> {
  // None of it is in hand yet, so short requests may pass it while it waits.
  hold.release();
  if (!(await hold.take(ports.holds.long, characters))) return null;
  let text = "";
  for (let index = 0; index < pieces; index++) {
    const piece = await unless(controller.signal, within(ANSWER_MS, ports.piece(lease, index)));
    if (piece === null) return null;
    text += piece;
  }
  return text;
}

/** @throws as soon as the signal aborts: nobody waits for the answer any more. */
export async function unless<R>(signal: AbortSignal, work: Promise<R>): Promise<R> {
  const { promise, reject } = Promise.withResolvers<never>();
  const broken = () => reject(new Error("broken off"));
  if (signal.aborted) broken();
  signal.addEventListener("abort", broken);
  try {
    return await Promise.race([work, promise]);
  } finally {
    signal.removeEventListener("abort", broken);
  }
}

function deliverTo(call: Call, ports: Ports, { verbatim, watched }: Extract<Opened, { ok: true }>): void {
  const { job, attempt: number } = call.lease;
  call.delivery = new Delivery(watched || call.watched, verbatim ?? false, (batch) =>
    ports.append(call.lease, { job, attempt: number, ...batch }),
  );
}

function unwanted(opened: Exclude<Opened, { ok: true }>): Outcome | null {
  if (opened.reason === "given_up") return { kind: "void", failed: opened.problem };
  if (opened.reason === "full")
    return unopened("storage_full", "The channel's storage has no room for an answer until older jobs are deleted.");
  return opened.reason === "unwanted" ? { kind: "void" } : null;
}

/** How a call ends that was never sent to upstream. */
export function unopened(code: string, message: string): Outcome {
  const problem = { status: 502, type: "server_error", code, message, param: null };
  return { kind: "retryable", unknown: false, retryAfterMs: null, problem, unsent: true };
}
