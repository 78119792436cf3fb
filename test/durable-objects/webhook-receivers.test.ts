/** Many webhook receivers, some of which do not answer. */
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { Desk } from "../../durable-objects/mailbox/desk.ts";
import { delivery, never, receive, ringAt } from "../support/receiver.ts";
import { call, inside, mailbox, submit, until } from "../support/service.ts";
import { cleared } from "../support/stand.ts";
import { EPOCH, resetWorld, world } from "../support/world.ts";

beforeEach(resetWorld);
afterEach(cleared);

const HOUR = 3_600_000;
const status = (code: number, headers: Record<string, string> = {}) => new Response(null, { status: code, headers });
const hooked = (webhook: string) => submit({ channel: "c", webhook });

describe("many receivers", () => {
  /** Receivers that answer what `answer` returns, or never answer if that is null. */
  function receivers(answer: (url: string) => Response | null) {
    const waiting: string[] = [];
    receive(({ url }, _, signal) => {
      const told = answer(url);
      if (told) return told;
      waiting.push(new URL(url).host.split(".")[0]!);
      return never(signal);
    });
    return waiting;
  }

  async function toAll(names: string[], each = 3): Promise<{ id: string }[]> {
    const made = [];
    for (let n = 0; n < each; n++) for (const name of names) made.push(await hooked(`https://${name}.example.com/`));
    return made;
  }

  it("two of them never answer -> not all slots are theirs, and others get theirs meanwhile", async () => {
    const waiting = receivers((url) => (url.includes("dead") ? null : status(200)));
    await toAll(["dead1", "dead2"]);
    for (const { id } of await toAll(["well"], 6)) await delivery(id, { status: "delivered" });
    expect(new Set(waiting)).toEqual(new Set(["dead1", "dead2"]));
  });

  it.each([
    ["did not answer the last time", () => Promise.reject(new Error("unreachable"))],
    [
      "took long to answer the last time",
      () => {
        world.now += 5_000;
        return status(500, { "retry-after": "1800" });
      },
    ],
  ])("many of them %s -> two requests to all of these are under way, and others get theirs meanwhile", async (_, first) => {
    let bad = first as (() => Response) | null;
    const waiting = receivers((url) => (url.includes("bad") ? (bad?.() ?? null) : status(200)));
    const names = ["bad1", "bad2", "bad3", "bad4"];
    for (const { id } of await toAll(names, 1)) await delivery(id, { attempts: 1 });
    bad = null;
    await ringAt(world.now + HOUR);
    await until(() => waiting.length === 2);
    for (const { id } of await toAll(["well"], 6)) await delivery(id, { status: "delivered" });
    expect(waiting).toHaveLength(2);
  });

  it("four that answer well, but not in time -> two requests to all of these are under way, and others get theirs meanwhile", async () => {
    let inTime = true;
    const waiting = receivers((url) => {
      if (!url.includes("slow")) return status(200);
      if (!inTime) return null;
      world.now += 6_000;
      return status(200);
    });
    const names = ["slow1", "slow2", "slow3", "slow4"];
    for (const { id } of await toAll(names, 1)) await delivery(id, { status: "delivered" });
    inTime = false;
    await toAll(names, 1);
    await until(() => waiting.length >= 2);
    for (const { id } of await toAll(["well"], 6)) await delivery(id, { status: "delivered" });
    expect(waiting).toHaveLength(2);
  });

  it("many of which nothing is known do not answer -> one that is known to be quick gets its events meanwhile", async () => {
    const waiting = receivers((url) => (url.includes("new") ? null : status(200)));
    for (const { id } of await toAll(["well"], 1)) await delivery(id, { status: "delivered" });
    await toAll(["new1", "new2", "new3", "new4"], 1);
    await until(() => waiting.length >= 3);
    for (const { id } of await toAll(["well"], 6)) await delivery(id, { status: "delivered" });
    expect(waiting).toHaveLength(3);
  });

  it("all slots are held by slow ones with long queues -> hosts take turns, so a new one need not wait for the queues", async () => {
    world.webhookTimeoutMs = 20;
    const received = receive(({ url }, _, signal) => (url.includes("slow") ? never(signal) : status(200)));
    const newcomer = "https://zzz.example.com/";
    for (let n = 0; n < 24; n++)
      await submit({ channel: "c", webhook: `https://slow${n % 3}.example.com/`, not_before: EPOCH / 1_000 + 60 });
    const last = await submit({ channel: "c", webhook: newcomer, not_before: EPOCH / 1_000 + 61 });
    const { body } = await call<{ data: { id: string }[] }>("GET", "/v1/jobs?channel=c&limit=100");
    const others = body.data.map(({ id }) => id).filter((id) => id !== last.id);
    await Promise.all(others.map((id) => call("POST", `/v1/jobs/${id}/cancel`)));
    world.now += 1;
    await call("POST", `/v1/jobs/${last.id}/cancel`);
    await delivery(last.id, { status: "delivered" });
    const place = received.findIndex(({ url }) => url === newcomer);
    expect(place).toBeLessThan(12);
    await until(async () => received.length === 25);
  });
});

it("thousands of receivers are down -> an event for another looks at none of them, and each gets its own when that is due", async () => {
  receive();
  await submit({ channel: "c" });
  const looks = await inside(mailbox("alice", "c"), (object, { storage }) => {
    for (let n = 0; n < 3_000; n++)
      storage.sql.exec(
        "INSERT INTO deliveries (n, url, host, status, begun_at, tries, next_at) VALUES (?, ?, ?, 'pending', ?, 1, ?)",
        ...[n + 100, `https://h${n}.example.com/`, `h${n}.example.com`, world.now, world.now + HOUR + n * HOUR],
      );
    const { deliveries } = (object as unknown as { desk: Desk }).desk.store;
    const all = vi.spyOn(deliveries, "lanes");
    return { all, some: [vi.spyOn(deliveries, "due"), vi.spyOn(deliveries, "ahead")] };
  });
  for (let n = 0; n < 5; n++) await delivery((await hooked("https://well.example.com/")).id, { status: "delivered" });
  expect(looks.all.mock.calls.length).toBeLessThanOrEqual(1);
  const lookedAt = () => [...new Set(looks.some.flatMap(({ mock }) => mock.calls.map(([host]) => host)))];
  expect(lookedAt()).toEqual(["well.example.com"]);
  await ringAt(world.now + HOUR);
  await until(() => lookedAt().length > 1);
  expect(lookedAt()).toEqual(["well.example.com", "h0.example.com"]);
  vi.restoreAllMocks();
});
