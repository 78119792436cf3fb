/** What a turn has to tell others, by whom it is for. */
import type { Held, Lease, Move, Verdict } from "../../schemas/rpc.ts";
import type { Book } from "./book.ts";

export type Letters = {
  /** Leases of tickets that came in this very turn: sent before its commit, for their mailbox awaits it. */
  ahead: Map<string, Lease[]>;
  starts: Map<string, Lease[]>;
  verdicts: Map<number, Verdict[]>;
  moves: Map<number, Move[]>;
  aborts: Map<string, string[]>;
  /** Leases of which a dispatcher is asked whether it holds them. */
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

/** All that is to be sent. From now on it is collected anew; what is empty, as most of it is in most turns, goes on. */
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
