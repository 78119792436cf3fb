/** What the book holds in memory: tickets, the pools that they wait for, and the tenants whose they are. */
import type { Budget, Reservation } from "../../policy/budget.ts";
import type { LedgerRecord } from "../../policy/ledger.ts";
import type { Order } from "../../policy/order.ts";
import type { Waiting } from "../../policy/queue.ts";
import type { MailboxAddress, Outcome } from "../../schemas/rpc.ts";
import type { Expectations } from "./expectations.ts";
import type { Segment } from "./segments.ts";
import type { PoolRecord, TicketRow } from "./store/store.ts";
import type { Refusals } from "./waiting.ts";

export type Entry = {
  readonly row: TicketRow;
  readonly address: MailboxAddress;
  /** Its lane in the order of its pool. */
  readonly flow: string;
  waiting: Waiting | null;
  /** Where it is written, while it shares a row. */
  place: { segment: Segment; index: number } | null;
  reservation: Reservation | null;
  leasedAt: number;
  expiresAt: number;
  /** The dispatcher's incarnation that took the lease; null until it said so. */
  boot: string | null;
  /** When its call last said that the pool's calls cannot succeed, ms. */
  refusedAt: number | null;
  /** How often its calls were refused for want of room since one was taken, and when last, ms. */
  refusals: Refusals;
  /** Its lease: let go on its pool's credit, or not, or counted already as taken. */
  credit: "none" | "risked" | "counted";
  /** How often its call took too long. */
  tooLong: number;
  /** How often in a row its call came too late to leave. */
  late: number;
  /** The attempt whose call was late and was told to leave, 0 if none was. */
  left: number;
  /** How long after it was let go that call asked whether it may still leave, ms. */
  lateMs: number;
  /** Where it stepped back behind the next probe of its pool, or was told to wait: to when, ms. */
  backAt: number | null;
  /** Where it stands in the book's heaps; -1 where it does not. */
  readonly slots: { delayed: number; deadlines: number; aside: number };
};

export type Pool = {
  readonly id: string;
  readonly budget: Budget;
  /** With the greatest limits that the operator lets it have now. */
  readonly bound: Budget;
  /** The same, or as they are configured where that is more: what does not fit this, never will. */
  readonly greatest: Budget;
  readonly order: Order;
  record: PoolRecord | null;
  /** Whether that runs ahead of what was spent. */
  runsAhead: boolean;
  /** When the head of the order can start; Infinity if only an event can tell. */
  wakeAt: number;
  /** Reserved tokens of all that wait in the order. */
  waitingTokens: number;
  /** Jobs that ever left the order. */
  departed: number;
  /** Mean length of a call, ms. */
  callMs: number;
  readonly expectations: Expectations;
  /** Calls that have ended since the object woke, by how. */
  readonly ended: Map<Outcome["kind"], number>;
};

/** `record`: what of its budget is written. */
export type TenantDesk = {
  readonly name: string;
  /** Of its live work, and of its batches. */
  readonly flows: readonly [live: string, batches: string];
  budget: Budget;
  record: LedgerRecord | null;
  queued: number;
  maxQueued: number | null;
  weight: number;
  /** When what keeps its jobs may let them go, ms; Infinity if only an event can tell. */
  wakeAt: number;
  /** Where it stands among those that wake; -1 where it does not. */
  slot: number;
};
