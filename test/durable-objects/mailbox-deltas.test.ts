import { reset } from "cloudflare:test";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Job } from "../../schemas/job.ts";
import { advanceTo, call, crash, ended, evict, inside, mailbox, submit, until } from "../support/service.ts";
import { answerOf, type Client, connect } from "../support/socket.ts";
import { later, running, start, TEXT, WORDS } from "../support/telling.ts";
import { completion, EPOCH, refusal, resetWorld, world } from "../support/world.ts";

beforeEach(resetWorld);
afterEach(reset);

/** Numbers 1, 2, 3, … without a gap or a repeat. */
function expectGapless(client: Client, job: string): void {
  const seqs = client.events(job).map(({ seq }) => seq);
  expect(seqs).toEqual(seqs.map((_, index) => index + 1));
}

describe("with deltas", () => {
  it.each([
    ["in the lobby", undefined],
    ["at the source", "c"],
  ])("gapless, and put together they are the answer: socket %s", async (_, place) => {
    world.upstream = () => completion(TEXT);
    const client = await connect(place ? { channel: place } : {});
    const { id } = await submit({ channel: "c", ...later });
    await client.subscribe({ jobs: [id], deltas: true });
    await start();
    const { data } = await client.saw(id, "completed");
    expectGapless(client, id);
    expect(client.text(id)).toBe(TEXT);
    expect(answerOf(data as Job)).toBe(TEXT);
  });

  it("they come while the answer is made, chunks as upstream sent them", async () => {
    const client = await connect();
    await client.subscribe({ channel: "c", deltas: true });
    const { id, say, finish } = await running({ channel: "c" });
    for (const word of WORDS) {
      say(word);
      await until(() => client.text(id).endsWith(word));
    }
    expect(client.events(id).some(({ event }) => event === "completed")).toBe(false);
    finish();
    await client.saw(id, "completed");
    expectGapless(client, id);
    expect(client.text(id)).toBe(TEXT);
    const { chunks } = client.events(id).find(({ event }) => event === "delta")!.data as { chunks: unknown[] };
    expect(chunks[0]).toMatchObject({ object: "chat.completion.chunk", choices: [{ delta: { content: WORDS[0] } }] });
  });

  it("who comes in the middle gets everything from the first delta", async () => {
    const { id, say, finish } = await running();
    for (const word of WORDS.slice(0, 4)) say(word);
    const client = await connect();
    await client.subscribe({ jobs: [id], deltas: true });
    await until(() => client.text(id) === WORDS.slice(0, 4).join(""));
    for (const word of WORDS.slice(4)) say(word);
    finish();
    await client.saw(id, "completed");
    expectGapless(client, id);
    expect(client.text(id)).toBe(TEXT);
  });

  it("who comes in the middle by another lobby, while one watches already, gets the same", async () => {
    const first = await connect();
    await first.subscribe({ channel: "c", deltas: true });
    const { id, say, finish } = await running({ channel: "c" });
    for (const word of WORDS.slice(0, 4)) say(word);
    await until(() => first.text(id) === WORDS.slice(0, 4).join(""));
    const second = await connect({ channel: "c" });
    await second.subscribe({ jobs: [id], deltas: true });
    for (const word of WORDS.slice(4)) say(word);
    finish();
    for (const client of [first, second]) await client.saw(id, "completed");
    expect(second.events(id).slice(1)).toEqual(first.events(id).slice(1));
    expectGapless(second, id);
  });

  it("two watchers of one lobby, one with deltas and one without: each gets what it asked for", async () => {
    for (const place of [undefined, "c"]) {
      const [plain, rich] = [await connect({ channel: place ?? "lobby" }), await connect({ channel: place ?? "lobby" })];
      await plain.subscribe({ channel: "c" });
      await rich.subscribe({ channel: "c", deltas: true });
      const { id, say, finish } = await running({ channel: "c" });
      for (const word of WORDS) say(word);
      finish();
      await plain.saw(id, "completed");
      await rich.saw(id, "completed");
      expect(plain.events(id).map(({ event }) => event)).toEqual(["queued", "in_progress", "completed"]);
      expectGapless(rich, id);
      expect(rich.text(id)).toBe(TEXT);
      const shared = rich.events(id).filter(({ event }) => event !== "delta");
      expect(plain.events(id)).toEqual(shared);
    }
  });

  it("who followed without deltas and asks for them in the middle gets them all, in order", async () => {
    const client = await connect();
    await client.subscribe({ channel: "c" });
    const watcher = await connect();
    await watcher.subscribe({ channel: "c", deltas: true });
    const { id, say, finish } = await running({ channel: "c", retry: "always" });
    for (const word of WORDS.slice(0, 4)) say(word);
    await until(() => watcher.text(id) === WORDS.slice(0, 4).join(""));
    await client.saw(id, "in_progress");
    await client.subscribe({ jobs: [id], deltas: true });
    for (const word of WORDS.slice(4)) say(word);
    finish();
    await client.saw(id, "completed");
    expect(client.text(id)).toBe(TEXT);
  });

  it("who asks for deltas after a retry gets those of both attempts", async () => {
    const [client, watcher] = [await connect(), await connect()];
    await client.subscribe({ channel: "c" });
    await watcher.subscribe({ channel: "c", deltas: true });
    const { id, say, break: breakOff } = await running({ channel: "c", retry: "always" });
    say("first");
    await until(() => watcher.text(id) === "first");
    breakOff();
    await client.saw(id, "retrying");
    await client.subscribe({ jobs: [id], deltas: true });
    world.upstream = () => completion("second");
    await advanceTo(EPOCH + 10_000);
    await client.saw(id, "completed");
    await watcher.saw(id, "completed");
    expect(client.text(id)).toBe("firstsecond");
    expect(client.events(id).filter(({ event }) => event === "delta")).toEqual(watcher.events(id).filter(({ event }) => event === "delta"));
  });

  it("nobody watches: nothing is kept", async () => {
    const { id } = await submit({ channel: "c" });
    await ended(id);
    expect(await deltaRows("c")).toBe(0);
    const client = await connect();
    await client.subscribe({ jobs: [id], deltas: true });
    await client.saw(id, "completed");
    expectGapless(client, id);
  });

  it("watched without deltas: nothing is kept", async () => {
    const client = await connect();
    await client.subscribe({ channel: "c" });
    const { id } = await submit({ channel: "c" });
    await client.saw(id, "completed");
    expect(await deltaRows("c")).toBe(0);
  });

  it("a long answer is a few rows, and chunks are kept to the letter", async () => {
    const client = await connect();
    await client.subscribe({ channel: "c", deltas: true });
    const { id, say, finish } = await running({ channel: "c" });
    let text = "";
    for (let word = 0; word < 40; word++) {
      say(`word ${word} `);
      text += `word ${word} `;
      await until(() => client.text(id) === text);
      // The object forgets which row it was filling; the next delta begins another.
      if (word === 20) await evict(mailbox("alice", "c"));
    }
    finish();
    await client.saw(id, "completed");
    expect(client.events(id).length).toBeGreaterThan(40);
    expect(await deltaRows("c")).toBe(2);
    const again = await connect();
    const after = client.events(id)[30]!.seq;
    await again.subscribe({ jobs: [id], deltas: true, after: { [id]: after } });
    await again.saw(id, "completed");
    expect(JSON.stringify(again.events(id))).toBe(JSON.stringify(client.events(id).slice(31)));
  });

  it("deltas that were written a row each, by an older program, are still read", async () => {
    world.upstream = () => completion(TEXT);
    const first = await connect();
    await first.subscribe({ channel: "c", deltas: true });
    const { id } = await submit({ channel: "c" });
    await first.saw(id, "completed");
    const written = first
      .events(id)
      .filter(({ event }) => event === "delta")
      .map(({ seq }) => seq);
    expect(written.length).toBeGreaterThan(0);
    await inside(mailbox("alice", "c"), (_, { storage: { sql } }) => {
      const { n } = sql.exec("SELECT max(n) AS n FROM delta_rows").one();
      sql.exec(
        "DELETE FROM migrations WHERE id >= '004_delta_rows'; DROP TABLE delta_rows; DROP TABLE passes; DROP TABLE lags; DROP TABLE consumers; DROP TABLE outages",
      );
      sql.exec(
        "ALTER TABLE subscriptions DROP COLUMN consumer; ALTER TABLE subscriptions DROP COLUMN place; ALTER TABLE followers DROP COLUMN leaves",
      );
      sql.exec(
        "ALTER TABLE calls DROP COLUMN sent_at; ALTER TABLE calls DROP COLUMN gives_up_at; ALTER TABLE calls DROP COLUMN promised_until",
      );
      sql.exec(
        "CREATE TABLE deltas (n INTEGER NOT NULL, seq INTEGER NOT NULL, attempt INTEGER NOT NULL, chunks TEXT NOT NULL, PRIMARY KEY (n, seq)) WITHOUT ROWID",
      );
      for (const seq of written) sql.exec("INSERT INTO deltas VALUES (?, ?, 1, ?)", n, seq, JSON.stringify([{ old: seq }]));
    });
    await evict(mailbox("alice", "c"));
    const second = await connect();
    await second.subscribe({ jobs: [id], deltas: true, after: { [id]: 1 } });
    await second.saw(id, "completed");
    const deltas = second.events(id).filter(({ event }) => event === "delta");
    expect(deltas.map(({ seq, data }) => [seq, data])).toEqual(written.map((seq) => [seq, { chunks: [{ old: seq }] }]));
  });

  it("the deltas are still there after the end, for who resumes", async () => {
    world.upstream = () => completion(TEXT);
    const first = await connect();
    await first.subscribe({ channel: "c", deltas: true });
    const { id } = await submit({ channel: "c" });
    await first.saw(id, "completed");
    await evict(mailbox("alice", "c"));
    const second = await connect();
    await second.subscribe({ jobs: [id], deltas: true });
    await second.saw(id, "completed");
    expect(second.events(id)).toEqual(
      first.events(id).map((each) => ({ ...each, data: each.event === "queued" ? expect.anything() : each.data })),
    );
  });
});

// A mailbox that slept has forgotten the attempt and the dispatcher of a running job: it must ask the coordinator.
it("who comes in the middle, after the mailbox slept, gets everything from the first delta", async () => {
  const { id, say } = await running({ channel: "c" });
  say("one ");
  await evict(mailbox("alice", "c"));
  const client = await connect();
  await client.subscribe({ jobs: [id], deltas: true });
  say("two");
  await until(() => client.text(id) === "one two", 100);
});

describe("an attempt that fails", () => {
  it("after its first deltas: the next begins anew, numbers go on", async () => {
    const client = await connect();
    await client.subscribe({ channel: "c", deltas: true });
    const first = await running({ channel: "c", retry: "always" });
    first.say("half");
    await until(() => client.text(first.id) === "half");
    first.break();
    await client.saw(first.id, "retrying");
    world.upstream = () => completion(TEXT);
    await advanceTo(EPOCH + 10_000);
    const { data } = await client.saw(first.id, "completed");
    expectGapless(client, first.id);
    const again = client.events(first.id).findIndex(({ event }) => event === "retrying");
    expect(
      client
        .events(first.id)
        .slice(again)
        .map(({ event }) => event),
    ).toEqual(["retrying", "in_progress", ...deltasOf(client, first.id, again), "completed"]);
    expect(client.text(first.id)).toBe(`half${TEXT}`);
    expect(data).toMatchObject({ attempts: 2, possible_duplicates: 1 });
  });

  it("and its notice is lost: told before the next attempt begins, so that the text begins anew", async () => {
    const [client, plain] = [await connect(), await connect()];
    await client.subscribe({ channel: "c", deltas: true });
    await plain.subscribe({ channel: "c" });
    const { id, say, break: breakOff } = await running({ channel: "c", retry: "always" });
    say("half");
    await until(() => client.text(id) === "half");
    let lost = 0;
    world.between.set("mailbox.judge", () => {
      lost++;
      throw new Error("lost");
    });
    breakOff();
    await until(() => lost === 4);
    world.between.delete("mailbox.judge");
    // A rate limit is not an attempt, and no event of its own tells of it.
    world.upstream = () => refusal(429, "rate_limit_exceeded", { "retry-after": "5" });
    await advanceTo(EPOCH + 10_000);
    await until(async () => world.calls.length === 2 && (await call("GET", `/v1/jobs/${id}`)).body.eta?.limited_by !== undefined);
    world.upstream = () => completion(TEXT);
    await advanceTo(EPOCH + 20_000);
    await client.saw(id, "completed");
    await plain.saw(id, "completed");
    const told = client.events(id).map(({ event, data }) => (event === "delta" ? event : [event, (data as { attempt?: number }).attempt]));
    const attempts = told.filter(([event]) => event !== "position");
    expect(attempts.slice(0, 5)).toEqual([["queued", undefined], ["in_progress", 1], "delta", ["retrying", 1], ["in_progress", 2]]);
    expect(told.filter(([event]) => event === "retrying")).toHaveLength(1);
    expect(client.text(id)).toBe(`half${TEXT}`);
    expectGapless(client, id);
    expect(plain.events(id)).toEqual(client.events(id).filter(({ event }) => event !== "delta"));
  });

  it("in_progress -> failed: after a consumer saw a part, a safe job is not silently called again, and is told so at once", async () => {
    const client = await connect();
    await client.subscribe({ channel: "c", deltas: true });
    const first = await running({ channel: "c" });
    first.say("half");
    await until(() => client.text(first.id) === "half");
    first.break();
    // At once: there is no backoff before a call that is not made.
    expect((await client.saw(first.id, "failed")).data).toMatchObject({ error: { code: "unknown_outcome" }, attempts: 1 });
    await advanceTo(EPOCH + 10_000);
    expect(world.calls).toHaveLength(1);
    expectGapless(client, first.id);
  });

  it("a rate limit is no event of its own, and numbers stay gapless", async () => {
    world.upstream = () => refusal(429, "rate_limit_exceeded", { "retry-after": "5" });
    const client = await connect();
    await client.subscribe({ channel: "c", deltas: true });
    const { id } = await submit({ channel: "c" });
    await until(async () => (await call("GET", `/v1/jobs/${id}`)).body.eta?.limited_by !== undefined && world.calls.length === 1);
    world.upstream = () => completion(TEXT);
    await advanceTo(EPOCH + 6_000);
    await client.saw(id, "completed");
    expectGapless(client, id);
    expect(client.text(id)).toBe(TEXT);
    expect(client.events(id).some(({ event }) => event === "retrying")).toBe(false);
  });
});

describe("numbers that were sent", () => {
  it("never change their meaning: a crash in the middle of a stream, then another attempt", async () => {
    const before = await connect();
    await before.subscribe({ channel: "c", deltas: true });
    const first = await running({ channel: "c", retry: "always" });
    for (const word of WORDS.slice(0, 3)) {
      first.say(word);
      await until(() => before.text(first.id).endsWith(word));
    }
    const told = before.events(first.id);
    await crash();
    world.upstream = () => completion(TEXT);
    await until(async () => (await call("GET", `/v1/jobs/${first.id}`)).body.eta?.limited_by === "retry");
    const after = await connect();
    await after.subscribe({ jobs: [first.id], deltas: true });
    await until(() => after.events(first.id).some(({ event }) => event === "retrying"));
    await advanceTo(EPOCH + 10_000);
    await after.saw(first.id, "completed");
    expectGapless(after, first.id);
    const same = told.map((each) => ({ ...each, data: each.event === "queued" ? expect.anything() : each.data }));
    expect(after.events(first.id).slice(0, told.length)).toEqual(same);
    expect(after.text(first.id)).toBe(`${WORDS.slice(0, 3).join("")}${TEXT}`);
    const resumed = await connect();
    await resumed.subscribe({ jobs: [first.id], deltas: true, after: { [first.id]: told.at(-1)!.seq } });
    await resumed.saw(first.id, "completed");
    expect(resumed.events(first.id)).toEqual(after.events(first.id).slice(told.length));
  });
});

function deltaRows(channel: string): Promise<unknown> {
  return inside(mailbox("alice", channel), (_, state) => state.storage.sql.exec("SELECT count(*) AS n FROM delta_rows").one().n);
}

function deltasOf(client: Client, job: string, from: number): string[] {
  return client
    .events(job)
    .slice(from)
    .flatMap(({ event }) => (event === "delta" ? [event] : []));
}
