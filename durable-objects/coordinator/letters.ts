/** What a turn has to tell others, by recipient. */
import type { Held, Lease, Move, Verdict } from "../../schemas/rpc.ts";
import type { Book } from "./book.ts";

export type Letters = {
  /** Leases of tickets that came in this very turn: sent before its commit, since their mailbox waits for that anyway. */
  ahead: Map<string, Lease[]>;
  starts: Map<string, Lease[]>;
  verdicts: Map<number, Verdict[]>;
  moves: Map<number, Move[]>;
  aborts: Map<string, string[]>;
  /** Leases that a dispatcher is asked whether it still holds. */
  asks: Map<string, Held[]>;
};

export const noLetters = (): Letters => ({
  ahead: new Map(),
  starts: new Map(),
  verdicts: new Map(),
  moves: new Map(),
  aborts: new Map(),
  asks: new Map(),
});

/** Takes everything that is to be sent, and starts collecting anew. Empty maps, as most are in most turns, are reused. */
export function takeLetters(book: Book): Readonly<Letters> {
  const { letters } = book;
  const { aborts, ahead, asks, moves, starts, verdicts } = letters;
  book.letters = {
    ahead: emptied(ahead),
    starts: emptied(starts),
    verdicts: emptied(verdicts),
    moves: emptied(moves),
    aborts: emptied(aborts),
    asks: emptied(asks),
  };
  return letters;
}

function emptied<K, V>(map: Map<K, V>): Map<K, V> {
  return map.size === 0 ? map : new Map();
}
