/** How much of a pool's requests and tokens per minute may be spent at once: see burst.ts. Nothing is learned where upstream counts in windows. */
import type { FullReading, LimitReading } from "../schemas/rate.ts";
import { KINDS } from "./bounds.ts";
import type { Limits } from "./budget.ts";
import { Burst, type BurstChange, type BurstRecord, isEnough } from "./burst.ts";
import type { Kind } from "./levels.ts";

/** For a minute's limit: what an answer reports, the limit that the pool keeps, and the most that was spent of it while that call was under way, in units. */
export type Seen = { told: readonly FullReading[]; limit: number; spent: number };

export class LearnedBursts {
  readonly #bursts: Record<Kind, Burst>;
  readonly #isLearned: boolean;
  /** As `change` last reported it. */
  readonly #told: Record<Kind, number>;

  constructor({ burstSeconds: start, mostBurstSeconds: most = start, transitMs = 0, windowSeconds = null }: Limits) {
    const open = () => new Burst({ start, most, heldBack: transitMs / 1_000 });
    this.#bursts = { requests: open(), tokens: open() };
    this.#told = { requests: start, tokens: start };
    this.#isLearned = windowSeconds === null;
  }

  seconds(kind: Kind): number {
    return this.#bursts[kind].seconds;
  }

  hear(kind: Kind, told: LimitReading, at: number): void {
    if (this.#isLearned) this.#bursts[kind].hear(told, at);
  }

  /** Upstream has let through at once what every reading shows as spent. */
  grow(kind: Kind, { limit, told }: Seen, now: number): void {
    if (!this.#isLearned) return;
    const spent = Math.min(...told.map(({ limit, remaining }) => limit - remaining));
    this.#bursts[kind].grow((spent / limit) * 60, 60 / limit, now);
  }

  /**
   * A call was refused for the rate. If the refusal's own headers do not report both kinds, or one has too little left, others may have spent it. A call that
   * was alone proves nothing about a burst.
   */
  refused(seen: Partial<Record<Kind, Seen>>, call: { at: number; tokens: number }, now: number): void {
    const amounts = { requests: 1, tokens: call.tokens };
    if (!this.#isLearned || !KINDS.every(([kind]) => seen[kind] && isEnough(seen[kind].told, amounts[kind]))) return;
    for (const [kind] of KINDS) {
      const { limit, spent } = seen[kind]!;
      const burst = this.#bursts[kind];
      if (spent > Math.max(amounts[kind], (burst.small * limit) / 60)) burst.belied(call.at, now);
    }
  }

  /** The change since the last call of this method, if any. */
  change(kind: Kind): BurstChange | null {
    const [from, to] = [this.#told[kind], this.seconds(kind)];
    this.#told[kind] = to;
    return from === to ? null : { burst: kind, from, to };
  }

  reset(): void {
    for (const [kind] of KINDS) {
      this.#bursts[kind].reset();
      this.#told[kind] = this.seconds(kind);
    }
  }

  get isNotable(): boolean {
    return this.#bursts.requests.isNotable || this.#bursts.tokens.isNotable;
  }

  record(): { burst?: Partial<Record<Kind, BurstRecord>> } {
    const [requests, tokens] = [this.#bursts.requests.record(), this.#bursts.tokens.record()];
    return requests || tokens ? { burst: { ...(requests && { requests }), ...(tokens && { tokens }) } } : {};
  }

  restore(records: Partial<Record<Kind, BurstRecord>> = {}): void {
    for (const [kind] of KINDS) {
      const record = records[kind];
      if (record && this.#isLearned) this.#bursts[kind].restore(record);
      this.#told[kind] = this.seconds(kind);
    }
  }
}
