/**
 * How much of a pool's minute was spent, and how much was ever started, at the instants when that grew: to compare with what upstream says it
 * was then, because its answers come late. Bounded: the oldest make room.
 */
export type Kind = "requests" | "tokens";
export type Level = { at: number; requests: { spent: number; total: number }; tokens: { spent: number; total: number } };

/** Instants kept, and how far apart they are at least, ms: they cover some seconds to some minutes. */
const KEPT = 1_024;
const APART_MS = 10;

export class Levels {
  readonly #since: number;
  #levels: Level[] = [];
  #head = 0;
  #full = false;

  /** `since`: nothing before this instant (ms) is known. */
  constructor(since: number) {
    this.#since = since;
  }

  note(level: Level): void {
    const last = this.#levels.at(-1);
    if (last && level.at - last.at < APART_MS) {
      // It grew within one instant: the later level replaces the earlier, and keeps its time.
      this.#levels[this.#levels.length - 1] = { ...level, at: last.at };
      return;
    }
    this.#levels.push(level);
    if (this.#levels.length - this.#head <= KEPT) return;
    this.#head++;
    this.#full = true;
    if (this.#head < KEPT) return;
    this.#levels = this.#levels.slice(this.#head);
    this.#head = 0;
  }

  /**
   * A call started at `since` (ms) was never made: it is taken out of all levels. `kept`: the part of its amount that had not come back in other ways. It
   * refills at `perMs`; at 0 it stays until its window is over.
   */
  strike(kind: Kind, since: number, amount: number, kept: number, perMs: number): void {
    const first = Math.max(this.#head, this.#before(since) ?? this.#head);
    let left = kept;
    for (let index = first; index < this.#levels.length; index++) {
      const level = this.#levels[index]!;
      const { spent, total } = level[kind];
      const before = this.#levels[index - 1];
      // What was spent fell below it: that much had come back by itself, as in policy/bucket.ts.
      if (before && index > first) left = Math.min(left, Math.max(0, before[kind].spent + left - (level.at - before.at) * perMs));
      level[kind] = { spent: Math.max(0, spent - left), total: total - amount };
    }
  }

  /** Takes an amount out of what was spent, at all instants. If upstream still counts it, its answers will show that. */
  forget(kind: Kind, amount: number): void {
    for (const level of this.#levels) level[kind] = { ...level[kind], spent: Math.max(0, level[kind].spent - amount) };
  }

  /** The most that was spent of a kind at any time from `from` to `to` (ms), with a refill of `perMs`; null if that is forgotten. */
  most(kind: Kind, from: number, to: number, perMs: number): number | null {
    const first = this.#before(from);
    if (first === null) return null;
    const start = this.#levels[first];
    let most = start ? Math.max(0, start[kind].spent - Math.max(0, from - start.at) * perMs) : 0;
    for (let index = first + 1; index < this.#levels.length && this.#levels[index]!.at <= to; index++)
      most = Math.max(most, this.#levels[index]![kind].spent);
    return most;
  }

  /** What was spent of a kind up to `by` (ms) and had not refilled by `at`; null if that is forgotten. */
  remained(kind: Kind, by: number, at: number, perMs: number): number | null {
    const index = this.#before(by);
    if (index === null) return null;
    const level = this.#levels[index];
    return level ? Math.max(0, level[kind].spent - Math.max(0, at - level.at) * perMs) : 0;
  }

  /** All of a kind that was started until `at` (ms), since some beginning; null if that is forgotten. */
  total(kind: Kind, at: number): number | null {
    const index = this.#before(at);
    return index === null ? null : (this.#levels[index]?.[kind].total ?? 0);
  }

  /** Index of the last level at or before an instant: head - 1 if there is none; null if it may be forgotten. */
  #before(at: number): number | null {
    const oldest = this.#levels[this.#head];
    if (at < this.#since || (this.#full && oldest && at < oldest.at)) return null;
    let low = this.#head;
    let high = this.#levels.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#levels[middle]!.at <= at) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  }
}
