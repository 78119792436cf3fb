/**
 * Calls that could not leave in time ask again (policy/leaving.ts). Law: it is as if they had been let go only now. So all calls of a message are given back
 * first: the pool's bucket has refilled since they were let go, but upstream's, which they have not reached, was full. Then those that still fit go, in order,
 * unless their pool has come to stand still, or an operator has paused them.
 * The others' jobs wait in line again, at their old places, as if they had not been dispatched.
 */
import { readiness, reserve, spentTwice, used } from "../../policy/budget.ts";
import { delayed } from "../../policy/placement.ts";
import type { Held, Word } from "../../schemas/rpc.ts";
import type { Book, Entry } from "./book.ts";
import { isRecalled } from "./condition/gate.ts";
import { sees, started } from "./limits.ts";
import { conclude, giveBack } from "./settle.ts";

/** How many times in a row a job is sent back to wait. Where all calls are late, its next one leaves without asking. */
const MOST = 3;

/** Not if it goes to see whether a limit still holds: nothing was left of that limit when it was let go. */
export function mayAsk(book: Book, entry: Entry): boolean {
  return entry.late < MOST && !sees(book, entry);
}

/** Answers in the order of `held`. A call that was told to go is told so again if it asks again: it may be under way. */
export function late(book: Book, dispatcher: string, held: readonly Held[], now: number, random: () => number): Word[] {
  const leases = held.map((each) => book.leaseOf(dispatcher, each));
  const backs = new Map<Entry, number>();
  for (const entry of leases)
    if (entry && entry.left !== entry.row.attempt && !backs.has(entry)) backs.set(entry, takeBack(book, entry, now));
  const words = new Map<Entry, Word>();
  for (const [entry, back] of backs) {
    if (goes(book, entry, back, now)) words.set(entry, "go");
    else {
      conclude(book, entry, { kind: "late" }, null, now, random());
      words.set(entry, "wait");
    }
  }
  return leases.map((entry) => (entry ? (words.get(entry) ?? "go") : "lost"));
}

/** Returns how many tokens came back: none for a call from before a restart, because how much of it has refilled is unknown. */
function takeBack(book: Book, entry: Entry, now: number): number {
  const { budget } = book.pools.get(entry.row.pool)!;
  const before = used(budget, "tpm", now);
  giveBack(book, entry, entry.reservation!, now);
  return before - used(budget, "tpm", now);
}

function goes(book: Book, entry: Entry, back: number, now: number): boolean {
  const { address, reservation, row } = entry;
  if (isRecalled(book, entry, now)) return false;
  const pool = book.pools.get(row.pool)!;
  const tenant = book.spending(address.tenant);
  if ([pool.budget, tenant].some((budget) => readiness(budget, row.tokens, now).at > now)) return false;
  reserve(tenant, row.tokens, now);
  entry.reservation = reserve(pool.budget, row.tokens, now);
  spentTwice(pool.budget, row.tokens - back);
  started(book, pool, row.tokens, now);
  delayed(book.fleet, row.dispatcher!, reservation!.at, now);
  entry.left = row.attempt;
  entry.lateMs = now - (reservation!.at ?? now);
  return true;
}
