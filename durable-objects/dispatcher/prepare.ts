/**
 * From a lease to a call that can be sent. Law: of requests there are never more in hand than an object can hold, which has 128 MB, and in which each is there up to three
 * times: as text, parsed, and as what is sent.
 */
import { parseExact } from "../../platform/exact-json.ts";
import { HEADER_SLOTS } from "../../policy/placement.ts";
import type { CallTimeouts, InPieces, Lease, Opened, Outcome } from "../../schemas/rpc.ts";
import type { Call, Ports } from "./attempt.ts";
import { Delivery } from "./delivery.ts";
import { Slots } from "./slots.ts";

/** Requests in hand: those that are being sent, and as many that are ready to follow. */
const IN_HAND = 2 * HEADER_SLOTS;
/** Characters of all long ones in hand. One that has more is alone. */
const LONG_CHARACTERS = 16_000_000;

/**
 * What calls hold until upstream's headers are there. `headers`: the platform lets one object wait for those of six connections; a seventh is queued silently, its time-outs running
 * (developers.cloudflare.com/workers/platform/limits). So we count ourselves.
 */
export type Holds = { headers: Slots; inHand: Slots; long: Slots };

export function openHolds(): Holds {
  return { headers: new Slots(HEADER_SLOTS), inHand: new Slots(IN_HAND), long: new Slots(LONG_CHARACTERS) };
}

/**
 * Of an opened job what its call must know to its end. Neither the request's text nor its body: they were held until the answer was read whole, and 150 calls of a
 * megabyte were 300 MB of the 128 that an isolate has.
 */
export type Asked = { pool: string; timeouts: CallTimeouts | undefined; choices: number };

export type Prepared =
  | { ok: true; asked: Asked /** Once upstream's headers are there; may be called more than once. */; release: () => void }
  /** Null: its lease is not one. */
  | { ok: false; outcome: Outcome | null };

/** Never throws. */
export async function prepare(call: Call, ports: Ports): Promise<Prepared> {
  const { headers, inHand, long } = ports.holds;
  const { signal } = call.controller;
  const releases: (() => void)[] = [];
  const release = () => {
    for (const each of releases.splice(0)) each();
  };
  const take = async (slots: Slots, weight?: number) => {
    const held = await slots.take(signal, weight);
    if (held) releases.push(held);
    return held !== null;
  };
  const ended = (outcome: Outcome | null): Prepared => {
    release();
    return { ok: false, outcome };
  };
  if (!(await take(inHand))) return ended({ kind: "void" });
  try {
    const opened = await ports.open(call.lease);
    if (!opened.ok) return ended(unwanted(opened));
    deliverTo(call, ports, opened);
    const { pool, request, timeouts } = opened;
    if (typeof request !== "string" && !(await take(long, request.characters))) return ended({ kind: "void" });
    const text = typeof request === "string" ? request : await inWhole(call.lease, request, ports);
    if (text === null || !(await take(headers))) return ended({ kind: "void" });
    const body = parseExact(text) as Record<string, unknown>;
    call.give(body);
    return { ok: true, asked: { pool, timeouts, choices: typeof body.n === "number" ? body.n : 1 }, release };
  } catch {
    return ended(unopened("mailbox_unreachable", "The job's mailbox could not be reached."));
  }
}

/** Null if the job is gone. */
async function inWhole(lease: Lease, { pieces }: InPieces, ports: Ports): Promise<string | null> {
  let text = "";
  for (let index = 0; index < pieces; index++) {
    const piece = await ports.piece(lease, index);
    if (piece === null) return null;
    text += piece;
  }
  return text;
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
