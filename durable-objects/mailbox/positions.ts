/**
 * The position of a waiting job, told to its followers. Law: a position is an event like any other, written before it is sent; one that comes late, twice
 * or for a job that nobody watches is not an event.
 */
import { isEnd } from "../../policy/lifecycle.ts";
import { worthTelling } from "../../policy/position.ts";
import type { Move, Place } from "../../schemas/rpc.ts";
import { find, note } from "./attempts.ts";
import type { Desk } from "./desk.ts";
import { saysRunningAfter, toldPosition } from "./log.ts";

/**
 * The coordinator found that jobs moved forward. Returns those that it need not report again. `announced`: whether a job's first event has been told; no
 * other may go before it.
 */
export async function moved(desk: Desk, moves: Move[], announced: (n: number) => Promise<boolean>): Promise<string[]> {
  const unwatched = await Promise.all(
    moves.map(async (move) => {
      const row = find(desk, move.job);
      if (!row || isEnd(row.status) || !desk.followers.watched(row.n)) return [move.job];
      if (await announced(row.n)) tell(desk, move);
      return [];
    }),
  );
  return unwatched.flat();
}

/** Tells a position that came with one of the coordinator's answers. */
export function tellPlace(desk: Desk, job: string, { attempt, eta, position, state }: Place): void {
  if (state === "waiting" && position !== null && eta && attempt !== undefined) tell(desk, { job, attempt, position, eta });
}

function tell(desk: Desk, { attempt, eta, job, position }: Move): void {
  const row = find(desk, job);
  if (row?.status !== "queued" || !desk.followers.watched(row.n)) return;
  // It has begun since: its earlier position is no longer news.
  if ((desk.running.get(row.n)?.attempt ?? 0) > attempt || saysRunningAfter(row, attempt)) return;
  if (worthTelling(position, toldPosition(row))) note(desk, row, "position", { position, eta });
}
