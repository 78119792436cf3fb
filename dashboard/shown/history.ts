/** The last ten minutes of a pool, in memory only: reloading the page starts over. */
import { count } from "./words.ts";

/** ms */
export const SPAN = 600_000;
/** Each covers four seconds and shows their maximum. */
const COLUMNS = 150;
const COLUMN_MS = SPAN / COLUMNS;

/** A chart's dimensions; the height is without the line's own width. */
export const CHART = { width: COLUMNS, height: 40 };

type Measure = "depth" | "in_flight";
type Counted = Record<Measure, number>;
type Column = Counted & { at: number };

export type Chart = { path: string; words: string };

export class History {
  /** Oldest first; `at`: the column's number since the epoch. */
  #columns: Column[] = [];

  /** `now` in ms. Unchanged counts must be added too: a missing column means that nothing is known of that time. */
  add({ depth, in_flight }: Counted, now: number): void {
    const at = Math.floor(now / COLUMN_MS);
    const last = this.#columns.at(-1);
    if (last && last.at >= at) {
      last.depth = Math.max(last.depth, depth);
      last.in_flight = Math.max(last.in_flight, in_flight);
      return;
    }
    this.#columns.push({ at, depth, in_flight });
    while (this.#columns[0]!.at <= at - COLUMNS) this.#columns.shift();
  }

  chart(measure: Measure, now: number): Chart {
    const first = Math.floor(now / COLUMN_MS) - COLUMNS + 1;
    const columns = this.#columns.filter(({ at }) => at >= first);
    const most = Math.max(0, ...columns.map((column) => column[measure]));
    let [path, before] = ["", Number.NaN];
    for (const { at, [measure]: value } of columns) {
      const y = CHART.height * (1 - value / Math.max(most, 1));
      path += `${at === before + 1 ? "L" : "M"}${at - first} ${Number(y.toFixed(1))}h1`;
      before = at;
    }
    return { path, words: `max ${count(most)}` };
  }
}
