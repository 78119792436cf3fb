import { reset } from "cloudflare:test";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { JobEvent } from "../../schemas/event.ts";
import { advanceTo, call, crash, ended, evict, inside, job, mailbox, submit, until } from "../support/service.ts";
import { type Client, connect } from "../support/socket.ts";
import { chunk, completion, EPOCH, refusal, resetWorld, script, stream, world } from "../support/world.ts";

beforeEach(resetWorld);
afterEach(reset);

const later = { not_before: EPOCH / 1_000 + 60 };
const start = () => advanceTo(EPOCH + 60_000);
/** `queued` is told again with the job as it is now; every other event is told again as it was. */
const bare = (events: JobEvent[]) => events.map(({ data, ...event }) => (event.event === "queued" ? event : { ...event, data }));

async function running(more: Record<string, unknown> = {}) {
  const upstream = script();
  world.upstream = upstream.answer;
  const calls = world.calls.length;
  const job = await submit(more);
  await until(() => world.calls.length > calls);
  return { ...upstream, id: job.id };
}

describe("resuming", () => {
  it("a connection that is cut anywhere loses nothing and repeats nothing", async () => {
    const step = fc.oneof(
      { weight: 5, arbitrary: fc.record({ kind: fc.constant("say" as const), text: fc.string({ minLength: 1, maxLength: 6 }) }) },
      { weight: 3, arbitrary: fc.record({ kind: fc.constant("cut" as const), lobby: fc.boolean(), late: fc.boolean() }) },
      { weight: 1, arbitrary: fc.record({ kind: fc.constant("evict" as const) }) },
    );
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 3, maxLength: 14 }), fc.boolean(), async (steps, wholeChannel) => {
        await reset();
        resetWorld();
        const uncut = await connect({ channel: "c" });
        await uncut.subscribe({ channel: "c", deltas: true });
        let client = await connect();
        await client.subscribe({ channel: "c", deltas: true });
        const { id, say, finish } = await running({ channel: "c" });
        const seen: JobEvent[] = [];
        const cut = () => {
          seen.push(...client.events(id));
          client.socket.close(1000);
        };
        const resume = async (lobby: boolean) => {
          client = await connect(lobby ? {} : { channel: "c" });
          const after = { [id]: seen.at(-1)?.seq ?? 0 };
          await client.subscribe({ deltas: true, after, ...(wholeChannel ? { channel: "c" } : { jobs: [id] }) });
        };
        let said = "";
        for (const each of steps) {
          if (each.kind === "say") {
            say(each.text);
            said += each.text;
            if (each.text.length > 3) await until(() => uncut.text(id) === said);
          } else if (each.kind === "cut") {
            cut();
            if (each.late) await until(() => uncut.text(id) === said);
            await resume(each.lobby);
          } else {
            await evict(mailbox("alice", "c")).catch(() => {});
          }
        }
        cut();
        finish();
        await uncut.saw(id, "completed");
        await resume(true);
        await client.saw(id, "completed");
        cut();
        expect(bare(seen)).toEqual(bare(uncut.events(id)));
        expect(uncut.events(id).map(({ seq }) => seq)).toEqual(uncut.events(id).map((_, index) => index + 1));
        expect(uncut.text(id)).toBe(said);
      }),
      { numRuns: 12, seed: 7 },
    );
  });

  it("after each number, once the job has ended: the rest, with deltas and without", async () => {
    world.upstream = () => completion("one two three four");
    const first = await connect();
    await first.subscribe({ channel: "c", deltas: true });
    const { id } = await submit({ channel: "c" });
    await first.saw(id, "completed");
    const all = bare(first.events(id));
    for (let seq = 0; seq < all.length; seq++) {
      for (const deltas of [true, false]) {
        const client = await connect();
        await client.subscribe({ jobs: [id], after: { [id]: seq }, deltas });
        await client.saw(id, "completed");
        expect(bare(client.events(id))).toEqual(all.filter((each) => each.seq > seq && (deltas || each.event !== "delta")));
      }
    }
  });

  it("after the last number: nothing comes, and the socket stays usable", async () => {
    const { id } = await submit({ channel: "c" });
    await ended(id);
    const client = await connect();
    await client.subscribe({ jobs: [id], after: { [id]: 3 } });
    await client.subscribe({ channel: "c" });
    const next = await submit({ channel: "c" });
    await client.saw(next.id, "completed");
    expect(client.events(id)).toEqual([]);
  });

  it("a channel's jobs resume by their numbers; one not named there brings only what is new", async () => {
    const first = await connect();
    await first.subscribe({ channel: "c" });
    const jobs = [await submit({ channel: "c" }), await submit({ channel: "c", ...later }), await submit({ channel: "c", ...later })];
    await first.saw(jobs[0]!.id, "completed");
    await first.saw(jobs[1]!.id, "queued");
    first.socket.close(1000);
    const client = await connect();
    await client.subscribe({ channel: "c", after: { [jobs[0]!.id]: 1, [jobs[1]!.id]: 1, job_x: 4 } });
    await start();
    for (const { id } of jobs) await client.saw(id, "completed");
    expect(jobs.map(({ id }) => client.story(id))).toEqual([
      ["2 in_progress", "3 completed"],
      ["2 in_progress", "3 completed"],
      ["2 in_progress", "3 completed"],
    ]);
    expect(client.errors()).toEqual([]);
  });
});

describe("more than one message holds", () => {
  const long = "x".repeat(450_000);
  const answer = () => {
    const [piece, end] = [
      { delta: { content: long }, finish_reason: null },
      { delta: {}, finish_reason: "stop" },
    ];
    const usage = { prompt_tokens: 5, completion_tokens: 5, total_tokens: 10 };
    return stream([...[piece, end].map((each) => chunk([{ index: 0, logprobs: null, ...each }])), { ...chunk([]), usage }, "[DONE]"]);
  };
  /** Sizes of the answers between mailboxes, in characters. */
  const measured = () => {
    const sizes: number[] = [];
    for (const method of ["mailbox.follow", "mailbox.missed"])
      world.between.set(method, async (go) => {
        const answer = await go();
        sizes.push(JSON.stringify(answer).length);
        return answer;
      });
    return sizes;
  };

  it.each([
    ["by name, over a lobby", "lobby", "jobs"],
    ["by name, at the source", "c", "jobs"],
    ["by the channel, over a lobby", "lobby", "channel"],
  ])("jobs that ended, %s: everything comes, in parts", async (_, place, kind) => {
    world.upstream = answer;
    const jobs: string[] = [];
    for (let count = 0; count < 12; count++) {
      const { id } = await submit({ channel: "c" });
      await ended(id);
      jobs.push(id);
    }
    const client = await connect({ channel: place });
    const sizes = measured();
    const after = Object.fromEntries(jobs.map((id) => [id, 1]));
    await client.subscribe(kind === "jobs" ? { jobs } : { channel: "c", after });
    for (const id of jobs) await client.saw(id, "completed");
    for (const id of jobs) expect(client.story(id)).toEqual(["1 queued", "2 in_progress", "3 completed"].slice(kind === "jobs" ? 0 : 1));
    expect(client.errors()).toEqual([]);
    expect(client.count("lagging")).toBe(0);
    expect(sizes.length > 0).toBe(place !== "c");
    expect(Math.max(0, ...sizes)).toBeLessThan(5_000_000);
    const rows = (table: string) =>
      inside(mailbox("alice", place), (_, { storage }) => storage.sql.exec(`SELECT count(*) AS n FROM ${table}`).one().n);
    await until(async () => (await rows("lags")) === 0 && (await rows("subscriptions")) === (kind === "jobs" ? 0 : 1));
  });

  it("one job of several attempts, its deltas and its end: everything comes, in order, also what comes meanwhile", async () => {
    const watcher = await connect({ channel: "c" });
    await watcher.subscribe({ channel: "c", deltas: true });
    const { id, say, break: breakOff } = await running({ channel: "c", retry: "always" });
    for (const letter of "abcde") {
      say(letter.repeat(500_000));
      await until(() => watcher.text(id).endsWith(letter));
    }
    breakOff();
    await watcher.saw(id, "retrying");
    const second = script();
    world.upstream = second.answer;
    await advanceTo(EPOCH + 10_000);
    for (const letter of "fghij") {
      second.say(letter.repeat(500_000));
      await until(() => watcher.text(id).endsWith(letter));
    }
    const client = await connect({ channel: "lobby" });
    const sizes = measured();
    await client.subscribe({ jobs: [id], deltas: true });
    second.say("end");
    second.finish();
    await client.saw(id, "completed");
    expect(client.text(id)).toBe(watcher.text(id));
    const numbers = client
      .events(id)
      .flatMap(({ from, seq }) => Array.from({ length: seq - (from ?? seq) + 1 }, (_, n) => (from ?? seq) + n));
    expect(numbers).toEqual(numbers.map((_, index) => index + 1));
    expect(sizes.length).toBeGreaterThan(1);
    expect(Math.max(...sizes)).toBeLessThan(5_000_000);
  });
});

describe("a socket that stays connected", () => {
  const wholeStory = async (client: Client, id: string) => {
    await client.saw(id, "completed");
    expect(client.story(id)).toEqual(["1 queued", "2 in_progress", "3 completed"]);
  };

  it.each(["before it starts", "while it runs"])("the job's mailbox slept %s: the result arrives", async (when) => {
    const client = await connect();
    const upstream = script();
    world.upstream = upstream.answer;
    const { id } = await submit({ channel: "c", ...later });
    await client.subscribe({ jobs: [id] });
    await client.saw(id, "queued");
    if (when === "before it starts") await evict(mailbox("alice", "c"));
    await start();
    await until(() => world.calls.length === 1);
    if (when === "while it runs") await evict(mailbox("alice", "c"));
    upstream.finish();
    await wholeStory(client, id);
  });

  it.each(["jobs", "channel"])("its lobby slept, subscribed by %s: the result arrives, and wakes it", async (kind) => {
    const client = await connect({ channel: "lobby" });
    const { id } = await submit({ channel: "c", ...later });
    await client.subscribe(kind === "jobs" ? { jobs: [id] } : { channel: "c", after: { [id]: 0 } });
    await client.saw(id, "queued");
    await evict(mailbox("alice", "lobby"));
    const wakes = world.wakes.get("alice/lobby")!;
    await start();
    await wholeStory(client, id);
    expect(world.wakes.get("alice/lobby")).toBe(wakes + 1);
  });

  it("both slept, in the middle of a stream: deltas go on without a gap", async () => {
    const client = await connect({ channel: "lobby" });
    await client.subscribe({ channel: "c", deltas: true });
    const { id, say, finish } = await running({ channel: "c" });
    say("one ");
    await until(() => client.text(id) === "one ");
    await evict(mailbox("alice", "lobby"));
    await evict(mailbox("alice", "c"));
    say("two");
    await until(() => client.text(id) === "one two");
    finish();
    await client.saw(id, "completed");
    expect(client.events(id).map(({ seq }) => seq)).toEqual(client.events(id).map((_, index) => index + 1));
  });

  it("who comes while it runs, after its mailbox slept: no gap", async () => {
    const { id, say, finish } = await running({ channel: "c" });
    await evict(mailbox("alice", "c"));
    const client = await connect();
    await client.subscribe({ jobs: [id] });
    await client.saw(id, "queued");
    say("x");
    finish();
    await wholeStory(client, id);
  });

  it.each(["jobs", "channel"])(
    "who comes by its %s while it runs, after its mailbox slept: told that it runs before it ends",
    async (kind) => {
      const { id, finish } = await running({ channel: "c" });
      await evict(mailbox("alice", "c"));
      const client = await connect();
      await client.subscribe(kind === "jobs" ? { jobs: [id] } : { channel: "c" });
      await client.saw(id, "in_progress");
      finish();
      await client.saw(id, "completed");
      expect(client.story(id).slice(-2)).toEqual(["2 in_progress", "3 completed"]);
    },
  );

  it("who comes to a channel where a thousand wait before the job that it names, after the mailbox slept: told that it runs, and its deltas", async () => {
    const lines = Array(1_000).fill(JSON.stringify(job({ channel: "c", ...later })));
    await call("POST", "/v1/jobs", lines.join("\n"), { headers: { "content-type": "application/jsonl" } });
    const { id, say, finish } = await running({ channel: "c" });
    await evict(mailbox("alice", "c"));
    const client = await connect();
    await client.subscribe({ channel: "c", jobs: [id], deltas: true });
    say("x");
    await until(() => client.text(id) === "x");
    finish();
    await client.saw(id, "completed");
    expect(client.events(id).map(({ seq }) => seq)).toEqual(client.events(id).map((_, index) => index + 1));
  });

  it("the mailbox of the job dies and comes back: the result arrives", async () => {
    const client = await connect({ channel: "lobby" });
    const upstream = script();
    world.upstream = upstream.answer;
    const { id } = await submit({ channel: "c", ...later });
    await client.subscribe({ jobs: [id] });
    await start();
    await until(() => world.calls.length === 1);
    await kill("c");
    upstream.finish();
    await wholeStory(client, id);
  });

  it.each([
    ["jobs", "c"],
    ["jobs", "lobby"],
    ["channel", "c"],
    ["channel", "lobby"],
  ])("one leaves as another comes, by %s at %s: the newcomer is not forgotten", async (kind, place) => {
    for (let round = 0; round < 5; round++) {
      const { id } = await submit({ channel: "c", not_before: (world.now + 60_000) / 1_000 });
      const what = kind === "jobs" ? { jobs: [id] } : { channel: "c", after: { [id]: 0 } };
      const [old, young] = [await connect({ channel: place }), await connect({ channel: place })];
      await old.subscribe(what);
      await old.saw(id, "queued");
      if (round % 2 === 0) old.socket.close(1000);
      else old.send({ type: "unsubscribe", ...what });
      await young.subscribe(what);
      await advanceTo(world.now + 60_000);
      await wholeStory(young, id);
    }
  });

  it("a verdict that is told twice, since the first word of it was lost, is told to who still waits", async () => {
    const client = await connect({ channel: "lobby" });
    const { id } = await submit({ channel: "c", ...later });
    await client.subscribe({ jobs: [id] });
    await client.saw(id, "queued");
    // As after a crash between writing and telling: the end is written, and the follower still waits for it.
    const job = mailbox("alice", "c");
    const problem = { status: 400, type: "t", code: "c", message: "m", param: null };
    await inside(job, (_, state) =>
      state.storage.sql.exec("UPDATE jobs SET status = 'failed', ended_at = 1, log = '[[2,\"failed\",1,null]]'"),
    );
    await evict(job);
    await job.judge([{ job: id, attempt: 1, kind: "failed", attempts: 1, unknown: 0, problem }]);
    await client.saw(id, "failed");
    expect(client.story(id)).toEqual(["1 queued", "2 failed"]);
  });
});

describe("after a crash of everything", () => {
  it("who connects again and resumes gets the rest", async () => {
    const first = await connect();
    const { id } = await submit({ channel: "c", ...later });
    await first.subscribe({ jobs: [id] });
    await first.saw(id, "queued");
    await crash();
    const second = await connect();
    await second.subscribe({ jobs: [id], after: { [id]: 1 } });
    await start();
    await second.saw(id, "completed");
    expect(second.story(id)).toEqual(["2 in_progress", "3 completed"]);
  });

  it("sockets that died are forgotten, and so are their subscriptions elsewhere", async () => {
    const client = await connect({ channel: "lobby" });
    await client.subscribe({ channel: "c" });
    await crash();
    const rows = (channel: string, table: string) =>
      inside(mailbox("alice", channel), (_, state) => state.storage.sql.exec(`SELECT count(*) AS n FROM ${table}`).one().n);
    await until(async () => (await rows("lobby", "subscriptions")) === 0);
    await until(async () => (await rows("c", "followers")) === 0);
  });

  it("failed while the client was away: it learns so when it resumes", async () => {
    world.upstream = () => refusal(400, "bad");
    const { id } = await submit({ channel: "c", ...later });
    await crash();
    await call("GET", `/v1/jobs/${id}`);
    await start();
    await ended(id);
    const client = await connect();
    await client.subscribe({ jobs: [id], after: { [id]: 1 } });
    await client.saw(id, "failed");
    expect(client.story(id)[0]).toMatch(/^2 /);
  });
});

/** Kills one mailbox, with everything that it has in memory. */
async function kill(channel: string): Promise<void> {
  await inside(mailbox("alice", channel), (_, state) => state.abort("killed by the test")).catch(() => {});
}
