/**
 * The webhook receivers that have events ahead: whose turn it is, and for how many requests there is room. Law: hosts take turns, and one that is slow,
 * or of which nothing is known, never holds up one that is quick. However many have events ahead, a turn costs no look at the others.
 */
import { RankedHeap } from "../heap.ts";

/** Requests under way: of the six that may wait for headers in one object, two stay free. */
export const WIDTH = 4;
/** Of these, to one host: one that turns slow leaves room for the others. One that did not answer in time last time gets one request at a time. */
const WIDTH_PER_HOST = 2;
/** To all slow hosts together; and how many a new host leaves free before it takes a second. */
const WIDTH_SLOW = 2;
/** To slow and new hosts together: a quick one need not wait for them. */
const WIDTH_UNPROVEN = 3;
/** Hosts whose pace is remembered, at most. */
const PACES_LIMIT = 4_000;

export type Pace = "quick" | "slow";
/** A host is to be sent `room` requests, besides the `here` that are under way to it. */
export type Turn = { host: string; here: number; room: number };
/** Like a pace; `new`: nothing is known of the host. */
type Kind = Pace | "new";
/** `at`: when the first of its events that are not under way is due (ms). */
type Receiver = { host: string; at: number; place: number };

export class Receivers {
  readonly #receivers = new Map<string, Receiver>();
  /** Those with nothing due yet, the next one first. */
  readonly #ahead = new RankedHeap<Receiver>(
    ({ at }) => at,
    ({ place }) => place,
    (receiver, place) => {
      receiver.place = place;
    },
  );
  /** Those with something due, by kind, each with the number of its turn; the next one first. */
  readonly #due: Record<Kind, Map<string, number>> = { quick: new Map(), new: new Map(), slow: new Map() };
  #turns = 0;
  /** Requests under way to each host. */
  readonly #underway = new Map<string, number>();
  /** How each host answered last time, the longest ago first. Lost with the object, and found out again. */
  readonly #pace = new Map<string, Pace>();

  /** An event is due at `at` (ms), besides those already known. */
  expect(host: string, at: number): void {
    this.set(host, Math.min(at, this.#receivers.get(host)?.at ?? at));
  }

  /** When the next event is due (ms), null if there is none. */
  set(host: string, at: number | null): void {
    const known = this.#receivers.get(host);
    if (known) this.#ahead.remove(known);
    if (at === null) {
      this.#receivers.delete(host);
      this.#due[this.#kind(host)].delete(host);
      return;
    }
    const receiver = known ?? { host, at, place: -1 };
    this.#receivers.set(host, receiver);
    receiver.at = at;
    // A host in `#due` is asked what is due when its turn comes.
    if (!this.#due[this.#kind(host)].has(host)) this.#ahead.place(receiver);
  }

  /** Whose turn it is at `now` (ms); null if it is nobody's. The caller must then `set` when that host's next event is due. */
  pick(now: number): Turn | null {
    this.#ripen(now);
    const kinds = (Object.keys(this.#due) as Kind[]).filter((kind) => this.#roomOf(kind) > 0);
    for (;;) {
      const next = kinds.flatMap((kind) => this.#first(kind) ?? []).sort((a, b) => a.turn - b.turn)[0];
      if (!next) return null;
      const { host, kind } = next;
      this.#due[kind].delete(host);
      const here = this.#underway.get(host) ?? 0;
      const room = Math.min(this.#roomOf(kind), this.#wide(kind, here));
      // Otherwise it comes back when a request to it is over.
      if (room > 0) return { host, here, room };
    }
  }

  /** A request is under way. */
  began(host: string): void {
    this.#underway.set(host, (this.#underway.get(host) ?? 0) + 1);
  }

  /** One is over. `pace`: how it was answered, null if that says nothing. The caller must then `set` when the host's next event is due. */
  ended(host: string, pace: Pace | null): void {
    const here = this.#underway.get(host)! - 1;
    if (here > 0) this.#underway.set(host, here);
    else this.#underway.delete(host);
    if (!pace) return;
    this.#due[this.#kind(host)].delete(host);
    this.#pace.delete(host);
    this.#pace.set(host, pace);
    const [longest] = this.#pace.keys();
    if (this.#pace.size > PACES_LIMIT) this.#forget(longest!);
  }

  /** When the next event that is not due yet will be (ms); Infinity if there is none. */
  get next(): number {
    return this.#ahead.peek()?.at ?? Number.POSITIVE_INFINITY;
  }

  /** Whether a request is under way, or waits for its turn. */
  get busy(): boolean {
    return this.#underway.size > 0 || Object.values(this.#due).some((each) => each.size > 0);
  }

  get #free(): number {
    let free = WIDTH;
    for (const many of this.#underway.values()) free -= many;
    return free;
  }

  #ripen(now: number): void {
    for (let next = this.#ahead.peek(); next && next.at <= now; next = this.#ahead.peek()) {
      this.#ahead.pop();
      this.#due[this.#kind(next.host)].set(next.host, this.#turns++);
    }
  }

  #forget(host: string): void {
    const turn = this.#due[this.#kind(host)].get(host);
    this.#due[this.#kind(host)].delete(host);
    this.#pace.delete(host);
    if (turn !== undefined) this.#due.new.set(host, turn);
  }

  #first(kind: Kind): { host: string; kind: Kind; turn: number } | null {
    for (const [host, turn] of this.#due[kind]) return { host, kind, turn };
    return null;
  }

  #kind(host: string): Kind {
    return this.#pace.get(host) ?? "new";
  }

  /** For how many requests to hosts of a kind there is room. */
  #roomOf(kind: Kind): number {
    const free = this.#free;
    if (kind === "quick") return free;
    let [slow, unproven] = [0, 0];
    for (const [host, many] of this.#underway) {
      if (this.#kind(host) === "slow") slow += many;
      if (this.#kind(host) !== "quick") unproven += many;
    }
    return Math.min(free, WIDTH_UNPROVEN - unproven, kind === "slow" ? WIDTH_SLOW - slow : free);
  }

  /** How many more one host may have. */
  #wide(kind: Kind, here: number): number {
    if (kind === "quick") return WIDTH_PER_HOST - here;
    return kind === "slow" ? 1 - here : Math.max(1 - here, this.#free - WIDTH_SLOW);
  }
}
