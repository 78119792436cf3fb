/** What a decision and a waiting ticket cost, by how many wait. */
import { openBook } from "../../durable-objects/coordinator/book.ts";
import { enqueue } from "../../durable-objects/coordinator/enqueue.ts";
import { decide, record } from "../../durable-objects/coordinator/turn.ts";
import { readSettings } from "../../platform/settings.ts";
import { forgetful } from "./sluice.ts";

export type Cost = { queued: number; usPerStart: number; bytesPerTicket: number };

const TENANTS = 1_000;
/** A start each millisecond. */
const POOLS = { p: { rpm: 60_000, tpm: 600_000_000, burst_seconds: 1, ramp_tpm: null } };
const WARM_UP = 100;
const STARTS = 400;

export function costOf(queued: number): Cost {
  globalThis.gc?.();
  const before = process.memoryUsage().heapUsed;
  const store = forgetful();
  const book = openBook(readSettings({ SLUICE_POOLS: JSON.stringify(POOLS) }), store, 0);
  for (let tenant = 0; tenant < TENANTS; tenant++) {
    const tickets = Array.from({ length: queued / TENANTS }, (_, index) => ticket(tenant * (queued / TENANTS) + index));
    decide(
      book,
      0,
      () => 0.5,
      () => enqueue(book, { tenant: `t${tenant}`, channel: "c" }, tickets, 0),
    );
    record(book, store, 0);
  }
  globalThis.gc?.();
  const bytesPerTicket = (process.memoryUsage().heapUsed - before) / queued;
  // From when the burst is spent, a start is due each millisecond.
  let now = 2_000;
  const turns = (count: number) => {
    for (let turn = 0; turn < count; turn++, now++) {
      decide(
        book,
        now,
        () => 0.5,
        () => {},
      );
      record(book, store, now);
    }
  };
  turns(WARM_UP);
  const began = performance.now();
  turns(STARTS);
  return { queued, usPerStart: ((performance.now() - began) * 1_000) / STARTS, bytesPerTicket };
}

function ticket(n: number) {
  const job = `job_aaaaaaabbbbbbbbbcccccc${n.toString(36)}_Yw`;
  return { job, pool: "p", priority: 0, tokens: 5_000 + ((n * 7_919) % 10_000), acceptedAt: 0, notBefore: null, deadline: null };
}
