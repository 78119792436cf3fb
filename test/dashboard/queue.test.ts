import { describe, expect, it } from "vitest";
import { poolView } from "../../dashboard/shown/pool.ts";
import { queueView } from "../../dashboard/shown/queue.ts";
import type { PoolState, QueueState } from "../../schemas/queue.ts";
import { condition, NOW, pool, queue, tenant } from "./states.ts";

const viewOf = (more: Partial<PoolState>, state: Partial<QueueState> = {}) => poolView(pool(more), queue(state), NOW);
const held = (state: Partial<QueueState>) => queueView(queue(state), NOW).held;
const paused = { paused: true, condition: condition({ state: "paused", reason: "operator" }) };

describe("a pool", () => {
  it("is shown by its figures", () => {
    const view = viewOf({ depth: 12_345, in_flight: 8, scheduled: 2, oldest_wait_seconds: 3_725.4 });
    expect(view.figures.map(({ label, value }) => `${label} ${value}`)).toEqual([
      "Queued 12,345",
      "In flight 8",
      "Scheduled 2",
      "Oldest wait 1 h 2 min",
    ]);
  });

  it("has spent part of what may go at once -> its bar is that part, whatever the limit of a minute", () => {
    const [requests, tokens] = viewOf({ used: { requests: 2, tokens: 0 }, free: { requests: 6, tokens: 3_333 } }).bars;
    expect(requests).toEqual({ label: "Requests per minute", part: 0.25, words: "2 used, 6 free of 500", set: false });
    expect(tokens).toMatchObject({ part: 0, words: "0 used, 3,333 free of 200,000" });
  });

  it("has nothing free -> its bar is full, also where others have spent it all", () => {
    const [requests] = viewOf({ used: { requests: 0, tokens: 0 }, free: { requests: 0, tokens: 1 } }).bars;
    expect(requests!.part).toBe(1);
  });

  it("with limits of a day, or of calls at once -> a bar of each", () => {
    const limits = { rpm: 500, tpm: 200_000, rpd: 10_000, tpd: null, concurrency: 20 };
    const { bars } = viewOf({ in_flight: 25, limits, used_day: { requests: 2_500, tokens: 0 } });
    expect(bars.slice(2)).toEqual([
      { label: "Requests per day", part: 0.25, words: "2,500 of 10,000", set: false },
      { label: "Concurrent calls", part: 1, words: "25 of 20", set: false },
    ]);
  });

  it("of which an operator set limits -> marks them", () => {
    const view = viewOf({ overrides: { rpm: 300, concurrency: null, burst_seconds: null } });
    expect(view.bars.map(({ set }) => set)).toEqual([true, false]);
    expect(view.overrides).toBe("set by an operator: requests per minute 300, concurrent calls none, burst (seconds of the rate) learned");
    expect(viewOf({}).overrides).toBeNull();
  });

  it("with calls of unknown outcome -> says what may have been paid for twice, and by whom", () => {
    const doubts = { unknown_outcomes: 3, possible_duplicates: 2, possible_duplicate_tokens: 4_000 };
    const view = viewOf({ doubts: { ...doubts, tenants: [{ id: "alice", ...doubts }] } });
    expect(view.doubts).toBe("3 calls of unknown outcome, 2 of them repeated: up to 4,000 tokens may have been paid for twice (alice).");
    expect(viewOf({}).doubts).toBeNull();
  });

  it("tells how calls ended, what others spend and how far estimates are off, where there is something to tell", () => {
    expect(viewOf({}).notes).toEqual(["May be spent at once: 1 min of the rate."]);
    const { notes } = viewOf({
      ...{
        burst_seconds: { requests: 1, tokens: 30 },
        foreign: { requests: 12.3, tokens: 0 },
        ended: { committed: 1_200, rate_limited: 3 },
      },
      estimates: { calls: 10, reserved_tokens: 1_000, used_tokens: 250, exceeded: 2, exceeded_tokens: 9 },
    });
    expect(notes).toEqual([
      "May be spent at once: 1 s of the requests' rate, 30 s of the tokens'.",
      "Others on the same key spend about 12 requests and 0 tokens per minute.",
      "Ended calls: 1,200 answered, 3 refused by the rate limit (429).",
      "Answered calls used 25 % of the tokens they reserved; 2 used more than they reserved.",
    ]);
  });

  it("tells priorities, unless all is of the usual one", () => {
    expect(viewOf({ priorities: [{ priority: 0, depth: 4 }] }).priorities).toBeNull();
    const priorities = [5, 0, -3].map((priority) => ({ priority, depth: 2 }));
    expect(viewOf({ priorities }).priorities).toBe("Queued by priority: 5: 2, 0: 2, −3: 2.");
  });
});

describe("tenants of a pool", () => {
  it("are marked when they are paused, draining or set", () => {
    const { tenants } = viewOf(
      { tenants: [tenant("alice", 3, 1), tenant("bob"), tenant("constructor")] },
      { paused_tenants: ["alice"], draining_tenants: ["alice"], overrides: { pools: {}, tenants: { bob: { weight: 2 } } } },
    );
    expect(tenants[0]).toEqual({
      ...{ id: "alice", name: "alice", depth: "3", inFlight: "1", weight: "1", oldestWait: "5 s" },
      marks: ["paused", "draining"],
    });
    expect(tenants.slice(1).map(({ marks, oldestWait }) => [marks, oldestWait])).toEqual([
      [["set"], "–"],
      [[], "–"],
    ]);
  });

  it("are more than there is room for -> those with most are shown, in the order they came in", () => {
    const tenants = Array.from({ length: 60 }, (_, n) => tenant(`t${n}`, n));
    const view = viewOf({ tenants });
    expect(view.tenants.map(({ id }) => id)).toEqual(tenants.slice(10).map(({ id }) => id));
    expect(view.moreTenants).toBe(10);
  });
});

describe("the queue", () => {
  it("that runs -> nothing is held, and its title counts what waits in all pools", () => {
    const view = queueView(
      queue({ pools: [pool({ depth: 3, oldest_wait_seconds: 9 }), pool({ id: "q", depth: 1_000, in_flight: 2 })] }),
      NOW,
    );
    expect(view).toMatchObject({ tone: "calm", title: "1,003 queued · Sluice", held: [], tenants: [] });
    expect(view.figures.map(({ value }) => value)).toEqual(["1,003", "2", "0", "9 s"]);
  });

  it("that is paused -> says so once, not of each pool", () => {
    const state = { paused: true, pools: [pool(paused), pool({ id: "q", ...paused })] };
    expect(held(state)).toEqual(["Everything is paused by an operator: no calls start. Jobs are still accepted."]);
    expect(queueView(queue(state), NOW)).toMatchObject({ tone: "warn", title: "Paused · Sluice" });
  });

  it("of which pools and tenants are held -> names them", () => {
    const halted = pool({ id: "q", condition: condition({ state: "halted", reason: "billing" }) });
    const state = { pools: [pool(paused), halted, pool({ id: "r", draining: true })], paused_tenants: ["a", "b", "c", "d", "e", "f", "g"] };
    expect(held(state)).toEqual([
      "Pool q is halted.",
      "Pool p is paused.",
      "Pool r is draining.",
      "Tenants a, b, c, d, e and 2 more are paused.",
    ]);
    expect(queueView(queue(state), NOW)).toMatchObject({ tone: "bad", title: "q halted · Sluice" });
  });

  it("lists tenants that are held or set, also those that have no job", () => {
    const { tenants } = queueView(
      queue({
        paused_tenants: ["zoe"],
        draining_tenants: ["bob"],
        overrides: { pools: {}, tenants: { bob: { weight: 2, max_queued: null } } },
      }),
      NOW,
    );
    expect(tenants).toEqual([
      { id: "bob", name: "bob", words: "draining: its new jobs are refused; set by an operator: weight 2, most waiting jobs none" },
      { id: "zoe", name: "zoe", words: "paused: none of its jobs start" },
    ]);
  });

  it("with limits of a pool that is configured no more -> lists it: they can be taken back", () => {
    const { gone } = queueView(queue({ overrides: { pools: { p: { rpm: 1 }, old: { rpm: 5 } }, tenants: {} } }), NOW);
    expect(gone).toEqual([{ id: "old", name: "old", words: "set by an operator: requests per minute 5" }]);
  });
});
