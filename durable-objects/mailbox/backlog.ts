/** What a consumer has not been told: the channel's events after a place, in the channel's order, from the logs of its jobs. */
import type { JobEvent } from "../../schemas/event.ts";
import type { Desk } from "./desk.ts";
import { entriesOf } from "./log.ts";
import { replayed } from "./replay.ts";
import type { JobRow } from "./store/store.ts";
import { idOf } from "./view.ts";

/** An event by its job's number and its seq. */
type Spot = { place: number; n: number; seq: number };

/** The first job that may have events after a place: the jobs before it have ended, and have none. */
export type Looked = { place: number; n: number };
export const NOT_LOOKED: Looked = { place: 0, n: 0 };

/** Events of a page: one pass over the jobs finds this many. Where they are is kept until they are told, in some 30 KB. */
const PAGE = 1_000;

/** A job's log, read as far as it was told; `ahead`: an event that was read but not told yet. */
type Reading = { events: Iterator<JobEvent, void>; ahead: JobEvent | undefined };
/** By job. Streams interleave: each log is continued where it was left, instead of being opened again for each event. */
export type Readings = Map<number, Reading>;
/** Each holds a row of deltas: one for every job of a page at once would be too much. */
const READINGS = 16;

/**
 * The next events after a place, in order; each is read when it is taken. Events that are still to be told as they come (of new jobs that the coordinator
 * has not confirmed) are left out.
 */
export class Page {
  /** No event came after this page when it was made. */
  readonly last: boolean;
  /** No event can come before this page's end that is not in it, so the page stays valid. */
  readonly whole: boolean;
  /** For the next page. */
  readonly looked: Looked;
  readonly #deltas: boolean;
  readonly #spots: Spot[];
  #next = 0;

  /** `looked`: of an earlier page. */
  constructor(desk: Desk, after: number, deltas: boolean, looked: Looked) {
    this.#deltas = deltas;
    const { first, spots } = spotsAfter(desk, after, deltas, looked.place <= after ? looked.n : 0);
    this.looked = { place: after, n: first };
    this.#spots = spots;
    this.last = this.#spots.length < PAGE;
    const end = this.#spots.at(-1)?.place ?? after;
    this.whole = desk.order.safe(end) === end;
  }

  get over(): boolean {
    return this.#next === this.#spots.length;
  }

  /** Takes the next event, which is undefined if it was deleted meanwhile. `readings`: those of this turn. */
  take(desk: Desk, readings: Readings): { place: number; event: JobEvent | undefined } {
    const { n, place, seq } = this.#spots[this.#next++]!;
    const reading = readings.get(n) ?? this.#open(desk, n, seq);
    if (!readings.has(n) && readings.size === READINGS) readings.clear();
    readings.set(n, reading);
    const { ahead, events } = reading;
    let event = ahead ?? (events.next().value as JobEvent | undefined);
    while (event && event.seq < seq) event = events.next().value as JobEvent | undefined;
    reading.ahead = event?.seq === seq ? undefined : event;
    return { place, event: event?.seq === seq ? event : undefined };
  }

  #open(desk: Desk, n: number, seq: number): Reading {
    const row = desk.store.job(n);
    return { events: row ? replayed(desk, idOf(desk.address, row), row, seq - 1, this.#deltas) : [].values(), ahead: undefined };
  }
}

/** A page of events after a place, and the first job that may have any. `from`: no job before this one has any. */
function spotsAfter(desk: Desk, after: number, deltas: boolean, from: number): { first: number; spots: Spot[] } {
  if (after >= desk.order.last) return { first: from, spots: [] };
  let first: number | null = null;
  let spots: Spot[] = [];
  const cut = () => {
    spots = spots.sort((a, b) => a.place - b.place).slice(0, PAGE);
  };
  for (const row of desk.store.unsettled(after, from)) {
    first ??= row.n;
    // Jobs get their first places in the order in which they came: this job's events, and those of all later jobs, are beyond the page.
    if (row.place !== undefined && spots.length === PAGE && row.place > spots.at(-1)!.place) break;
    for (const spot of spotsOf(desk, row, after, deltas)) spots.push(spot);
    if (spots.length > 2 * PAGE) cut();
  }
  cut();
  return { first: first ?? from, spots };
}

function spotsOf(desk: Desk, row: JobRow, after: number, deltas: boolean): Spot[] {
  const { n } = row;
  const spots = entriesOf(row).flatMap(([seq, , , , place = 0]): Spot[] =>
    place > after && !desk.order.isAwaited(place) ? [{ place, n, seq }] : [],
  );
  if (!deltas) return spots;
  for (const { place, seq } of desk.store.deltas.places(n)) if (place > after) spots.push({ place, n, seq });
  return spots;
}
