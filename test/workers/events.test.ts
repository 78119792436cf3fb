import { reset } from "cloudflare:test";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { call, crash, ended, evict, inside, mailboxOf, send, submit, until } from "../support/service.ts";
import { connect } from "../support/socket.ts";
import { read, type Told } from "../support/sse.ts";
import { later, running, start, TEXT, WORDS } from "../support/telling.ts";
import { completion, resetWorld, world } from "../support/world.ts";

beforeEach(resetWorld);
afterEach(reset);

const events = (id: string, headers: Record<string, string> = {}, query = "") =>
  send(`/v1/jobs/${id}/events${query}`, { headers: { authorization: "Bearer sk-dev-alice", ...headers } });

const names = (told: Told[]) => told.map(({ event }) => event).filter((name, index, all) => name !== "delta" || all[index - 1] !== "delta");
const textOf = (told: Told[]) =>
  told
    .filter(({ event }) => event === "delta")
    .flatMap(({ data }) => (data as { chunks: { choices: { delta: { content?: string } }[] }[] }).chunks)
    .map(({ choices }) => choices[0]?.delta.content ?? "")
    .join("");

/** From `first` on, without a gap or a repeat. */
function expectGapless(told: Told[], first = 1): void {
  expect(told.map(({ seq }) => seq)).toEqual(told.map((_, index) => first + index));
}

describe("GET /v1/jobs/{id}/events", () => {
  it("a job from its beginning to its end, deltas included; then the answer ends", async () => {
    world.upstream = () => completion(TEXT);
    const { id } = await submit(later);
    const response = await events(id);
    expect(response.status).toBe(200);
    expect(response.headers.get("content-type")).toContain("text/event-stream");
    const reading = read(response);
    await start();
    const told = await reading;
    expect(names(told)).toEqual(["queued", "in_progress", "delta", "completed"]);
    expectGapless(told);
    expect(textOf(told)).toBe(TEXT);
    expect(told.at(-1)!.data).toEqual(await ended(id));
  });

  it("deltas=false -> the numbers of deltas are left out, nothing else", async () => {
    world.upstream = () => completion(TEXT);
    const { id } = await submit(later);
    const [all, few] = [read(await events(id)), read(await events(id, {}, "?deltas=false"))];
    await start();
    expect(await few).toEqual((await all).filter(({ event }) => event !== "delta"));
  });

  it("the reader leaves in mid-stream and comes back with Last-Event-ID -> the rest, no gap, no repeat", async () => {
    const { id, say, finish } = await running();
    const first = read(await events(id), (told) => textOf(told) === "Once upon ");
    for (const word of WORDS.slice(0, 2)) say(word);
    const before = await first;
    for (const word of WORDS.slice(2, 5)) say(word);
    const second = read(await events(id, { "last-event-id": String(before.at(-1)!.seq) }));
    for (const word of WORDS.slice(5)) say(word);
    finish();
    const told = [...before, ...(await second)];
    expectGapless(told);
    expect(textOf(told)).toBe(TEXT);
  });

  it("the mailbox dies in mid-stream -> the reader notices nothing", async () => {
    const { id, say, finish } = await running();
    for (const word of WORDS.slice(0, 4)) say(word);
    const told: Told[] = [];
    const reading = read(await events(id), (all) => {
      told.splice(0, told.length, ...all);
      return false;
    });
    await until(() => textOf(told) === WORDS.slice(0, 4).join(""));
    await evict(mailboxOf(id));
    for (const word of WORDS.slice(4)) say(word);
    finish();
    const all = await reading;
    expectGapless(all);
    expect(textOf(all)).toBe(TEXT);
    expect(all.at(-1)!.event).toBe("completed");
  });

  it("everything dies while a job waits -> the reader still hears its end", async () => {
    const { id } = await submit(later);
    const reading = read(await events(id, {}, "?deltas=false"));
    await crash();
    await until(async () => (await call("GET", `/v1/jobs/${id}`)).status === 202);
    await start();
    const told = await reading;
    expect(told.at(-1)).toMatchObject({ event: "completed", data: { id } });
  });

  it("a reader that does not read -> is sent a window and no more, and the rest from the log when it reads: as one, and the end", async () => {
    const { id, say, finish } = await running();
    const response = await events(id);
    await until(async () => (await inside(mailboxOf(id), (_, state) => state.getWebSockets().length)) === 1);
    const piece = "x".repeat(90_000);
    const rows = (table: string) =>
      inside(mailboxOf(id), (_, state) => state.storage.sql.exec<{ n: number }>(`SELECT count(*) AS n FROM ${table}`).one().n);
    for (let count = 0; count < 10; count++) {
      say(`${count}${piece}`);
      await until(async () => (await rows("delta_rows")) === count + 1);
    }
    await until(async () => (await rows("lags")) === 1);
    finish();
    const told = await read(response);
    expect(textOf(told)).toBe([...Array(10).keys()].map((count) => `${count}${piece}`).join(""));
    expect(told.filter(({ event }) => event === "delta").length).toBeLessThan(10);
    expect(told.at(-1)!.event).toBe("completed");
    expect(told.at(-1)!.seq).toBeGreaterThan(11);
    expect(await rows("lags")).toBe(0);
  });

  it("of a job that has ended: all of it; whoever has all is told 204, so that an EventSource stays away", async () => {
    const { id } = await submit();
    await ended(id);
    const told = await read(await events(id));
    expect(names(told)).toEqual(["queued", "in_progress", "completed"]);
    expect((await events(id, { "last-event-id": "2" })).status).toBe(200);
    expect((await events(id, { "last-event-id": "3" })).status).toBe(204);
  });

  it("Last-Event-ID beyond the end of a job that has ended -> the end is told, as over a socket", async () => {
    const { id } = await submit();
    await ended(id);
    expect(await read(await events(id, { "last-event-id": "99" }))).toEqual((await read(await events(id))).slice(-1));
  });

  it("of a job that has ended, from the middle of a stream that is more than a window: the rest, and no piece of text twice", async () => {
    const client = await connect();
    const { id, say, finish } = await running();
    await client.subscribe({ jobs: [id], deltas: true });
    const pieces = [..."abcdefghij"].map((letter) => letter.repeat(90_000));
    for (const [index, piece] of pieces.entries()) {
      say(piece);
      await until(() => client.events(id).length === index + 3);
    }
    finish();
    await client.saw(id, "completed");
    const told = await read(await events(id, { "last-event-id": "9" }));
    expect(textOf(told) === pieces.slice(7).join("")).toBe(true);
  });

  it("Last-Event-ID beyond what a waiting job has -> what comes is told, as over a socket, though the mailbox dies before", async () => {
    world.upstream = () => completion(TEXT);
    const { id } = await submit(later);
    const reading = read(await events(id, { "last-event-id": "99" }));
    await until(async () => (await inside(mailboxOf(id), (_, state) => state.getWebSockets().length)) === 1);
    await crash();
    await until(async () => (await inside(mailboxOf(id), (_, state) => state.getWebSockets().length)) === 1);
    await start();
    const told = await reading;
    expect(names(told)).toEqual(["in_progress", "delta", "completed"]);
    expectGapless(told, 2);
  });

  it("a cancelled job -> its end is told", async () => {
    const { id } = await submit(later);
    const reading = read(await events(id));
    await call("POST", `/v1/jobs/${id}/cancel`);
    expect((await reading).at(-1)).toMatchObject({ event: "cancelled", data: { status: "cancelled" } });
  });

  it("the reader leaves -> the mailbox is told, and sends to nobody", async () => {
    const { id } = await submit(later);
    const response = await events(id);
    await read(response, "queued");
    const count = "SELECT (SELECT count(*) FROM subscriptions) + (SELECT count(*) FROM followers) AS rows";
    const rows = () => inside(mailboxOf(id), (_, state) => state.storage.sql.exec<{ rows: number }>(count).one().rows);
    await until(async () => (await rows()) === 0);
  });

  it.each(["-1", "1.5", "soon"])("Last-Event-ID %s -> 400", async (last) => {
    const { id } = await submit(later);
    expect((await events(id, { "last-event-id": last })).status).toBe(400);
  });

  it("another tenant's job -> 404", async () => {
    const { id } = await submit(later);
    expect((await events(id, { authorization: "Bearer sk-dev-bob" })).status).toBe(404);
  });
});

describe("GET /v1/jobs/{id}/events?wait", () => {
  type Page = { object: string; data: (Told & { job: string })[]; has_more: boolean; last_seq: number; ended: boolean };
  const poll = async (id: string, after: number, wait = 60) => {
    const { body, status } = await call<Page>("GET", `/v1/jobs/${id}/events?wait=${wait}&after=${after}`);
    expect(status).toBe(200);
    return body;
  };

  /** Polls until the job has ended; returns everything that it was told. */
  async function pollAll(id: string, after = 0, told: Told[] = []): Promise<Told[]> {
    for (let last = after; ; ) {
      const page = await poll(id, last);
      told.push(...page.data);
      last = page.last_seq;
      if (page.ended) return told;
    }
  }

  it("what is there is answered at once, whatever the wait", async () => {
    const { id } = await submit(later);
    expect(await poll(id, 0)).toMatchObject({ object: "list", data: [{ job: id, seq: 1, event: "queued" }], last_seq: 1, ended: false });
  });

  it("a stream of tokens, poll by poll: no gap, no repeat, the whole text; the mailbox dies in the middle", async () => {
    const { id, say, finish } = await running();
    const heard: Told[] = [];
    const polling = pollAll(id, 0, heard);
    for (const [index, word] of WORDS.entries()) {
      say(word);
      await until(() => textOf(heard).endsWith(word));
      if (index === 3) await evict(mailboxOf(id));
    }
    finish();
    const told = await polling;
    expectGapless(told);
    expect(textOf(told)).toBe(TEXT);
    expect(told.at(-1)!.data).toEqual(await ended(id));
  });

  it("a stream too long for one answer -> page by page, each says that there is more; and by stream from its middle", async () => {
    const client = await connect();
    const { id, say } = await running();
    await client.subscribe({ jobs: [id], deltas: true });
    const letters = "abcdefghijklmnopqrstuvwxyzabcdefghij";
    for (const [index, letter] of [...letters].entries()) {
      say(letter.repeat(1_000_000));
      await until(() => client.events(id).length > index + 2);
    }
    const newest = client.events(id).at(-1)!.seq;
    const told: Told[] = [];
    for (let page = await poll(id, 0); ; page = await poll(id, page.last_seq)) {
      told.push(...page.data);
      expect(page).toMatchObject({ has_more: page.last_seq < newest, ended: false });
      if (!page.has_more) break;
    }
    expectGapless(told);
    const text = [...letters].map((letter) => letter.repeat(1_000_000)).join("");
    expect(textOf(told) === text).toBe(true);
    const streamed = await read(await events(id, { "last-event-id": "4" }), (all) => all.at(-1)?.seq === newest);
    expect(textOf(streamed) === text.slice(2_000_000)).toBe(true);
  });

  it("by poll, then by stream, then by poll again: one sequence", async () => {
    const { id, say, finish } = await running();
    expect((await poll(id, 1)).last_seq).toBe(2);
    const first = poll(id, 2);
    say(WORDS[0]!);
    const { data, last_seq } = await first;
    const second = read(await events(id, { "last-event-id": String(last_seq) }), (told) => textOf(told).endsWith(WORDS[4]!));
    for (const word of WORDS.slice(1, 5)) say(word);
    const middle = await second;
    for (const word of WORDS.slice(5)) say(word);
    finish();
    const told = [...data, ...middle, ...(await pollAll(id, middle.at(-1)!.seq))];
    expectGapless(told, 3);
    expect(textOf(told)).toBe(TEXT);
  });

  it("after the end of a job that has ended -> at once: nothing more, and ended", async () => {
    const { id } = await submit();
    await ended(id);
    const nothing = { object: "list", data: [], has_more: false, last_seq: 3, ended: true };
    expect(await poll(id, 3)).toEqual(nothing);
    expect(await poll(id, 3, 0)).toEqual(nothing);
  });

  it("beyond the end of a job that has ended -> at once: the end", async () => {
    const { id } = await submit();
    await ended(id);
    const end = { data: [{ seq: 3, event: "completed", data: { id } }], has_more: false, last_seq: 3, ended: true };
    expect(await poll(id, 99)).toMatchObject(end);
    expect(await poll(id, 99, 0)).toMatchObject(end);
  });

  it("beyond what a waiting job has -> goes on after what there is, and is told the rest", async () => {
    const { id } = await submit(later);
    expect(await poll(id, 99, 0)).toEqual({ object: "list", data: [], has_more: false, last_seq: 1, ended: false });
    const polling = pollAll(id, 99);
    await until(async () => (await inside(mailboxOf(id), (_, state) => state.getWebSockets().length)) === 1);
    await start();
    const told = await polling;
    expect(names(told).at(-1)).toBe("completed");
    expectGapless(told, 2);
  });

  it("nothing comes in time -> an empty list that says where to go on, and the mailbox is left alone", async () => {
    const { id } = await submit(later);
    expect(await poll(id, 1, 0.05)).toEqual({ object: "list", data: [], has_more: false, last_seq: 1, ended: false });
    const count = "SELECT (SELECT count(*) FROM subscriptions) + (SELECT count(*) FROM followers) AS rows";
    const rows = () => inside(mailboxOf(id), (_, state) => state.storage.sql.exec<{ rows: number }>(count).one().rows);
    await until(async () => (await rows()) === 0);
  });

  it("Accept: application/json without a wait -> the log as it stands, without deltas if they are not wanted", async () => {
    world.upstream = () => completion(TEXT);
    const { id } = await submit(later);
    const reading = read(await events(id));
    await start();
    const all = await reading;
    const list = async (query: string) => ((await (await events(id, { accept: "application/json" }, query)).json()) as Page).data;
    expect((await list("")).map(({ seq }) => seq)).toEqual(all.map(({ seq }) => seq));
    expect((await list("?deltas=false")).map(({ event }) => event)).toEqual(["queued", "in_progress", "completed"]);
  });

  it("Prefer: wait=… -> says that it was heeded", async () => {
    const { id } = await submit(later);
    const response = await events(id, { prefer: "wait=90" });
    expect(response.headers.get("preference-applied")).toBe("wait=60");
  });

  it.each(["-1", "soon"])("wait=%s -> 400", async (wait) => {
    const { id } = await submit(later);
    expect((await events(id, {}, `?wait=${wait}`)).status).toBe(400);
  });

  it("another tenant's job, and one that never was -> 404", async () => {
    const { id } = await submit(later);
    expect((await events(id, { authorization: "Bearer sk-dev-bob" }, "?wait=1")).status).toBe(404);
    expect((await events(`${id.slice(0, -1)}_`, {}, "?wait=1")).status).toBe(404);
  });
});
