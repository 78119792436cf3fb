import { type Spoil, streamProblem } from "./faults.ts";
import type { Call } from "./ledger.ts";
import { dueMs, type Pace } from "./pace.ts";
import type { Ticker } from "./ticker.ts";
import { errorEvent, type Transcript } from "./transcript.ts";

export interface Play {
  transcript: Transcript;
  pace: Pace;
  spoil: Spoil | undefined;
  /** When the request came, Unix ms: the pace counts from here. */
  startedAt: number;
  /** Simulated ms per real one; 0 is all at once. */
  speed: number;
  flushMs: number;
  ticker: Ticker;
  call: Call;
  /** Fires when the client has left. */
  signal: AbortSignal;
}

const encoder = new TextEncoder();

/** workerd's words for a connection that goes away. */
export function connectionLost(): Error {
  return new Error("Network connection lost.");
}

/**
 * Each pull gives one piece: everything due by now, or else what is due next, after waiting for it. So only an active reader costs a timer, and one that falls
 * behind gets the rest in larger pieces.
 */
export function playStream(play: Play): ReadableStream<Uint8Array> {
  const { from, until } = script(play.transcript, play.spoil);
  let step = 0;
  let takeBack = () => {};
  let wake = () => {};

  const emit = (controller: ReadableStreamDefaultController<Uint8Array>) => {
    const elapsed = Date.now() - play.startedAt;
    let events = "";
    do {
      if (step === from) events += play.transcript.malformed();
      events += play.transcript.step(step++);
    } while (step < until && (play.speed === 0 || dueMs(play.pace, step) / play.speed <= elapsed));
    const problem = step >= until ? streamProblem(play.spoil) : undefined;
    if (problem !== undefined) events += errorEvent(problem);
    controller.enqueue(encoder.encode(events));
    if (step >= until) finish(controller, play);
    wake();
  };
  const stop = () => {
    takeBack();
    wake();
    play.call.end("aborted");
  };
  // A client that leaves is noticed in two ways: across objects, workerd fires the request's signal and does not call `cancel`.
  play.signal.addEventListener("abort", stop, { once: true });

  const pull = (controller: ReadableStreamDefaultController<Uint8Array>) => {
    const time = play.startedAt + flushAt(play, step);
    if (play.speed === 0 || time <= Date.now()) return emit(controller);
    return new Promise<void>((resolve) => {
      wake = resolve;
      takeBack = play.ticker.at(time, () => emit(controller));
    });
  };
  return new ReadableStream<Uint8Array>({ pull, cancel: stop }, { highWaterMark: 0 });
}

/** Real ms since the request at which a step goes out: its due time, postponed to the end of its flush interval. */
function flushAt({ pace, speed, flushMs }: Play, step: number): number {
  const due = dueMs(pace, step) / speed;
  return flushMs > 0 && step > 0 ? Math.ceil(due / flushMs) * flushMs : due;
}

/** The step that a malformed event precedes (-1: none), and the number of steps after which the stream ends. */
function script({ steps }: Transcript, spoil: Spoil | undefined): { from: number; until: number } {
  // Before the last step, which carries a finish_reason, but after at least one step, so that the stream has begun.
  const middle = Math.max(1, Math.min(Math.floor(steps / 2), steps - 1));
  if (spoil === undefined) return { from: -1, until: steps };
  return spoil === "malformed" ? { from: middle, until: steps } : { from: -1, until: middle };
}

function finish(controller: ReadableStreamDefaultController<Uint8Array>, { spoil, call }: Play): void {
  if (spoil === "break") controller.error(connectionLost());
  else controller.close();
  call.end(spoil === undefined ? "completed" : "failed");
}
