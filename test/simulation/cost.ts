/** What a decision and a waiting ticket cost, by how many wait; and how soon an object that wakes with so many starts one. */
import { type Book, noLetters } from "../../durable-objects/coordinator/book.ts";
import { enqueue } from "../../durable-objects/coordinator/enqueue.ts";
import { openBook } from "../../durable-objects/coordinator/opening.ts";
import { CoordinatorStore } from "../../durable-objects/coordinator/store/store.ts";
import { decide, record } from "../../durable-objects/coordinator/turn.ts";
import { jobId } from "../../platform/ids.ts";
import { readSettings } from "../../platform/settings.ts";
import { openStorage } from "./storage.ts";

/** `heapMb`: of all that wait, tenants included. `wakeMs`: from the object's beginning to its first start. */
export type Cost = { queued: number; usPerStart: number; heapMb: number; bytesPerTicket: number; wakeMs: number };

const TENANTS = 1_000;
/** A start each millisecond. */
const POOLS = { p: { rpm: 60_000, tpm: 600_000_000, burst_seconds: 1, ramp_tpm: null } };
const SETTINGS = readSettings({ SLUICE_POOLS: JSON.stringify(POOLS) });
const WARM_UP = 100;
const STARTS = 400;

/** @param queued at least a thousand: they are spread over as many tenants. */
export function costOf(queued: number): Cost {
  const storage = openStorage();
  const open = (now: number) => {
    const store = new CoordinatorStore(storage.open());
    return { store, book: openBook(SETTINGS, store, now) };
  };
  const before = heapUsed();
  let { book, store } = open(0);
  for (let tenant = 0; tenant < TENANTS; tenant++) {
    const address = { tenant: `t${tenant}`, channel: "c" };
    const tickets = Array.from({ length: queued / TENANTS }, (_, index) => ticket(address.tenant, index));
    turn(book, store, 0, () => enqueue(book, address, tickets, 0));
  }
  const heap = heapUsed() - before;
  // From when the burst is spent, a start is due each millisecond.
  let now = 2_000;
  const turns = (count: number) => {
    for (let each = 0; each < count; each++, now++) turn(book, store, now, () => {});
  };
  turns(WARM_UP);
  const began = performance.now();
  turns(STARTS);
  const usPerStart = ((performance.now() - began) * 1_000) / STARTS;
  const wakeMs = wake(() => {
    // What the dispatchers hold by then, what is spent: as it was written.
    now += 60_000;
    ({ book, store } = open(now));
    return turn(book, store, now, () => {});
  });
  return { queued, usPerStart, heapMb: heap / 2 ** 20, bytesPerTicket: heap / queued, wakeMs };
}

/** One turn; answers how many it started. */
function turn(book: Book, store: CoordinatorStore, now: number, step: () => unknown): number {
  decide(book, now, () => 0.5, step);
  record(book, store, now);
  const started = [...book.letters.starts.values()].reduce((sum, leases) => sum + leases.length, 0);
  book.letters = noLetters();
  return started;
}

function wake(start: () => number): number {
  const began = performance.now();
  if (start() === 0) throw new Error("nothing was started");
  return performance.now() - began;
}

function heapUsed(): number {
  globalThis.gc?.();
  return process.memoryUsage().heapUsed;
}

function ticket(tenant: string, number: number) {
  const job = jobId(tenant, { channel: "c", number, nonce: "cccccc", at: 1_700_000_000_000 });
  const tokens = 5_000 + ((number * 7_919) % 10_000);
  return { job, pool: "p", priority: 0, tokens, acceptedAt: 0, notBefore: null, deadline: null };
}
