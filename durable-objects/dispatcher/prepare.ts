/**
 * From a lease to a call that can be sent. Law: of requests there are never more in hand than an object can hold, which has 128 MB, and in which each is there up to three
 * times: as text, parsed, and as what is sent.
 */
import { parseExact } from "../../platform/exact-json.ts";
import { mailboxName } from "../../platform/mailboxes.ts";
import { within } from "../../platform/objects.ts";
import { HEADER_SLOTS } from "../../policy/placement.ts";
import type { CallTimeouts, InPieces, Opened, Outcome, Word } from "../../schemas/rpc.ts";
import type { Call, Ports } from "./attempt.ts";
import { Delivery } from "./delivery.ts";
import { Slots } from "./slots.ts";

/** Requests in hand: those that are being sent, and as many that are ready to follow. */
const IN_HAND = 2 * HEADER_SLOTS;
/** Of these so many may be one mailbox's that has not answered yet: one that does not answer must not keep the others' from being called. Fewer would hold back a burst of one channel. */
const UNANSWERED = HEADER_SLOTS;
/** Characters of all long ones in hand; a character may take two bytes. One that has more is alone. */
const LONG_CHARACTERS = 8_000_000;
/** A mailbox that has not answered by then is taken for unreachable, ms. */
const ANSWER_MS = 10_000;

/**
 * What calls hold until upstream's headers are there. `headers`: the platform lets one object wait for those of six connections; a seventh is queued silently, its time-outs running
 * (developers.cloudflare.com/workers/platform/limits). So we count ourselves. `unanswered`: by mailbox, until it has answered.
 */
export type Holds = { headers: Slots; inHand: Slots; long: Slots; unanswered: Map<string, Slots> };

export function openHolds(): Holds {
  return { headers: new Slots(HEADER_SLOTS), inHand: new Slots(IN_HAND), long: new Slots(LONG_CHARACTERS), unanswered: new Map() };
}

/**
 * Of an opened job what its call must know to its end. Neither the request's text nor its body: they were held until the answer was read whole, and 150 calls of a
 * megabyte were 300 MB of the 128 that an isolate has.
 */
export type Asked = { pool: string; timeouts: CallTimeouts | undefined; choices: number };

export type Prepared =
  | { ok: true; asked: Asked /** Once upstream's headers are there; may be called more than once. */; release: () => void }
  /** Null: its lease is not one, or none any more. */
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
      return ended(signal.aborted ? { kind: "void" } : unopened("request_incomplete", "A part of the request is missing."));
    if (!(await hold.take(ports.holds.headers))) return ended({ kind: "void" });
    const body = parseExact(text) as Record<string, unknown>;
    call.give(body);
    const word = await wordOn(call, ports);
    if (word === "wait") return ended(null);
    if (signal.aborted) return ended({ kind: "void" });
    if (word === "lost") return ended(unopened("lease_lost", "The call's lease was lost before it was sent."));
    const asked = { pool, timeouts, choices: typeof body.n === "number" ? body.n : 1 };
    return { ok: true, asked, release: () => hold.release() };
  } catch {
    return ended(signal.aborted ? { kind: "void" } : unopened("mailbox_unreachable", "The job's mailbox could not be reached."));
  }
}

/**
 * A call that is late asks whether it may go, and goes where that is said, or where the coordinator is of an older program, which knows no such question. An answer that is lost may have said to
 * wait, and the job may go elsewhere since: so it is waited for however long it takes, and who has none does not go.
 */
async function wordOn({ controller, lease }: Call, ports: Ports): Promise<Word> {
  if (lease.leaveBy === undefined || ports.now() <= lease.leaveBy) return "go";
  return unless(controller.signal, ports.late(lease)).catch((error) => (isUnknown(error) ? "go" : "lost"));
}

/** As the runtime says it of a method that the other side has not. */
function isUnknown(error: unknown): boolean {
  return error instanceof Error && error.message.includes("does not implement");
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

/** Asks the mailbox, of whose answer the request may be a part. Null if the call was broken off first. @throws if it does not answer. */
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

/** Null if a piece is not there, or the call was broken off while it waited for room. @throws if the mailbox does not answer. */
async function inWhole({ controller, lease }: Call, { characters, pieces }: InPieces, ports: Ports, hold: Hold): Promise<string | null> {
  // Nothing of it is in hand yet: short ones go by while it waits.
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

/** @throws as soon as the signal comes: nobody waits for the answer any more. */
async function unless<R>(signal: AbortSignal, work: Promise<R>): Promise<R> {
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
  if (opened.reason === "full") return unopened("storage_full", "The job's mailbox has no room for an answer.");
  return opened.reason === "unwanted" ? { kind: "void" } : null;
}

/** Nothing was called. */
function unopened(code: string, message: string): Outcome {
  const problem = { status: 502, type: "server_error", code, message, param: null };
  return { kind: "retryable", unknown: false, retryAfterMs: null, problem, unsent: true };
}
