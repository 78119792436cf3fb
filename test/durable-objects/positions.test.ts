import { reset } from "cloudflare:test";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { LOOKS } from "../../durable-objects/coordinator/watching.ts";
import type { JobEvent } from "../../schemas/event.ts";
import type { Logged, Move } from "../../schemas/rpc.ts";
import { Coordinator, Mailbox } from "../support/entry.ts";
import { advanceTo, call, coordinator, crash, evict, inside, job, mailbox, mailboxOf, pool, submit, until } from "../support/service.ts";
import { type Client, connect } from "../support/socket.ts";
import { kill } from "../support/stand.ts";
import { completion, EPOCH, refusal, resetWorld, silence, world } from "../support/world.ts";

/** One request a second; the first job has started. */
beforeEach(async () => {
  resetWorld();
  world.env.SLUICE_POOLS = JSON.stringify({ default: { rpm: 60, tpm: 60_000, burst_seconds: 1 } });
  world.upstream = silence();
  await submit({ channel: "first" });
});
afterEach(async () => {
  vi.restoreAllMocks();
  await reset();
});

/** Lets the next `count` jobs of the queue start, one at a time. */
async function start(count: number): Promise<void> {
  const { in_flight } = await pool("default");
  for (let n = 1; n <= count; n++) {
    // Takes a second, or a few after a crash: a restored budget keeps some requests back.
    await until(async () => {
      await advanceTo(world.now + 1_000);
      return (await pool("default")).in_flight >= in_flight + n;
    }, 20);
  }
}

const many = async (count: number, more: Record<string, unknown> = {}) =>
  (await call<{ data: { id: string }[] }>("POST", "/v1/jobs", { jobs: [...Array(count)].map(() => job(more)) })).body.data.map(
    ({ id }) => id,
  );
const placesOf = (events: JobEvent[]) => events.flatMap(({ data, event }) => (event === "position" ? [(data as Move).position] : []));
const places = (client: Client, id: string) => placesOf(client.events(id));
const replayed = async (id: string) => ((await mailboxOf(id).events(id, 0, false)) as Logged).events;
const gapless = (events: JobEvent[]) => expect(events.map(({ seq }) => seq)).toEqual(events.map((_, index) => index + 1));
const rowsOf = (channel: string) => inside(mailbox("alice", channel), (object) => (object as Mailbox).rowsWritten());

describe("a watched job that waits", () => {
  it("is told where it stands, then by change, then each of its last places, then that it runs", async () => {
    const ids = await many(9, { channel: "c" });
    const client = await connect();
    await client.subscribe({ jobs: [ids[8]!] });
    await client.saw(ids[8]!, "position");
    expect(client.events(ids[8]!).at(-1)).toEqual({
      ...{ type: "event", job: ids[8], seq: 2, event: "position" },
      data: { position: 9, eta: { p50: 9, p95: 11.75, limited_by: "rpm" } },
    });
    await start(9);
    await client.saw(ids[8]!, "in_progress");
    expect(places(client, ids[8]!)).toEqual([9, 6, 4, 3, 2, 1]);
    gapless(client.events(ids[8]!));
    expect(client.story(ids[8]!).at(-1)).toBe("8 in_progress");
  });

  it("of a watched channel is told its place as it comes in, after its beginning", async () => {
    const client = await connect({ channel: "c" });
    await client.subscribe({ channel: "c" });
    const [one, two] = await many(2, { channel: "c" });
    for (const id of [one!, two!]) await client.saw(id, "position");
    expect([client.story(one!), client.story(two!)]).toEqual([
      ["1 queued", "2 position"],
      ["1 queued", "2 position"],
    ]);
    await start(1);
    await until(() => places(client, two!).length === 2);
    expect(places(client, two!)).toEqual([2, 1]);
  });

  it("that starts at once is told no place", async () => {
    await advanceTo(EPOCH + 60_000);
    world.upstream = () => completion("ok");
    const client = await connect({ channel: "c" });
    await client.subscribe({ channel: "c" });
    const { id } = await submit({ channel: "c" });
    await client.saw(id, "completed");
    expect(client.story(id)).toEqual(["1 queued", "2 in_progress", "3 completed"]);
  });

  it("that is scheduled is told its place once it is in line", async () => {
    await many(3);
    const { id } = await submit({ channel: "c", not_before: EPOCH / 1_000 + 1 });
    const client = await connect();
    await client.subscribe({ jobs: [id] });
    await advanceTo(EPOCH + 1_000);
    await client.saw(id, "position");
    expect(places(client, id)).toEqual([3]);
  });

  it("comes forward because others are cancelled", async () => {
    const ids = await many(4, { channel: "c" });
    const client = await connect();
    await client.subscribe({ jobs: [ids[3]!] });
    await client.saw(ids[3]!, "position");
    await call("POST", `/v1/jobs/${ids[0]}/cancel`);
    await until(() => places(client, ids[3]!).length === 2);
    expect(places(client, ids[3]!)).toEqual([4, 3]);
  });

  it("after a rate limit is back in line, and is not told again what it knew", async () => {
    const { id } = await submit({ channel: "c" });
    const client = await connect();
    await client.subscribe({ jobs: [id] });
    await client.saw(id, "position");
    world.upstream = () => refusal(429, "rate_limit_exceeded", { "retry-after": "1" });
    await advanceTo(EPOCH + 1_000);
    await until(async () => (await call("GET", `/v1/jobs/${id}`)).body.eta?.limited_by !== undefined && world.calls.length === 2);
    world.upstream = () => completion("ok");
    await advanceTo(EPOCH + 60_000);
    await client.saw(id, "completed");
    expect(places(client, id)).toEqual([1]);
    gapless(client.events(id));
  });
});

describe("nobody watches", () => {
  it("no place is told, written or looked for", async () => {
    const moved = vi.spyOn(Mailbox.prototype, "moved");
    const ids = await many(4, { channel: "c" });
    const rows = await rowsOf("c");
    await start(3);
    expect(await rowsOf("c")).toBe(rows);
    expect(moved).not.toHaveBeenCalled();
    expect((await replayed(ids[3]!)).map(({ event }) => event)).toEqual(["queued"]);
  });

  it("any more: the coordinator is told when it next speaks, and is silent from then on", async () => {
    const ids = await many(6, { channel: "c" });
    const client = await connect({ channel: "c" });
    await client.subscribe({ jobs: [ids[5]!] });
    await client.saw(ids[5]!, "position");
    client.send({ type: "unsubscribe", jobs: [ids[5]!] });
    await until(() => client.frames.some((frame) => typeof frame !== "string" && frame.type === "unsubscribed"));
    const moved = vi.spyOn(Mailbox.prototype, "moved");
    await start(5);
    expect(moved).toHaveBeenCalledTimes(1);
    expect(await moved.mock.results[0]!.value).toEqual([ids[5]]);
    expect(placesOf(await replayed(ids[5]!))).toEqual([6]);
  });
});

describe("whatever dies", () => {
  it("a client that returns is sent the places that it missed", async () => {
    const ids = await many(6, { channel: "c" });
    const away = await connect();
    await away.subscribe({ jobs: [ids[5]!] });
    await away.saw(ids[5]!, "position");
    await start(3);
    await until(() => places(away, ids[5]!).length === 3);
    const back = await connect();
    await back.subscribe({ jobs: [ids[5]!], after: { [ids[5]!]: 2 } });
    await until(() => places(back, ids[5]!).length === 2);
    expect(back.events(ids[5]!)).toEqual(away.events(ids[5]!).slice(2));
  });

  /** Six jobs, the last of them watched; their mailbox sleeps. */
  async function asleep() {
    const ids = await many(6, { channel: "c" });
    const client = await connect();
    await client.subscribe({ jobs: [ids[5]!] });
    await client.saw(ids[5]!, "position");
    await evict(mailbox("alice", "c"));
    return { client, ids };
  }

  it("a mailbox that slept goes on counting", async () => {
    const { client, ids } = await asleep();
    await start(2);
    // Told before the next one leaves: the mailbox asks as it wakes, and a job that is at 3 in the answer is not told that it was at 4.
    await until(() => places(client, ids[5]!).at(-1) === 4);
    await start(3);
    await until(() => places(client, ids[5]!).at(-1) === 1);
    expect(places(client, ids[5]!)).toEqual([6, 4, 3, 2, 1]);
    gapless(await replayed(ids[5]!));
  });

  it("a mailbox that wakes slowly tells where the job stands by then, and no place that it had before", async () => {
    const { client, ids } = await asleep();
    const { enqueue } = Coordinator.prototype;
    let asked = () => {};
    const held = new Promise<void>((answer) => {
      asked = answer;
    });
    vi.spyOn(Coordinator.prototype, "enqueue").mockImplementation(async function (this: Coordinator, address, tickets) {
      await held;
      return enqueue.call(this, address, tickets);
    });
    await start(3);
    asked();
    await until(() => places(client, ids[5]!).at(-1) === 3);
    expect(places(client, ids[5]!)).toEqual([6, 3]);
    await start(2);
    await until(() => places(client, ids[5]!).at(-1) === 1);
    expect(places(client, ids[5]!)).toEqual([6, 3, 2, 1]);
    gapless(await replayed(ids[5]!));
  });

  it("a coordinator that died has forgotten; the next follower reminds it, and nothing is told twice", async () => {
    const ids = await many(6, { channel: "c" });
    const client = await connect({ channel: "c" });
    await client.subscribe({ jobs: [ids[5]!] });
    await client.saw(ids[5]!, "position");
    await kill(coordinator());
    await start(2);
    expect(places(client, ids[5]!)).toEqual([6]);
    await client.subscribe({ jobs: [ids[5]!], after: { [ids[5]!]: 2 } });
    await start(2);
    await until(() => places(client, ids[5]!).at(-1) === 2);
    expect(places(client, ids[5]!)).toEqual([6, 4, 3, 2]);
    gapless(await replayed(ids[5]!));
  });

  it("everything: the log goes on without a gap", async () => {
    const ids = await many(6, { channel: "c" });
    const watch = async () => (await connect()).subscribe({ jobs: [ids[5]!] });
    await watch();
    await until(async () => placesOf(await replayed(ids[5]!)).length === 1);
    await crash();
    await start(2);
    await watch();
    world.upstream = () => completion("ok");
    await until(async () => {
      await advanceTo(world.now + 5_000);
      return (await call("GET", `/v1/jobs/${ids[5]}`)).status === 200;
    });
    const events = await replayed(ids[5]!);
    gapless(events);
    expect(events.at(-1)!.event).toBe("completed");
  });
});

describe("a notice that comes", () => {
  const notice = (id: string, position: number, attempt = 0): Move => ({
    job: id,
    attempt,
    position,
    eta: { p50: 1, p95: 2, limited_by: "rpm" },
  });

  it("twice, is one event", async () => {
    const ids = await many(6, { channel: "c" });
    await (await connect()).subscribe({ jobs: [ids[5]!] });
    await until(async () => placesOf(await replayed(ids[5]!)).length === 1);
    for (let n = 0; n < 2; n++) expect(await mailbox("alice", "c").moved([notice(ids[5]!, 4)])).toEqual([]);
    expect(placesOf(await replayed(ids[5]!))).toEqual([6, 4]);
  });

  it("after the job began, is none", async () => {
    const { id } = await submit({ channel: "c" });
    const client = await connect();
    await client.subscribe({ jobs: [id] });
    await client.saw(id, "position");
    await start(1);
    await client.saw(id, "in_progress");
    await evict(mailbox("alice", "c"));
    await mailbox("alice", "c").moved([{ ...notice(id, 0.5) }]);
    expect((await replayed(id)).map(({ event }) => event)).toEqual(["queued", "position", "in_progress"]);
  });

  it("before the job's beginning was told, waits for that", async () => {
    const client = await connect({ channel: "c" });
    await client.subscribe({ channel: "c" });
    const { enqueue } = Coordinator.prototype;
    const { id } = await (async () => {
      vi.spyOn(Coordinator.prototype, "enqueue").mockImplementation(async function (this: Coordinator, address, tickets) {
        const answers = await enqueue.call(this, address, tickets);
        // This notice overtakes the answer, which waits 10 ms.
        void mailbox("alice", "c").moved([notice(tickets[0]!.job, 1)]);
        await scheduler.wait(10);
        return answers;
      });
      return submit({ channel: "c" });
    })();
    await client.saw(id, "position");
    expect(client.story(id)).toEqual(["1 queued", "2 position"]);
  });
});

describe("the coordinator's work", () => {
  it("is bounded in a turn: a few hundred jobs are looked at, in rotation, and a mailbox hears of all of its own at once", async () => {
    await reset();
    world.env.SLUICE_POOLS = JSON.stringify({ default: { rpm: 600, tpm: 60_000_000, burst_seconds: 30 } });
    const client = await connect({ channel: "c" });
    await client.subscribe({ channel: "c" });
    await many(450, { channel: "c" });
    await many(450, { channel: "c" });
    const { depth, in_flight } = await pool("default");
    expect([depth > 600, in_flight > 250]).toEqual([true, true]);
    const moved = vi.spyOn(Mailbox.prototype, "moved");
    await advanceTo(EPOCH + 30_000);
    const left = (await pool("default")).depth;
    expect(left).toBeLessThan(depth - 250);
    const told = () => new Set(moved.mock.calls.flatMap(([moves]) => moves.map((each) => each.job)));
    // Any call gives the coordinator a turn: the rotation goes on in it.
    await until(async () => {
      await coordinator().heartbeat("none", "none", []);
      return told().size >= left;
    });
    const sizes = moved.mock.calls.map(([moves]) => moves.length);
    expect(Math.max(...sizes)).toBeLessThanOrEqual(LOOKS);
    expect(sizes.length).toBeLessThan(left / 20);
  });
});
