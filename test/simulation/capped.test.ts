/** A tenant that its own limit or an operator holds back is asked for its next job only when something has changed. */
import { expect, it } from "vitest";
import { cancel } from "../../durable-objects/coordinator/cancel.ts";
import { LEVERS } from "../../durable-objects/coordinator/condition/levers.ts";
import { BATCH, keyOf, openDesk, START } from "./desk.ts";

const FAST = { rpm: 6_000, tpm: 6_000_000, ramp_tpm: null };
const UNUSED = { kind: "committed" as const, usage: { prompt_tokens: 1, completion_tokens: 0, total_tokens: 1 } };

it("starts as soon as its own limit has refilled, though nothing else happens", () => {
  const { passes, send, started } = openDesk(FAST, [keyOf("a", { rpm: 60 })]);
  send("a", 10, 70);
  send("b", 10);
  const before = started.length;
  passes(START + 5_500);
  expect(started.length).toBe(before + 5);
});

it("starts as soon as one of its calls gives back what it did not use", () => {
  const { end, send, started, state, turn } = openDesk(FAST, [keyOf("a", { tpm: 60_000 })]);
  const [first, second] = send("a", 50_000, 2);
  expect(started.map(({ job }) => job)).toEqual([first!.job]);
  state.now += 100;
  end(first!.job, UNUSED);
  turn(() => {});
  expect(started.map(({ job }) => job)).toEqual([first!.job, second!.job]);
});

it("starts as soon as an operator lets it", () => {
  const { send, started, turn } = openDesk(FAST, [keyOf("a")]);
  const scope = { kind: "tenant" as const, id: "a" };
  turn((book, now) => LEVERS.pause(book, scope, now));
  send("a", 10);
  send("b", 10);
  expect(started).toHaveLength(1);
  turn((book, now) => LEVERS.resume(book, scope, now));
  expect(started).toHaveLength(2);
});

it("a batch that waits for its tenant's live job starts as soon as that is cancelled", () => {
  const { send, started, turn } = openDesk(FAST, [keyOf("a", { tpm: 60_000 })]);
  send("a", 50_000);
  const [live] = send("a", 40_000);
  const [line] = send("a", 10, 1, BATCH);
  expect(started).toHaveLength(1);
  turn((book, now) => cancel(book, [live!.job], now));
  expect(started.map(({ job }) => job)).toContain(line!.job);
});

it.each(["a", "z"])("its tenant's live job in the pool %s goes before the small lines of its batch in another", (name) => {
  const { end, passes, send, started } = openDesk(FAST, [keyOf("t", { tpm: 60_000 })], { [name]: FAST });
  send("t", 50_000);
  send("t", 100, 5_000, BATCH);
  const [live] = send("t", 50_000, 1, "c", { pool: name });
  for (const { job } of [...started]) end(job);
  passes(START + 60_000);
  const at = started.find(({ job }) => job === live!.job)?.at;
  expect(at).toBeLessThan(START + 55_000);
  passes(START + 80_000);
  // What is left after that belongs to the batch.
  expect(started.filter((each) => each.at > at!).length).toBeGreaterThan(290);
});

it("its tenant's live jobs in a pool that others keep busy start as the tenant's limit lets them, though the small lines of its batch in another want all of it", () => {
  const { end, passes, send, started } = openDesk(FAST, [keyOf("t", { tpm: 57_001 })], { q: { ...FAST, rpm: 130 } });
  send("o", 10, 1_000, "c", { pool: "q" });
  send("t", 50_000);
  for (const { job } of [...started]) end(job);
  send("t", 1_000, 500, BATCH);
  const live = send("t", 20_000, 3, "c", { pool: "q" });
  passes(START + 70_000);
  expect(started.map(({ job }) => job)).toEqual(expect.arrayContaining(live.map(({ job }) => job)));
});

it("a live job that its own pool keeps holds no batch of its tenant's up in another", () => {
  const { passes, send, started, turn } = openDesk(FAST, [keyOf("t", { tpm: 60_000 })], { q: FAST });
  turn((book, now) => LEVERS.pause(book, { kind: "pool", id: "q" }, now));
  send("t", 10_000, 1, "c", { pool: "q" });
  send("t", 100, 5_000, BATCH);
  passes(START + 40_000);
  expect(started.length).toBeGreaterThan(850);
});

it("a live job that its own pool keeps leaves a batch of its tenant's, in a pool that others keep busy, its one line in a thousand", () => {
  const { passes, send, started, turn } = openDesk(FAST, [keyOf("t", { tpm: 60_000 })], { q: FAST });
  turn((book, now) => LEVERS.pause(book, { kind: "pool", id: "q" }, now));
  send("o", 10, 12_000);
  send("t", 10_000, 1, "c", { pool: "q" });
  const lines = new Set(send("t", 10, 100, BATCH).map(({ job }) => job));
  passes(START + 50_000);
  expect(started.filter(({ job }) => lines.has(job)).length).toBeGreaterThan(2);
});

it("a batch that waits for its tenant's live job in another pool starts as soon as that is cancelled", () => {
  const { send, started, turn } = openDesk(FAST, [keyOf("t", { tpm: 60_000 })], { q: FAST });
  send("t", 50_000);
  const [live] = send("t", 40_000, 1, "c", { pool: "q" });
  const [line] = send("t", 10, 1, BATCH);
  expect(started).toHaveLength(1);
  turn((book, now) => cancel(book, [live!.job], now));
  expect(started.map(({ job }) => job)).toContain(line!.job);
});
