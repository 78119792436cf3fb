/** How fast input tokens may grow, by OpenAI's rule of thumb: by half every 15 minutes, once there are a million a minute. */
export interface GrowthRule {
  /** Tokens a minute up to which growth is free. */
  above_tpm: number;
  /** 0.5 is by half. */
  by: number;
  per_seconds: number;
}

// Slices of this length are compared, a fifteenth of the period: one minute with OpenAI's figures.
const SLICES = 15;

/** Compares the current slice with the busiest slice of the period before the last one: steady traffic passes, and so does traffic that comes back. */
export class Growth {
  private readonly slices = new Map<number, number>();

  allows(rule: GrowthRule, tokens: number, now: number): boolean {
    const slice = sliceOf(rule, now);
    const before = [...this.slices].filter(([index]) => index <= slice - SLICES && index > slice - 2 * SLICES);
    const busiest = Math.max(0, ...before.map(([, count]) => count));
    const free = (rule.above_tpm * rule.per_seconds) / SLICES / 60;
    return (this.slices.get(slice) ?? 0) + tokens <= Math.max(free, busiest * (1 + rule.by));
  }

  count(rule: GrowthRule, tokens: number, now: number): void {
    const slice = sliceOf(rule, now);
    this.slices.set(slice, (this.slices.get(slice) ?? 0) + tokens);
    for (const index of this.slices.keys()) if (index <= slice - 2 * SLICES) this.slices.delete(index);
  }
}

function sliceOf({ per_seconds }: GrowthRule, now: number): number {
  return Math.floor((now / 1000 / per_seconds) * SLICES);
}
