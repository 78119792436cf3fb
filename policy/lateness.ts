/** The longest time that a pool's calls have lately taken to be answered, and to be sent. */
import type { PoolReading } from "../schemas/rate.ts";

/** How long that is remembered, ms. */
const FADE_MS = 20_000;

export class Lateness {
  answeredMs = 0;
  leavingMs = 0;
  #since = 0;

  /** A call started at `startedAt` (ms; null if unknown) was answered. */
  note({ at, sentAt }: PoolReading, startedAt: number | null, now: number): void {
    const faded = Math.exp(-Math.max(0, now - this.#since) / FADE_MS);
    this.answeredMs = Math.max(at - (startedAt ?? at), this.answeredMs * faded);
    this.leavingMs = Math.max(sentAt - (startedAt ?? sentAt), this.leavingMs * faded);
    this.#since = now;
  }
}
