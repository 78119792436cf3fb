import type { Call } from "./ledger.ts";
import { dueMs, type Pace } from "./pace.ts";
import { errorEvent, type Transcript } from "./transcript.ts";

/** How a stream goes wrong half-way. */
export type Spoil = "truncate" | "break" | "malformed" | "stream_error";

export interface Play {
  transcript: Transcript;
  pace: Pace;
  spoil: Spoil | undefined;
  /** When the request came, Unix ms: the pace counts from here. */
  startedAt: number;
  /** Simulated ms per real one; 0 is all at once. */
  speed: number;
  flushMs: number;
  call: Call;
  /** Fires when the client has gone. */
  signal: AbortSignal;
}

const encoder = new TextEncoder();

/** The words of a connection that goes away, as workerd has them. */
export function connectionLost(): Error {
  return new Error("Network connection lost.");
}

/**
 * One pull, one piece: all that is due by now, or after the wait for what is due next. Only a reader that reads costs a timer,
 * and one that falls behind gets the rest in larger pieces.
 */
export function playStream(play: Play): ReadableStream<Uint8Array> {
  const script = play.spoil === undefined ? { from: -1, until: play.transcript.steps } : spoiledScript(play.transcript, play.spoil);
  let step = 0;
  let timer: ReturnType<typeof setTimeout> | null = null;
  let wake: (() => void) | undefined;
  const stop = () => {
    clearTimeout(timer);
    wake?.();
    play.call.end("aborted");
  };
  // Both ways to hear of a client that has gone: workerd calls `cancel` for a reader in the same object only.
  play.signal.addEventListener("abort", stop, { once: true });

  const emit = (controller: ReadableStreamDefaultController<Uint8Array>) => {
    const elapsed = Date.now() - play.startedAt;
    let events = "";
    do {
      if (step === script.from && play.spoil === "malformed") events += play.transcript.malformed();
      events += play.transcript.step(step++);
    } while (step < script.until && (play.speed === 0 || dueMs(play.pace, step) / play.speed <= elapsed));
    if (step >= script.until && play.spoil === "stream_error") events += errorEvent();
    controller.enqueue(encoder.encode(events));
    if (step >= script.until) finish(controller, play);
  };

  return new ReadableStream<Uint8Array>(
    {
      pull(controller) {
        const wait = play.startedAt + flushAt(play, step) - Date.now();
        if (play.speed === 0 || wait <= 0) return emit(controller);
        return new Promise<void>((resolve) => {
          wake = resolve;
          timer = setTimeout(() => {
            emit(controller);
            resolve();
          }, wait);
        });
      },
      cancel: stop,
    },
    { highWaterMark: 0 },
  );
}

/** Real ms since the request at which a step goes out: its own time, put off to the end of the flush that it falls into. */
function flushAt({ pace, speed, flushMs }: Play, step: number): number {
  const due = dueMs(pace, step) / speed;
  return flushMs > 0 && step > 0 ? Math.ceil(due / flushMs) * flushMs : due;
}

/** A malformed event stands in the middle of a stream that goes on; the other spoils end it there. */
function spoiledScript({ steps }: Transcript, spoil: Spoil): { from: number; until: number } {
  const middle = Math.max(1, Math.floor(steps / 2));
  // One step short of the end at the least, so that no finish_reason gets out.
  return spoil === "malformed"
    ? { from: Math.min(middle, steps - 1), until: steps }
    : { from: middle, until: Math.min(middle, steps - 1) || 1 };
}

function finish(controller: ReadableStreamDefaultController<Uint8Array>, { spoil, call }: Play): void {
  if (spoil === "break") controller.error(connectionLost());
  else controller.close();
  call.end(spoil === undefined ? "completed" : "failed");
}
