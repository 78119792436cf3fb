/** How much a lobby asks of other mailboxes at once. */
import { expect, it } from "vitest";
import { Asking } from "../../durable-objects/mailbox/asking.ts";
import { NoAnswer } from "../../platform/objects.ts";
import { until } from "../support/service.ts";

const CARRIES = { most: 4_000_000, least: 0 };

/** Questions that are answered when the test says so. */
function questions(asking: Asking) {
  const open: { room: number; answer: () => void; fail: (error: unknown) => void }[] = [];
  const ask = (ways: string[], carries = CARRIES) =>
    asking.ask(ways, carries, (room) => new Promise<string>((done, fail) => open.push({ room, answer: () => done("answer"), fail })));
  return { open, ask };
}

it("many ask many mailboxes: their answers together have a bound, and who finds no room is answered with little", async () => {
  const { open, ask } = questions(new Asking());
  const all = Array.from({ length: 100 }, (_, n) => ask([`socket ${n % 40}`, `follow ${n}`]));
  await until(() => open.length === 100);
  expect(open.slice(0, 2).map(({ room }) => room)).toEqual([4_000_000, 3_000_000]);
  expect(open.reduce((sum, { room }) => sum + room, 0)).toBeLessThanOrEqual(16_000_000);
  expect(open.at(-1)!.room).toBe(0);
  for (const each of open) each.answer();
  expect(await Promise.all(all)).toHaveLength(100);
  void ask(["socket 1", "follow 1"]);
  await until(() => open.length === 101);
  expect(open.at(-1)!.room).toBe(4_000_000);
});

it("a page has something of what is asked for, however little room is left", async () => {
  const { open, ask } = questions(new Asking());
  for (let n = 0; n < 30; n++) void ask([`follow ${n}`]);
  void ask(["missed a"], { most: 1_000_000, least: 50_000 });
  await until(() => open.length === 31);
  expect(open.at(-1)!.room).toBe(50_000);
});

it("one socket asks a thousand mailboxes: eight at once, and another's question does not wait for them", async () => {
  const { open, ask } = questions(new Asking());
  const all = Array.from({ length: 1_000 }, (_, n) => ask(["socket 1", `follow ${n}`]));
  const other = ask(["socket 2", "follow 1"]);
  await until(() => open.length === 9);
  open.at(-1)!.answer();
  expect(await other).toBe("answer");
  for (let n = 0; n < 1_001; n++) {
    await until(() => open.length > n);
    if (n !== 8) open[n]!.answer();
    expect(open.length - n).toBeLessThanOrEqual(9);
  }
  expect(await Promise.all(all)).toHaveLength(1_000);
});

it("a thousand sockets ask one mailbox that does not answer in time: all are told so with the first, and other mailboxes are asked meanwhile", async () => {
  const { open, ask } = questions(new Asking());
  const all = Array.from({ length: 1_000 }, (_, n) => ask([`socket ${n}`, "follow a"]).catch((error) => error as unknown));
  const others = Array.from({ length: 8 }, (_, n) => ask([`socket ${n}`, "follow b"]));
  await until(() => open.length === 16);
  for (const each of open.splice(8)) each.answer();
  expect(await Promise.all(others)).toHaveLength(8);
  for (const each of open) each.fail(new NoAnswer("late"));
  expect((await Promise.all(all)).every((error) => error instanceof NoAnswer)).toBe(true);
  expect(open.length).toBe(8);
  void ask(["socket 1", "follow a"]);
  await until(() => open.length === 9);
});

it("a question that fails otherwise is its own alone", async () => {
  const { open, ask } = questions(new Asking());
  const all = Array.from({ length: 9 }, (_, n) => ask([`socket ${n}`, "follow a"]).catch((error) => (error as Error).message));
  await until(() => open.length === 8);
  open[0]!.fail(new Error("broken"));
  await until(() => open.length === 9);
  for (const each of open.slice(1)) each.answer();
  expect(await Promise.all(all)).toEqual(["broken", ...Array(8).fill("answer")]);
});
