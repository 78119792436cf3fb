/** Batches get what live work leaves, whoever it belongs to. */
import { expect, it } from "vitest";
import { BATCH, keyOf, openDesk, type Sent } from "./desk.ts";

/** One start a second. */
const SLOW = { rpm: 60, tpm: 600_000, burst_seconds: 1, transit_ms: 0, ramp_tpm: null };

function desk(keys: object[] = []) {
  const made = openDesk(SLOW, keys);
  const startsOf = (jobs: Sent[]) => made.started.filter(({ job }) => jobs.some((each) => each.job === job)).length;
  let ended = 0;
  /** A call takes a second. */
  const seconds = (count: number) => {
    for (let second = 0; second < count; second++) {
      made.passes(made.state.now + 1_000);
      while (ended < made.started.length && made.started[ended]!.at < made.state.now) made.end(made.started[ended++]!.job);
    }
  };
  const resting = () => [...made.book.resting.runs].reduce((sum, { size }) => sum + size, 0);
  return { ...made, startsOf, seconds, resting };
}

it("live jobs of others start before the lines of a batch, which was there before them", () => {
  const { seconds, send, startsOf } = desk();
  const lines = send("alice", 1_000, 50, BATCH);
  const live = send("bob", 1_000, 30);
  seconds(29);
  expect([startsOf(lines), startsOf(live)]).toEqual([1, 29]);
  seconds(20);
  expect([startsOf(lines), startsOf(live)]).toEqual([20, 30]);
});

it("the lines of many batches that come at once start no live job later, but for one that runs by then", () => {
  const { seconds, send, startsOf } = desk();
  const live = send("bob", 1_000, 40);
  const lines = Array.from({ length: 40 }, (_, n) => send(`t${n}`, 1_000, 5, BATCH)).flat();
  seconds(30);
  expect([startsOf(lines), startsOf(live)]).toEqual([0, 31]);
});

it("live jobs of the same tenant go ahead as well", () => {
  const { seconds, send, startsOf } = desk();
  const lines = send("alice", 1_000, 50, BATCH);
  const live = send("alice", 1_000, 30);
  seconds(30);
  expect([startsOf(lines), startsOf(live)]).toEqual([1, 30]);
});

it("where no live job waits batches have all of the pool, and share it by their tenants' weights", () => {
  const { seconds, send, startsOf } = desk([keyOf("alice"), keyOf("bob", { weight: 3 })]);
  const [alice, bob] = [send("alice", 1_000, 100, BATCH), send("bob", 1_000, 100, BATCH)];
  seconds(80);
  expect(startsOf(alice) + startsOf(bob)).toBe(81);
  expect(startsOf(bob)).toBeGreaterThanOrEqual(59);
  expect(startsOf(bob)).toBeLessThanOrEqual(62);
});

it("a pool that is never without live jobs lets a batch go all the same: one in a thousand", () => {
  const { seconds, send, startsOf } = desk();
  const live = send("bob", 1_000, 5_000);
  const lines = send("alice", 1_000, 50, BATCH);
  seconds(4_000);
  expect(startsOf(lines)).toBeGreaterThanOrEqual(3);
  expect(startsOf(lines)).toBeLessThanOrEqual(5);
  expect(startsOf(live) + startsOf(lines)).toBe(4_001);
});

it("at its tenant's own cap the small lines of a batch do not take what a large live job waits for", () => {
  const { seconds, send, startsOf, state } = desk([keyOf("alice", { tpm: 6_000 })]);
  const lines = send("alice", 100, 500, BATCH);
  seconds(5);
  const live = send("alice", 5_000);
  const before = startsOf(lines);
  expect(startsOf(live)).toBe(0);
  for (let second = 0; startsOf(live) === 0 && second < 120; second++) seconds(1);
  expect(startsOf(live)).toBe(1);
  expect(startsOf(lines)).toBe(before);
  expect(state.now).toBeLessThan(1_700_000_000_000 + 90_000);
  seconds(60);
  expect(startsOf(lines)).toBeGreaterThan(before + 20);
});

it("at its tenant's own cap, and beside others' live jobs, live jobs still go before the batch", () => {
  const { seconds, send, startsOf } = desk([keyOf("alice", { rpm: 6 })]);
  send("bob", 1_000, 1_000);
  const lines = send("alice", 1_000, 50, BATCH);
  const live = send("alice", 1_000, 40);
  seconds(240);
  expect(startsOf(live)).toBeGreaterThan(25);
  expect(startsOf(lines)).toBe(0);
});

it("what is the tenant's stays the tenant's: it is counted, and weighed, as one", () => {
  const { queue, send, standing } = desk([keyOf("alice", { weight: 2 })]);
  const lines = send("alice", 1_000, 3, BATCH);
  send("alice", 1_000, 2);
  expect(queue()).toMatchObject({ depth: 4, in_flight: 1, tenants: [{ id: "alice", depth: 4, in_flight: 1, weight: 2 }] });
  // Two of its lines are left, and this is the second; two more jobs are live.
  expect(standing(lines[2]!.job)).toMatchObject({ position: 4, ahead: { jobs: 3, own: 3 }, tenant: { id: "alice", queued: 4, weight: 2 } });
});

it("why a line waits, is told", () => {
  const { send, why } = desk();
  const [, line] = send("alice", 1_000, 2, BATCH);
  send("bob", 1_000, 5);
  expect(why(line!.job)).toContain("batches get only what live calls leave");
});

it("after a restart, and after a rest in storage, the live jobs go first still", () => {
  const { restart, seconds, send, started, startsOf, state, resting, turn } = desk();
  state.awakeMost = 40;
  restart();
  const lines = send("alice", 1_000, 300, BATCH);
  turn(() => {});
  expect(resting()).toBeGreaterThan(200);
  const live = send("alice", 1_000, 100).concat(send("bob", 1_000, 100));
  restart();
  seconds(120);
  expect(startsOf(lines)).toBe(1);
  expect(startsOf(live)).toBeGreaterThan(110);
  seconds(400);
  expect(started.map(({ job }) => job).filter((job) => lines.some((each) => each.job === job))).toEqual(lines.map(({ job }) => job));
});
