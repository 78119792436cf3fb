/** What the book holds in memory: tickets, the pools they wait for, and the tenants they belong to. */
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
  /** Its place in a segment, while it shares a row. */
  place: { segment: Segment; index: number } | null;
  reservation: Reservation | null;
  leasedAt: number;
  expiresAt: number;
  /** The dispatcher's incarnation that took the lease; null until it says so. */
  boot: string | null;
  /** When one of its calls last reported that the pool's calls cannot succeed, ms. */
  refusedAt: number | null;
  /** How often its calls were refused for lack of room since one was taken, and when last, ms. */
  refusals: Refusals;
  /** Whether its lease was dispatched on the pool's credit (`risked`) or not, or is already counted as taken. */
  credit: "none" | "risked" | "counted";
  /** How many of its calls took too long. */
  tooLong: number;
  /** How often in a row its call was too late to leave. */
  late: number;
  /** The attempt whose late call was told to go; 0 if none was. */
  left: number;
  /** How long after its dispatch that call asked whether it may still go, ms. */
  lateMs: number;
  /** When it comes back, ms, if it stepped back behind its pool's next probe or was told to wait. */
  backAt: number | null;
  /** Its places in the book's heaps; -1 where it has none. */
  readonly slots: { delayed: number; deadlines: number; aside: number };
};

export type Pool = {
  readonly id: string;
  readonly budget: Budget;
  /** With the greatest limits that the operator allows now. */
  readonly bound: Budget;
  /** The same, or as configured where that is more: what does not fit this never will. */
  readonly greatest: Budget;
  readonly order: Order;
  record: PoolRecord | null;
  /** Whether `record` runs ahead of what was spent. */
  runsAhead: boolean;
  /** When the head of the order can start; Infinity if only an event can tell. */
  wakeAt: number;
  /** Reserved tokens of all jobs that wait in the order. */
  waitingTokens: number;
  /** Jobs that have ever left the order. */
  departed: number;
  /** Mean length of a call, ms. */
  callMs: number;
  readonly expectations: Expectations;
  /** Calls that have ended since the object woke, by outcome. */
  readonly ended: Map<Outcome["kind"], number>;
};

/** `record`: what is written of its budget. */
export type TenantDesk = {
  readonly name: string;
  /** Of its live work, and of its batches. */
  readonly flows: readonly [live: string, batches: string];
  budget: Budget;
  record: LedgerRecord | null;
  queued: number;
  maxQueued: number | null;
  weight: number;
  /** When whatever holds its jobs may let them go, ms; Infinity if only an event can tell. */
  wakeAt: number;
  /** Its place among the tenants to wake; -1 if it has none. */
  slot: number;
};
