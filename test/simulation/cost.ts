/** What a start and a waiting ticket cost, depending on how many wait, and how soon an object that wakes with that many starts one. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Book } from "../../durable-objects/coordinator/book.ts";
import { enqueue } from "../../durable-objects/coordinator/enqueue.ts";
import { takeLetters } from "../../durable-objects/coordinator/letters.ts";
import { openBook } from "../../durable-objects/coordinator/opening.ts";
import { settle } from "../../durable-objects/coordinator/settle.ts";
import { CoordinatorStore } from "../../durable-objects/coordinator/store/store.ts";
import { decide, record } from "../../durable-objects/coordinator/turn.ts";
import { jobId } from "../../platform/ids.ts";
import { readSettings } from "../../platform/settings.ts";
import type { Lease } from "../../schemas/rpc.ts";
import { openStorage } from "./storage.ts";

/**
 * Times per start, µs. `choose`: finding whose turn it is, and which of its jobs; `decide`: everything done in memory, including the budget and what wakes from
 * its rest; `turn`: including what is written.
 */
export type Times = { choose: number; decide: number; turn: number };
/** `heapMb`: of everything that waits, tenants included. `wakeMs`: from the object's beginning to its first start. */
export type Cost = { queued: number; us: Times; heapMb: number; bytesPerTicket: number; wakeMs: number };

const TENANTS = 1_000;
/** One start every millisecond. */
const POOLS = { p: { rpm: 60_000, tpm: 600_000_000, burst_seconds: 0.01, transit_ms: 0, ramp_tpm: null } };
const SETTINGS = readSettings({ SLUICE_POOLS: JSON.stringify(POOLS) });
/** By then the burst is spent. */
const BEGIN_MS = 1_000;
const WARM_UP = 100;
/**
 * A part is the mean of this many starts, and the result is the median of `PARTS` parts, because other work on the machine is not ours. If fewer wait, it takes
 * several objects.
 */
const TOGETHER = 300;
const PARTS = 40;
/** When this many run, they all end. */
const ENDED_AFTER = 100;
/** Tickets per message, as a mailbox sends them. Each tenant begins with a smaller one, or all would wake what rests at the same time. */
const MESSAGE = 32;

/** @param queued at least a thousand: they are spread over that many tenants. */
export function costOf(queued: number): Cost {
  const parts: Times[] = [];
  let last: Omit<Cost, "us" | "queued">;
  do {
    last = measure(queued, parts);
  } while (parts.length < PARTS);
  const median = (of: keyof Times) => parts.map((part) => part[of]).sort((a, b) => a - b)[parts.length >> 1]!;
  return { queued, us: { choose: median("choose"), decide: median("decide"), turn: median("turn") }, ...last };
}

function measure(queued: number, parts: Times[]): Omit<Cost, "us" | "queued"> {
  const directory = mkdtempSync(join(tmpdir(), "cost-"));
  const storage = openStorage(join(directory, "coordinator"));
  try {
    const before = heapUsed();
    const desk = new CostDesk(storage);
    desk.fill(queued / TENANTS);
    const heap = heapUsed() - before;
    desk.now = BEGIN_MS;
    desk.starts(WARM_UP);
    const most = Math.min(PARTS, Math.floor((queued * 0.9 - WARM_UP) / TOGETHER));
    for (let part = 0; part < most; part++) parts.push(desk.starts(TOGETHER));
    return { heapMb: heap / 2 ** 20, bytesPerTicket: heap / queued, wakeMs: desk.wake() };
  } finally {
    storage.close();
    rmSync(directory, { recursive: true });
  }
}

class CostDesk {
  now = 0;
  readonly #storage: ReturnType<typeof openStorage>;
  #store!: CoordinatorStore;
  #book!: Book;
  #running: [dispatcher: string, lease: Lease][] = [];
  #chooseMs = 0;
  #decideMs = 0;
  #turnMs = 0;

  constructor(storage: ReturnType<typeof openStorage>) {
    this.#storage = storage;
    this.#open();
  }

  fill(each: number): void {
    for (let tenant = 0; tenant < TENANTS; tenant++) {
      const address = { tenant: `t${tenant}`, channel: "c" };
      const tickets = Array.from({ length: each }, (_, index) => ticket(address.tenant, index));
      for (let from = 0, size = 1 + (tenant % MESSAGE); from < each; from += size, size = MESSAGE)
        this.#turn(() => enqueue(this.#book, address, tickets.slice(from, from + size), this.now));
    }
  }

  /** This many turns, each of which starts one job. */
  starts(count: number): Times {
    [this.#chooseMs, this.#decideMs, this.#turnMs] = [0, 0, 0];
    let started = 0;
    for (let turn = 0; turn < count; turn++) {
      this.now++;
      started += this.#turn(() => {});
      if (this.#running.length >= ENDED_AFTER) this.#end();
    }
    const us = (ms: number) => (ms * 1_000) / started;
    return { choose: us(this.#chooseMs), decide: us(this.#decideMs), turn: us(this.#turnMs) };
  }

  /** ms */
  wake(): number {
    this.#running = [];
    this.now += 60_000;
    const began = performance.now();
    this.#open();
    if (this.#turn(() => {}) === 0) throw new Error("nothing was started");
    return performance.now() - began;
  }

  #open(): void {
    this.#store = new CoordinatorStore(this.#storage.open());
    this.#book = openBook(SETTINGS, this.#store, this.now);
    this.#watchOrder();
  }

  /** Times how long the order takes to choose, without what it asks the budget. */
  #watchOrder(): void {
    const { order } = this.#book.pools.get("p")!;
    const next = order.next.bind(order);
    order.next = (gate) => {
      let asked = 0;
      const { starts } = gate;
      gate.starts = (waiting, ahead) => {
        const began = performance.now();
        const answer = starts.call(gate, waiting, ahead);
        asked += performance.now() - began;
        return answer;
      };
      const began = performance.now();
      const chosen = next(gate);
      gate.starts = starts;
      this.#chooseMs += performance.now() - began - asked;
      return chosen;
    };
  }

  /** Returns how many it started. */
  #turn(step: () => unknown): number {
    const began = performance.now();
    decide(this.#book, this.now, () => 0.5, step);
    this.#decideMs += performance.now() - began;
    record(this.#book, this.#store, this.now);
    this.#book.nextWake();
    this.#turnMs += performance.now() - began;
    const before = this.#running.length;
    const { ahead, starts } = takeLetters(this.#book);
    for (const letters of [ahead, starts])
      for (const [dispatcher, leases] of letters) for (const lease of leases) this.#running.push([dispatcher, lease]);
    return this.#running.length - before;
  }

  /** Ends all running calls, in a turn that is not timed. */
  #end(): void {
    const times = [this.#chooseMs, this.#decideMs, this.#turnMs] as const;
    const byDispatcher = Map.groupBy(this.#running, ([dispatcher]) => dispatcher);
    this.#running = [];
    this.#turn(() => {
      for (const [dispatcher, leases] of byDispatcher) {
        const outcome = { kind: "committed" as const, usage: null };
        const settlements = leases.map(([, { attempt, job }]) => ({ job, attempt, outcome, headersMs: 300 }));
        settle(this.#book, { dispatcher, boot: "b", settlements }, this.now, () => 0.5);
      }
    });
    [this.#chooseMs, this.#decideMs, this.#turnMs] = times;
  }
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
