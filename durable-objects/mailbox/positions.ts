/**
 * The place of a waiting job, told to those who follow it. Law: a place is an event as any other, written before it is sent; what comes late, twice or
 * for a job that nobody watches is no event.
 */
import { isEnd } from "../../policy/lifecycle.ts";
import { worthTelling } from "../../policy/position.ts";
import type { Move, Place } from "../../schemas/rpc.ts";
import { find, note } from "./attempts.ts";
import type { Desk } from "./desk.ts";
import { saysRunningAfter, toldPosition } from "./log.ts";

/**
 * The coordinator found jobs further ahead. Answers with those of which it need not speak again. `announced`: whether a job's first event has been told;
 * no other may go before it.
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

/** A place that came with an answer of the coordinator's. */
export function tellPlace(desk: Desk, job: string, { attempt, eta, position, state }: Place): void {
  if (state === "waiting" && position !== null && eta && attempt !== undefined) tell(desk, { job, attempt, position, eta });
}

function tell(desk: Desk, { attempt, eta, job, position }: Move): void {
  const row = find(desk, job);
  if (row?.status !== "queued" || !desk.followers.watched(row.n)) return;
  // It has begun since: where it stood before is no news.
  if ((desk.running.get(row.n)?.attempt ?? 0) > attempt || saysRunningAfter(row, attempt)) return;
  if (worthTelling(position, toldPosition(row))) note(desk, row, "position", { position, eta });
}
