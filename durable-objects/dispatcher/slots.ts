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

  /** Resolves with the slot's release, which may be called more than once. */
  async take(): Promise<() => void> {
    if (this.#free > 0) this.#free--;
    else await new Promise<void>((go) => this.#queue.push(go));
    let held = true;
    return () => {
      if (!held) return;
      held = false;
      const next = this.#queue.shift();
      if (next) next();
      else this.#free++;
    };
  }
}
