/** A channel followed under a consumer's name: a consumer that comes back continues after what was acked. */
import { reset, runDurableObjectAlarm } from "cloudflare:test";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Job } from "../../schemas/job.ts";
import { advanceTo, call, crash, ended, evict, inside, mailbox, over, submit, until } from "../support/service.ts";
import { type Client, connect } from "../support/socket.ts";
import { later, running, start, unconfirmed } from "../support/telling.ts";
import { completion, EPOCH, refusal, resetWorld, script, world } from "../support/world.ts";

beforeEach(resetWorld);
afterEach(reset);

const come = async (more: { consumer?: string; deltas?: boolean; place?: string; key?: string } = {}): Promise<Client> => {
  const client = await connect({ channel: more.place ?? "c", ...(more.key && { key: more.key }) });
  await client.subscribe({ channel: "c", consumer: more.consumer ?? "worker", deltas: more.deltas ?? false });
  return client;
};
/** Acks everything that came so far, and waits until the service has taken that in. */
async function ackAll(client: Client): Promise<number> {
  const cursor = client.events().reduce((most, event) => Math.max(most, event.cursor ?? 0), 0);
  client.send({ type: "ack", channel: "c", cursor });
  await settled(client);
  return cursor;
}
async function settled(client: Client): Promise<void> {
  const before = client.errors().length;
  client.send("not json");
  await until(() => client.errors().length > before);
}
const names = (client: Client) => client.events().map(({ event, job, seq }) => `${job} ${seq} ${event}`);
const rows = (sql: string) => inside(mailbox("alice", "c"), (_, { storage }) => storage.sql.exec(sql).toArray());

describe("who comes back under its name", () => {
  it.each([
    ["at once", async () => {}],
    ["after the mailbox slept", () => evict(mailbox("alice", "c"))],
    ["after everything died", crash],
  ])("%s: is told what happened after what it acked, ends included, and nothing before", async (_, between) => {
    const first = await come();
    const upstream = script();
    world.upstream = upstream.answer;
    const running = await submit({ channel: "c" });
    await first.saw(running.id, "in_progress");
    const waiting = await submit({ channel: "c", ...later });
    await first.saw(waiting.id, "queued");
    await ackAll(first);
    const unacked = await submit({ channel: "c", ...later });
    await first.saw(unacked.id, "queued");
    first.socket.close(1000);

    upstream.finish();
    await over(running.id);
    await call("POST", `/v1/jobs/${unacked.id}/cancel`);
    world.upstream = () => refusal(400, "bad");
    const young = await submit({ channel: "c" });
    await over(young.id);
    await between();

    const second = await come();
    await second.saw(young.id, "failed");
    await settled(second);
    expect(second.story(running.id)).toEqual(["3 completed"]);
    expect(second.events(running.id)[0]!.data).toEqual(await ended(running.id));
    expect(second.story(waiting.id)).toEqual([]);
    expect(second.story(unacked.id)).toEqual(["1 queued", "2 cancelled"]);
    expect(second.story(young.id)).toEqual(["1 queued", "2 in_progress", "3 failed"]);
    const cursors = second.events().map(({ cursor }) => cursor!);
    expect(cursors).toEqual([...cursors].sort((a, b) => a - b));
    world.upstream = () => completion("ok");
    await start();
    await second.saw(waiting.id, "completed");
    expect(second.story(waiting.id)).toEqual(["2 in_progress", "3 completed"]);
  });

  it("what it acked is not told again to a socket that stayed, when the mailbox sleeps and tells of new jobs anew", async () => {
    const client = await come();
    const { id } = await submit({ channel: "c", ...later });
    await client.saw(id, "queued");
    await ackAll(client);
    await evict(mailbox("alice", "c"));
    const next = await submit({ channel: "c", ...later });
    await client.saw(next.id, "queued");
    await settled(client);
    expect(client.story(id)).toEqual(["1 queued"]);
    await start();
    await client.saw(id, "completed");
  });

  it("in the middle of a stream: the rest of the deltas", async () => {
    const first = await come({ deltas: true });
    const { id, say, finish } = await running({ channel: "c" });
    say("one ");
    await until(() => first.text(id) === "one ");
    await ackAll(first);
    const acked = first.events(id).at(-1)!.seq;
    say("two ");
    await until(() => first.text(id) === "one two ");
    first.socket.close(1000);
    await evict(mailbox("alice", "c"));
    const second = await come({ deltas: true });
    await until(() => second.text(id) === "two ");
    say("three");
    finish();
    await second.saw(id, "completed");
    expect(second.text(id)).toBe("two three");
    expect(second.events(id).map(({ seq }) => seq)).toEqual(second.events(id).map((_, index) => acked + 1 + index));
  });

  it("for the first time: from now on, and from then on for good though it never acked", async () => {
    await ended((await submit({ channel: "c" })).id);
    const first = await come();
    first.socket.close(1000);
    const { id } = await submit({ channel: "c" });
    await ended(id);
    const second = await come();
    await second.saw(id, "completed");
    expect(new Set(second.events().map(({ job }) => job))).toEqual(new Set([id]));
    const answers = [first, second].map(({ frames }) => frames.find((frame) => typeof frame !== "string" && frame.type === "subscribed"));
    expect(answers).toMatchObject([
      { consumer: "worker", resumed: false },
      { consumer: "worker", resumed: true },
    ]);
  });

  it.each([
    ["it left", async (client: Client) => client.socket.close(1000)],
    ["everything died", async () => crash()],
    ["its socket went on under another name", (client: Client) => client.subscribe({ channel: "c", consumer: "other" })],
  ])("after a connection longer than jobs are kept, on a channel where nothing happened, when %s: is known", async (_, end) => {
    const first = await come();
    await advanceTo(EPOCH + 100 * 3_600_000);
    await end(first);
    await until(async () => (await rows("SELECT socket FROM subscriptions WHERE consumer = 'key/worker'")).length === 0);
    const { id } = await submit({ channel: "c" });
    await over(id);
    await advanceTo(EPOCH + 171 * 3_600_000);
    const second = await come();
    expect(second.frames[0]).toMatchObject({ type: "subscribed", resumed: true });
    await second.saw(id, "completed");
  });

  it("with `after`: that counts", async () => {
    const first = await come();
    const { id } = await submit({ channel: "c" });
    await first.saw(id, "completed");
    const second = await connect({ channel: "c" });
    await second.subscribe({ channel: "c", consumer: "worker", after: { [id]: 2 } });
    await settled(second);
    expect(second.story(id)).toEqual(["3 completed"]);
  });

  it("each name has a cursor of its own; two sockets of one name are told the same", async () => {
    const [a, b, twin] = [await come({ consumer: "a" }), await come({ consumer: "b" }), await come({ consumer: "a" })];
    const { id } = await submit({ channel: "c" });
    for (const each of [a, b, twin]) await each.saw(id, "completed");
    await ackAll(a);
    expect(names(twin)).toEqual(names(a));
    for (const each of [a, b, twin]) each.socket.close(1000);
    const [again, other] = [await come({ consumer: "a" }), await come({ consumer: "b" })];
    await other.saw(id, "completed");
    await settled(again);
    expect(again.events()).toEqual([]);
  });

  it("a job that the coordinator has yet to confirm is not passed over", async () => {
    const first = await come();
    const { id } = await submit({ channel: "c", ...later });
    await first.saw(id, "queued");
    const confirm = unconfirmed();
    const slow = submit({ channel: "c", ...later });
    await until(async () => (await rows("SELECT n FROM jobs")).length === 2);
    await call("POST", `/v1/jobs/${id}/cancel`);
    await first.saw(id, "cancelled");
    await ackAll(first);
    first.socket.close(1000);
    confirm();
    const job = await slow;
    const second = await come();
    await second.saw(job.id, "queued");
    expect(second.story(job.id)).toEqual(["1 queued"]);
  });
});

it("however it is cut: everything after its cursor comes, nothing up to it, and each job in order", async () => {
  const step = fc.oneof(
    { weight: 4, arbitrary: fc.constantFrom("submit", "say") },
    { weight: 3, arbitrary: fc.constantFrom("ack", "cut") },
    { weight: 1, arbitrary: fc.constantFrom("evict", "finish") },
  );
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 6, maxLength: 18 }), async (steps) => {
      await reset();
      resetWorld();
      const uncut = await connect({ channel: "c" });
      await uncut.subscribe({ channel: "c", deltas: true });
      let client = await come({ deltas: true });
      const seen = new Map<string, number>();
      const told: string[] = [];
      let acked = 0;
      const stream = await running({ channel: "c" });
      const jobs: Job[] = [];
      let said = "";
      let over = false;
      const read = () => {
        for (const { event, job, seq } of client.events()) told.push(`${job} ${seq} ${event}`);
        for (const { cursor = 0, job, seq } of client.events()) seen.set(`${job} ${seq}`, cursor);
      };
      for (const each of steps) {
        if (each === "submit") jobs.push(await submit({ channel: "c", ...later }));
        else if (each === "say" && !over) {
          stream.say("x");
          said += "x";
          await until(() => uncut.text(stream.id) === said);
        } else if (each === "finish" && !over) {
          over = true;
          stream.finish();
        } else if (each === "ack") {
          await settled(client);
          acked = Math.max(acked, await ackAll(client));
        } else if (each === "evict") await evict(mailbox("alice", "c")).catch(() => {});
        else if (each === "cut") {
          read();
          client.socket.close(1000);
          client = await come({ deltas: true });
          const known = [...seen].filter(([, cursor]) => cursor > 0 && cursor <= acked).map(([key]) => key);
          await settled(client);
          expect(client.events().filter(({ job, seq }) => known.includes(`${job} ${seq}`))).toEqual([]);
        }
      }
      if (!over) stream.finish();
      // Must come before the clock moves on, or the stream's lease would run out.
      await uncut.saw(stream.id, "completed");
      world.upstream = () => completion("ok");
      await start();
      for (const { id } of [...jobs, { id: stream.id }]) {
        await uncut.saw(id, "completed");
        if (!told.some((each) => each.startsWith(`${id} `) && each.endsWith("completed"))) await client.saw(id, "completed");
      }
      for (const { id } of jobs) {
        const seqs = client.events(id).map(({ seq }) => seq);
        expect(seqs).toEqual([...seqs].sort((a, b) => a - b));
      }
      read();
      expect(new Set(told)).toEqual(new Set(names(uncut)));
    }),
    { numRuns: 10, seed: 11 },
  );
});

describe("what cannot be", () => {
  it.each([
    ["on a socket elsewhere", { place: "lobby" }, "consumer_elsewhere"],
    ["without a channel", { channel: null }, "consumer_elsewhere"],
    ["without a name", { consumer: "" }, "invalid_frame"],
    ["of too long a name", { consumer: "x".repeat(65) }, "invalid_frame"],
  ])("a consumer %s", async (_, more, code) => {
    const client = await connect({ channel: (more as { place?: string }).place ?? "c" });
    client.send({ type: "subscribe", channel: "c", consumer: "w", ...more });
    await until(() => client.errors().length > 0);
    expect(client.errors()).toEqual([code]);
    const { id } = await submit({ channel: "c" });
    await ended(id);
    await settled(client);
    expect(client.events()).toEqual([]);
  });

  it("an ack of a channel that is not followed as a consumer, or of a cursor that was never told", async () => {
    const client = await connect({ channel: "c" });
    await client.subscribe({ channel: "c" });
    client.send({ type: "ack", channel: "c", cursor: 1 });
    await until(() => client.errors().length === 1);
    await client.subscribe({ channel: "c", consumer: "w" });
    client.send({ type: "ack", channel: "c", cursor: 9e15 });
    client.send({ type: "ack", cursor: 0 });
    await until(() => client.errors().length === 3);
    expect(client.errors()).toEqual(["not_a_consumer", "invalid_cursor", "not_a_consumer"]);
  });

  it("a cursor goes forward alone", async () => {
    const first = await come();
    const { id } = await submit({ channel: "c" });
    await first.saw(id, "completed");
    await ackAll(first);
    first.send({ type: "ack", channel: "c", cursor: 1 });
    await settled(first);
    first.socket.close(1000);
    const second = await come();
    await settled(second);
    expect(second.events()).toEqual([]);
  });

  it("more than a hundred of them; one that has not been heard of for the retention time makes room", async () => {
    const first = await come();
    await rows(
      "WITH RECURSIVE own(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM own WHERE i < 99) INSERT INTO consumers SELECT 'key/' || i, 0, 1 FROM own",
    );
    await rows(`UPDATE consumers SET seen_at = ${EPOCH}`);
    const client = await connect({ channel: "c" });
    client.send({ type: "subscribe", channel: "c", consumer: "new" });
    await until(() => client.errors().length > 0);
    expect(client.errors()).toEqual(["too_many_consumers"]);
    await advanceTo(EPOCH + 72 * 3_600_000);
    await runDurableObjectAlarm(mailbox("alice", "c"));
    // A consumer that is connected is kept.
    expect(await rows("SELECT name FROM consumers")).toEqual([{ name: "key/worker" }]);
    await client.subscribe({ channel: "c", consumer: "new" });
    first.socket.close(1000);
  });

  it("a hundred that came with tokens: the next one is refused, and a key's is not", async () => {
    await (await come()).saw((await submit({ channel: "c" })).id, "completed");
    await rows(`WITH RECURSIVE own(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM own WHERE i < 100)
      INSERT INTO consumers SELECT 'token/' || i, 0, ${EPOCH} FROM own`);
    const { body } = await call<{ token: string }>("POST", "/v1/tokens", { channels: ["c"] });
    const page = await connect({ channel: "c", key: body.token });
    page.send({ type: "subscribe", channel: "c", consumer: "new" });
    await until(() => page.errors().length > 0);
    expect(page.errors()).toEqual(["too_many_consumers"]);
    await come({ consumer: "new" });
  });

  it("who comes with a token under the name of a key's consumer has a cursor of its own", async () => {
    const first = await come();
    const { id } = await submit({ channel: "c" });
    await first.saw(id, "completed");
    const { body } = await call<{ token: string }>("POST", "/v1/tokens", { channels: ["c"] });
    const page = await come({ key: body.token });
    const { id: next } = await submit({ channel: "c" });
    await page.saw(next, "completed");
    await ackAll(page);
    first.socket.close(1000);
    const second = await come();
    await second.saw(next, "completed");
    expect(second.story(id)).toEqual(["1 queued", "2 in_progress", "3 completed"]);
    expect(page.events(id)).toEqual([]);
  });
});

it("a channel without consumers pays nothing for them; with one, a row for thousands of events", async () => {
  const watcher = await connect({ channel: "c" });
  await watcher.subscribe({ channel: "c", deltas: true });
  const { id } = await submit({ channel: "c" });
  await watcher.saw(id, "completed");
  expect(await rows("SELECT value FROM marks WHERE name = 'order'")).toEqual([]);
  expect(await rows("SELECT deltas FROM delta_rows WHERE deltas NOT LIKE '[%'")).toEqual([]);
  expect(watcher.events().some(({ cursor }) => cursor !== undefined)).toBe(false);
  await come();
  for (let count = 0; count < 3; count++) await submit({ channel: "c" });
  await until(() => watcher.events().filter(({ event }) => event === "completed").length === 4);
  expect(await rows("SELECT value FROM marks WHERE name = 'order'")).toEqual([{ value: 10_000 }]);
  expect(watcher.events().some((event) => event.cursor !== undefined || event.place !== undefined)).toBe(false);
});
