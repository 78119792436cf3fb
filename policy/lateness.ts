/** How long a pool's calls take until they are answered, and until they are sent, at the most, of late. */
import type { PoolReading } from "../schemas/rate.ts";

/** It is remembered for so long, ms. */
const FADE_MS = 20_000;

export class Lateness {
  answeredMs = 0;
  leavingMs = 0;
  #since = 0;

  /** A call that was let go at `startedAt` (ms; null if that is not known) was answered. */
  note({ at, sentAt }: PoolReading, startedAt: number | null, now: number): void {
    const faded = Math.exp(-Math.max(0, now - this.#since) / FADE_MS);
    this.answeredMs = Math.max(at - (startedAt ?? at), this.answeredMs * faded);
    this.leavingMs = Math.max(sentAt - (startedAt ?? sentAt), this.leavingMs * faded);
    this.#since = now;
  }
}
