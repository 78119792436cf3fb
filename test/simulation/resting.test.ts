/** Resting tickets: whatever asks for one by name, by time or by limit finds it. The coordinator's own code on Node's SQLite. */
import { describe, expect, it, vi } from "vitest";
import type { Book } from "../../durable-objects/coordinator/book.ts";
import { cancel } from "../../durable-objects/coordinator/cancel.ts";
import { answers, enqueue } from "../../durable-objects/coordinator/enqueue.ts";
import { inspect, locate, placeOf } from "../../durable-objects/coordinator/inspect.ts";
import { noLetters } from "../../durable-objects/coordinator/letters.ts";
import { openBook } from "../../durable-objects/coordinator/opening.ts";
import { settle } from "../../durable-objects/coordinator/settle.ts";
import { CoordinatorStore } from "../../durable-objects/coordinator/store/store.ts";
import { decide, record } from "../../durable-objects/coordinator/turn.ts";
import { watch } from "../../durable-objects/coordinator/watching.ts";
import { standingOf } from "../../durable-objects/coordinator/why.ts";
import { jobId } from "../../platform/ids.ts";
import { readSettings } from "../../platform/settings.ts";
import type { Ticket, Unlined } from "../../schemas/rpc.ts";
import { openStorage } from "./storage.ts";

const COMMITTED = { kind: "committed" as const, usage: null };
const AWAKE = 40;
const START = 1_000_000;
const id = (number: number, tenant = "a", channel = "c") => jobId(tenant, { channel, number, nonce: "000000", at: START });
const ticket = (number: number, more: Partial<Ticket> = {}): Ticket => ({
  ...{ job: id(number), pool: "p", priority: 0, tokens: 1_000, acceptedAt: START + number, notBefore: null, deadline: null },
  ...more,
});

/** A coordinator without its shell: one start a second, the first one at once. */
function desk(pool: object = { rpm: 60, tpm: 600_000, burst_seconds: 1, transit_ms: 0 }) {
  const storage = openStorage();
  const settings = readSettings({ SLUICE_POOLS: JSON.stringify({ p: pool }) });
  const open = () => {
    const store = new CoordinatorStore(storage.open());
    const book = openBook(settings, store, state.now);
    book.resting.awakeMost = AWAKE;
    return { store, book };
  };
  const state = { now: START };
  let { book, store } = open();
  const started: string[] = [];
  const ended: string[] = [];
  /** Everything that runs has ended by the next turn. */
  const settleAll = (now: number) => {
    for (const [dispatcher, held] of book.leased) {
      const settlements = [...held.values()].map(({ row }) => ({
        job: row.job,
        attempt: row.attempt,
        outcome: COMMITTED,
        headersMs: null,
      }));
      settle(book, { dispatcher, boot: "b", settlements }, now, () => 0.5);
    }
  };
  const turn = <T>(step: (book: Book, now: number) => T): T => {
    const both = (now: number) => {
      settleAll(now);
      return step(book, now);
    };
    const result = decide(book, state.now, () => 0.5, both);
    record(book, store, state.now);
    for (const letters of [book.letters.ahead, book.letters.starts])
      for (const leases of letters.values()) started.push(...leases.map(({ job }) => job));
    for (const verdicts of book.letters.verdicts.values()) ended.push(...verdicts.map(({ job, kind }) => `${job} ${kind}`));
    book.letters = noLetters();
    return result;
  };
  const send = (tickets: Ticket[], tenant = "a") => {
    const problems = turn((book, now) => enqueue(book, { tenant, channel: "c" }, tickets, now));
    return answers(book, { tenant, channel: "c" }, tickets, problems, state.now);
  };
  return {
    state,
    started,
    ended,
    turn,
    send,
    /** 300 jobs of one tenant, most of which rest. */
    fill(more: (number: number) => Partial<Ticket> = () => ({})) {
      send(Array.from({ length: 300 }, (_, index) => ticket(index + 1, more(index + 1))));
      turn(() => {});
    },
    advance(seconds: number) {
      for (let second = 0; second < seconds; second++) {
        state.now += 1_000;
        turn(() => {});
      }
    },
    restart() {
      ({ book, store } = open());
    },
    resting: () => [...book.resting.runs].reduce((sum, { size }) => sum + size, 0),
    awake: () => book.awake,
    stored: () => {
      const count = (table: string) => storage.open().first<{ n: number }>(`SELECT count(*) AS n FROM ${table}`)!.n;
      return { tickets: count("tickets"), segments: count("segments"), resting: count("resting") };
    },
    locate: (numbers: number[], unlined?: Unlined) =>
      locate(
        book,
        numbers.map((number) => id(number)),
        unlined,
        state.now,
      ),
    place: (number: number) => placeOf(book, id(number), state.now),
    why: (number: number) => standingOf(book, id(number), state.now),
    queue: () => inspect(book, state.now).pools[0]!,
    get book() {
      return book;
    },
  };
}

describe("when more wait than may be awake", () => {
  it("the far ones rest, and all start in their order", () => {
    const { advance, fill, queue, resting, started, stored } = desk();
    fill();
    expect(resting()).toBeGreaterThan(200);
    expect(queue()).toMatchObject({
      depth: 299,
      in_flight: 0,
      priorities: [{ priority: 0, depth: 299 }],
      tenants: [{ id: "a", depth: 299 }],
    });
    advance(299);
    expect(started).toEqual(Array.from({ length: 300 }, (_, index) => id(index + 1)));
    expect(resting()).toBe(0);
    expect(stored()).toMatchObject({ segments: 0, resting: 0 });
  });

  it("who asks for each of them by name is told its place, and keeps none of them awake", () => {
    const { advance, awake, fill, locate, started, stored } = desk();
    fill();
    const before = { awake: awake(), stored: stored() };
    expect(before.awake).toBeLessThanOrEqual(AWAKE);
    const numbers = Array.from({ length: 299 }, (_, index) => index + 2);
    expect(locate(numbers).map((place) => place?.position)).toEqual(Array.from({ length: 299 }, (_, index) => index + 1));
    expect(awake()).toBeLessThanOrEqual(AWAKE);
    expect(stored()).toEqual(before.stored);
    advance(299);
    expect(started).toEqual(Array.from({ length: 300 }, (_, index) => id(index + 1)));
  });

  it("who asks for those of them that run, or are scheduled, wakes none", () => {
    const { advance, book, fill, locate } = desk();
    fill((number) => (number === 7 ? { notBefore: START + 60_000 } : {}));
    advance(1);
    const wakes = vi.spyOn(book.resting, "find");
    const numbers = Array.from({ length: 300 }, (_, index) => index + 1);
    const found = (unlined: Unlined) => locate(numbers, unlined).flatMap((place, index) => (place ? [[index + 1, place.state]] : []));
    expect(found("running")).toEqual([[2, "running"]]);
    expect(found("scheduled")).toEqual([[7, "scheduled"]]);
    expect(wakes).not.toHaveBeenCalled();
  });

  it("those that came one by one are joined, and rest as well", () => {
    const { advance, resting, send, started, stored } = desk();
    for (let number = 1; number <= 300; number++) send([ticket(number)]);
    expect(resting()).toBeGreaterThan(190);
    expect(stored().tickets).toBeLessThan(110);
    advance(299);
    expect(started).toEqual(Array.from({ length: 300 }, (_, index) => id(index + 1)));
  });

  it("after a restart they rest still, and go on from there", () => {
    const { advance, fill, queue, restart, resting, started, why } = desk();
    fill();
    advance(100);
    const counted = () => {
      const { depth, oldest_wait_seconds, priorities, tenants } = queue();
      return { depth, oldest_wait_seconds, priorities, tenants };
    };
    const before = { resting: resting(), counted: counted() };
    restart();
    expect(resting()).toBeGreaterThanOrEqual(before.resting);
    expect(counted()).toEqual(before.counted);
    expect(why(300)!.tenant.queued).toBe(199);
    // What may have been spent without being written counts as spent.
    advance(210);
    expect(started).toEqual(Array.from({ length: 300 }, (_, index) => id(index + 1)));
  });

  it("one that comes with a greater priority, or a smaller, takes its place among those that rest", () => {
    const { advance, fill, send, started } = desk();
    fill();
    // One second's head start is worth a thousand places, because they were accepted a millisecond apart.
    send([ticket(301, { priority: 0.25 }), ticket(302, { priority: 9 }), ticket(303, { priority: -9 })]);
    advance(302);
    const order = started.map((job) => Array.from({ length: 303 }, (_, index) => id(index + 1)).indexOf(job) + 1);
    expect(order.slice(0, 2)).toEqual([1, 302]);
    // Accepted at 301 ms, 250 ms ahead: after the job of 50 ms, and also after that of 51 ms, which came earlier.
    expect(order.slice(51, 54)).toEqual([51, 301, 52]);
    expect(order.at(-1)).toBe(303);
  });

  it("one that comes between two priorities of those that rest: its place is told, and nothing is read for it", () => {
    const { fill, resting, send } = desk();
    fill((number) => ({ priority: number % 10 === 0 ? -600 : 0 }));
    expect(resting()).toBeGreaterThan(200);
    const read = vi.spyOn(CoordinatorStore.prototype, "segment");
    const [told] = send([ticket(301)]);
    expect(told).toMatchObject({ ok: true, place: { position: 270 } });
    expect(read).not.toHaveBeenCalled();
    // Among jobs of its own priority its place is looked up.
    expect(send([ticket(302, { acceptedAt: START + 205.5 })])).toMatchObject([{ ok: true, place: { position: 185 } }]);
    expect(read).toHaveBeenCalled();
    read.mockRestore();
  });

  it("those that are watched stay awake, and what is told of a place is as if all were", () => {
    const { book, fill, resting, turn } = desk();
    fill();
    const told = turn((book, now) => watch(book, [{ job: id(250), told: null }], now));
    expect(told[0]).toMatchObject({ state: "waiting", position: 249 });
    for (let times = 0; times < 3; times++) turn(() => {});
    expect(book.entries.has(id(250))).toBe(true);
    expect(resting()).toBeLessThanOrEqual(299 - 64);
    expect(resting()).toBeGreaterThan(100);
  });
});

describe("one that rests and is asked for", () => {
  it("is told its place, and why it waits", () => {
    const { fill, place, why } = desk();
    fill();
    expect(place(200)).toMatchObject({ state: "waiting", position: 199 });
    expect(place(201)!.eta!.p50).toBeCloseTo(200, -1);
    expect(why(300)).toMatchObject({ status: "queued", position: 299, ahead: { jobs: 298, own: 298 } });
  });

  it("sent again by its mailbox: it is known", () => {
    const { fill, queue, send } = desk();
    fill();
    expect(send([ticket(250), ticket(299)])).toMatchObject([
      { ok: true, place: { position: 249 } },
      { ok: true, place: { position: 298 } },
    ]);
    expect(queue().depth).toBe(299);
  });

  it("cancelled: it is gone, and never starts, after a restart neither", () => {
    const { advance, fill, queue, restart, started, turn } = desk();
    fill();
    turn((book, now) => cancel(book, [id(150), id(299), id(298)], now));
    expect(queue().depth).toBe(296);
    restart();
    expect(queue().depth).toBe(296);
    advance(310);
    expect(started).toHaveLength(297);
    for (const number of [150, 298, 299]) expect(started).not.toContain(id(number));
  });

  it("by a name that nobody has, or another tenant's of the same number: it is not found", () => {
    const { book, fill, place, resting, state } = desk();
    fill();
    const before = resting();
    expect(place(301)).toBeNull();
    for (const name of [id(200, "b"), id(200, "a", "d"), "job_none", id(200).replace("000000", "zzzzzz")])
      expect(placeOf(book, name, state.now)).toBeNull();
    expect(resting()).toBe(before);
  });
});

describe("while they rest", () => {
  it("a deadline comes: they expire at it, each once, and the others go on", () => {
    const { advance, ended, fill, queue, started } = desk();
    fill((number) => (number % 2 ? { deadline: START + 100_500 } : {}));
    advance(100);
    expect(ended).toEqual([]);
    advance(1);
    const late = Array.from({ length: 300 }, (_, index) => index + 1).filter((number) => number % 2 && !started.includes(id(number)));
    expect(new Set(ended)).toEqual(new Set(late.map((number) => `${id(number)} expired`)));
    expect(ended).toHaveLength(late.length);
    expect(queue().depth).toBe(300 - started.length - late.length);
  });

  it("a limit is lowered: what is too large for it stands aside, and the others start", () => {
    const tpm = 600_000;
    const { advance, fill, book, queue, resting, started, state, turn } = desk({ rpm: 60, tpm, burst_seconds: 60, transit_ms: 0 });
    state.now += 3_600_000;
    fill((number) => ({ acceptedAt: state.now + number, tokens: number > 200 && number % 2 ? 400_000 : 100 }));
    advance(20);
    const reading = { pool: "p", job: "none", sentAt: state.now - 50, at: state.now, requests: null };
    const { depth } = queue();
    const large = Array.from({ length: 50 }, (_, index) => id(201 + 2 * index)).filter((job) => !started.includes(job)).length;
    expect(large).toBeGreaterThan(40);
    turn((_, now) =>
      book.limits
        .of("p")!
        .take({ ...reading, tokens: { limit: 300_000, remaining: 290_000, resetMs: 2_000 } }, null, book.pools.get("p")!.budget, now),
    );
    const before = resting();
    turn(() => {});
    expect(resting()).toBeGreaterThan(before - 40);
    expect(queue().scheduled).toBe(0);
    expect(queue().depth).toBeGreaterThanOrEqual(depth - 1);
    advance(depth);
    // When only they are left to start, the smallest is called to see.
    expect(new Set(started).size).toBe(300 - large + 1);
    expect(queue().depth).toBe(large - 1);
  });

  it("the pool is taken out of the settings: after the restart they wait in another", () => {
    const storage = openStorage();
    const openWith = (pools: object) => {
      const store = new CoordinatorStore(storage.open());
      const book = openBook(readSettings({ SLUICE_POOLS: JSON.stringify(pools) }), store, START);
      book.resting.awakeMost = AWAKE;
      return { book, store };
    };
    const limits = { rpm: 60, tpm: 600_000, burst_seconds: 1 };
    const first = openWith({ p: limits });
    for (const step of [
      () =>
        enqueue(
          first.book,
          { tenant: "a", channel: "c" },
          Array.from({ length: 300 }, (_, index) => ticket(index + 1)),
          START,
        ),
      () => {},
    ]) {
      decide(first.book, START, () => 0.5, step);
      record(first.book, first.store, START);
    }
    expect([...first.book.resting.runs].length).toBeGreaterThan(2);
    const { book } = openWith({ default: limits });
    expect(inspect(book, START).pools).toMatchObject([{ id: "default", depth: 299 }]);
  });
});
