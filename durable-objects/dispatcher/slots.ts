/**
 * The platform lets one object wait for the response headers of six connections; a seventh is queued silently, its
 * time-outs running (developers.cloudflare.com/workers/platform/limits). So we count ourselves: at most so many hold a slot.
 */
export class Slots {
  #free: number;
  readonly #queue: (() => void)[] = [];

  constructor(count: number) {
    this.#free = count;
  }

  get free(): number {
    return this.#free;
  }

  /** Resolves with the slot's release, which may be called more than once; with null if the signal came first. */
  async take(signal: AbortSignal): Promise<(() => void) | null> {
    if (signal.aborted) return null;
    if (this.#free > 0) this.#free--;
    else if (!(await this.#turn(signal))) return null;
    let held = true;
    const release = () => {
      if (!held) return;
      held = false;
      const next = this.#queue.shift();
      if (next) next();
      else this.#free++;
    };
    // It may have come between the hand-over and this line.
    if (!signal.aborted) return release;
    release();
    return null;
  }

  /** True once a slot was handed over, false when the signal came first. */
  #turn(signal: AbortSignal): Promise<boolean> {
    return new Promise((done) => {
      const go = () => done(true);
      this.#queue.push(go);
      signal.addEventListener("abort", () => {
        const place = this.#queue.indexOf(go);
        if (place < 0) return;
        this.#queue.splice(place, 1);
        done(false);
      });
    });
  }
}
