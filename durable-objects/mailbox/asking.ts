/**
 * What a lobby asks other mailboxes at once, and how much their answers may carry. Law: all answers together have a bound, whoever asks whom; a question
 * waits its turn behind others of its socket and to its mailbox. Where no room is left, it is asked anyway and answered with little, so that mailboxes
 * that do not answer take no room from others: the rest is read a page at a time.
 */
import { NoAnswer } from "../../platform/objects.ts";

/** Characters of all answers under way, plus one event for each: a part of an object's memory. */
const ROOM = 16_000_000;
/** One answer gets at most this share of the room left, so that a dozen at once each get a useful amount. */
const SHARE = 0.25;
/** If the share is smaller than this (characters), an answer gets its `least` instead. */
const LEAST = 64_000;
/** Questions under way for one socket, and of each kind to one mailbox. */
const ABREAST = 8;
/** For all sockets together: each is a call with all the jobs it names. A sixteenth as many mailboxes would have to hang at once to hold up others. */
const ALL_ABREAST = 128;

/** Characters that an answer may have: `most`, and `least` where no room is left. */
export type Carries = { most: number; least: number };

export class Asking {
  readonly #gates = new Map<string, Gate>();
  readonly #all = new Gate(ALL_ABREAST);
  #free = ROOM;

  /**
   * `ways`: the gates that the question passes, each with a bound of its own; the last is its mailbox's.
   * @throws what the question throws, or NoAnswer if another that it waited behind was not answered in time.
   */
  async ask<T>(ways: string[], carries: Carries, question: (room: number) => Promise<T>): Promise<T> {
    const passed: [string, Gate][] = [];
    try {
      for (const way of ways) {
        const gate = this.#gates.get(way) ?? new Gate(ABREAST);
        this.#gates.set(way, gate);
        await gate.enter();
        passed.push([way, gate]);
      }
      return await this.#put(carries, question, passed.at(-1)?.[1]);
    } finally {
      for (const [way, gate] of passed) {
        gate.leave();
        if (gate.idle && this.#gates.get(way) === gate) this.#gates.delete(way);
      }
    }
  }

  async #put<T>({ least, most }: Carries, question: (room: number) => Promise<T>, last: Gate | undefined): Promise<T> {
    await this.#all.enter();
    const share = Math.floor(Math.min(most, this.#free * SHARE));
    const room = share < LEAST ? least : share;
    this.#free -= room;
    try {
      return await question(room);
    } catch (error) {
      if (error instanceof NoAnswer) last?.fail(error);
      throw error;
    } finally {
      this.#free += room;
      this.#all.leave();
    }
  }
}

type Turn = { begin: () => void; fail: (error: unknown) => void };

/** Lets `limit` through at once; later ones wait for their turn. */
class Gate {
  #free: number;
  readonly #limit: number;
  readonly #waiting: Turn[] = [];

  constructor(limit: number) {
    this.#limit = limit;
    this.#free = limit;
  }

  get idle(): boolean {
    return this.#free === this.#limit && this.#waiting.length === 0;
  }

  async enter(): Promise<void> {
    if (this.#free > 0) {
      this.#free--;
      return;
    }
    await new Promise<void>((begin, fail) => this.#waiting.push({ begin, fail }));
  }

  leave(): void {
    const next = this.#waiting.shift();
    if (next) next.begin();
    else this.#free++;
  }

  /** One was not answered in time: those behind it would wait at least as long, and fail now. */
  fail(error: unknown): void {
    for (const { fail } of this.#waiting.splice(0)) fail(error);
  }
}
