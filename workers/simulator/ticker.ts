// Milliseconds. Finer than a token's interval, coarse enough that a thousand streams share their wake-ups.
const TICK_MS = 5;

type Turn = () => void;

/**
 * Runs all waits of the simulator on one timer. A separate timer per wait costs workerd about 0.3 ms, most of it for entering the isolate; streams that are due
 * in the same tick enter it once. With nothing to wait for, there is no timer.
 */
export class Ticker {
  private readonly turns = new Map<number, Set<Turn>>();
  private timer: ReturnType<typeof setTimeout> | null = null;
  private timerTick = Number.POSITIVE_INFINITY;

  /** Runs `turn` at the first tick at or after `time` (Unix ms). The returned function cancels it. */
  at(time: number, turn: Turn): () => void {
    const tick = Math.ceil(time / TICK_MS);
    const turns = this.turns.get(tick) ?? new Set();
    turns.add(turn);
    this.turns.set(tick, turns);
    if (tick < this.timerTick) this.arm(tick);
    return () => {
      turns.delete(turn);
      if (turns.size === 0 && this.turns.get(tick) === turns) this.turns.delete(tick);
      if (this.turns.size === 0) this.disarm();
    };
  }

  private arm(tick: number): void {
    if (this.timer !== null) clearTimeout(this.timer);
    this.timerTick = tick;
    this.timer = setTimeout(() => this.run(), Math.max(0, tick * TICK_MS - Date.now()));
  }

  private disarm(): void {
    if (this.timer !== null) clearTimeout(this.timer);
    this.timer = null;
    this.timerTick = Number.POSITIVE_INFINITY;
  }

  private run(): void {
    this.disarm();
    const now = Date.now() / TICK_MS;
    const due = [...this.turns.keys()].filter((tick) => tick <= now).sort((left, right) => left - right);
    for (const tick of due) {
      const turns = this.turns.get(tick) ?? [];
      this.turns.delete(tick);
      for (const turn of turns) turn();
    }
    if (this.turns.size > 0) this.arm(Math.min(...this.turns.keys()));
  }
}
