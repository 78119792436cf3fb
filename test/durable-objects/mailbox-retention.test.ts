import { reset, runDurableObjectAlarm } from "cloudflare:test";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { advanceTo, call, ended, evict, inside, job, mailbox, submit, until } from "../support/service.ts";
import { connect } from "../support/socket.ts";
import { completion, EPOCH, resetWorld, script, world } from "../support/world.ts";

beforeEach(resetWorld);
afterEach(reset);

const HOUR = 3_600_000;
const RETENTION = 72 * HOUR;
const count = (table: string, channel = "c") =>
  inside(mailbox("alice", channel), (_, state) => state.storage.sql.exec(`SELECT count(*) AS n FROM ${table}`).one().n as number);
const alarmAt = () => inside(mailbox("alice", "c"), (_, state) => state.storage.getAlarm());
const status = async (id: string) => (await call("GET", `/v1/jobs/${id}`)).status;

/** Moves the clock and rings the mailbox's alarm, as the runtime would. */
async function ringAt(at: number): Promise<void> {
  world.now = at;
  await runDurableObjectAlarm(mailbox("alice", "c"));
}

/** Submits a job that ends at an instant. */
async function endedAt(at: number, more: Record<string, unknown> = {}): Promise<string> {
  world.now = at;
  const { id } = await submit({ channel: "c", ...more });
  await ended(id);
  return id;
}

describe("retention", () => {
  it("ended jobs go when their time is over: with payload, answer, deltas and key", async () => {
    const long = "😀".repeat(60_000);
    world.upstream = () => completion(long.slice(0, 60));
    const client = await connect({ channel: "c" });
    await client.subscribe({ channel: "c", deltas: true });
    const body = job({ channel: "c" }, { messages: [{ role: "user", content: long }] });
    const { id } = (await call("POST", "/v1/jobs", body, { headers: { "idempotency-key": "k" } })).body;
    await client.saw(id, "completed");
    const tables = ["jobs", "parts", "delta_rows", "idempotency"];
    for (const table of tables) expect([table, await count(table)]).not.toEqual([table, 0]);
    expect(await alarmAt()).toBe(EPOCH + HOUR);
    await ringAt(EPOCH + HOUR);
    expect(await alarmAt()).toBe(EPOCH + RETENTION);
    await ringAt(EPOCH + RETENTION - 1);
    expect(await status(id)).toBe(200);
    await ringAt(EPOCH + RETENTION);
    for (const table of tables) expect([table, await count(table)]).toEqual([table, 0]);
    expect(await status(id)).toBe(404);
    const again = await call("POST", "/v1/jobs", body, { headers: { "idempotency-key": "k" } });
    expect(again.body.id).not.toBe(id);
  });

  it("deltas go an hour after the end, and the result stands for them; those of a job that runs stay", async () => {
    world.upstream = () => completion("Hello");
    const client = await connect();
    await client.subscribe({ channel: "c", deltas: true });
    const { id } = await submit({ channel: "c" });
    await client.saw(id, "completed");
    const seen = client.events(id);
    const upstream = script();
    world.upstream = upstream.answer;
    const runs = await submit({ channel: "c" });
    await until(() => world.calls.length === 2);
    upstream.say("half");
    await until(() => client.text(runs.id) === "half");

    await ringAt(EPOCH + HOUR - 1);
    expect(await count("delta_rows")).toBe(2);
    await ringAt(EPOCH + HOUR);
    expect(await count("delta_rows")).toBe(1);

    const late = await connect();
    const middle = seen.find(({ event }) => event === "delta")!.seq;
    await late.subscribe({ jobs: [id], deltas: true, after: { [id]: middle } });
    expect(await late.saw(id, "completed")).toEqual(seen.at(-1));
    expect(late.events(id)).toHaveLength(1);
    await late.subscribe({ jobs: [runs.id], deltas: true });
    await until(() => late.text(runs.id) === "half");
  });

  it("one that waits or runs stays, however old", async () => {
    world.upstream = script().answer;
    const running = await submit({ channel: "c" });
    await until(() => world.calls.length === 1);
    const waiting = await submit({ channel: "c", not_before: (EPOCH + 10 * RETENTION) / 1_000 });
    world.upstream = () => completion("ok");
    const done = await endedAt(EPOCH + 1_000);
    await ringAt(EPOCH + 2 * RETENTION);
    expect([await status(done), await status(waiting.id)]).toEqual([404, 202]);
    expect(await count("jobs")).toBe(2);
    expect(await status(running.id)).not.toBe(404);
  });

  it("each goes in its own time, whatever the order in which they came", async () => {
    const late = await submit({ channel: "c", not_before: (EPOCH + 50 * HOUR) / 1_000 });
    const first = await endedAt(EPOCH + 10 * HOUR);
    const second = await endedAt(EPOCH + 20 * HOUR);
    await advanceTo(EPOCH + 50 * HOUR);
    await ended(late.id);
    await ringAt((await alarmAt())!);
    expect(world.now).toBe(EPOCH + 10 * HOUR + RETENTION);
    expect([await status(first), await status(second), await status(late.id)]).toEqual([404, 200, 200]);
    // The alarm may ring in between with nothing to do; what counts is that nothing outlives its time by more than an hour.
    while (world.now < EPOCH + 20 * HOUR + RETENTION) await ringAt((await alarmAt())!);
    expect(world.now).toBeLessThanOrEqual(EPOCH + 21 * HOUR + RETENTION);
    expect([await status(second), await status(late.id)]).toEqual([404, 200]);
  });

  it("every way to end counts: cancelled and expired jobs go too", async () => {
    const cancelled = await submit({ channel: "c", not_before: EPOCH / 1_000 + 60 });
    await call("POST", `/v1/jobs/${cancelled.id}/cancel`);
    const expired = await submit({ channel: "c", not_before: EPOCH / 1_000 + 60, deadline: EPOCH / 1_000 + 61 });
    await advanceTo(EPOCH + 61_000);
    await ended(expired.id);
    while ((await count("jobs")) > 0 && world.now < EPOCH + 2 * RETENTION) await ringAt((await alarmAt())!);
    expect(world.now).toBeLessThanOrEqual(EPOCH + RETENTION + HOUR);
  });

  it("more than a batch goes batch by batch", async () => {
    for (let n = 0; n < 2; n++) {
      const { body } = await call<{ data: { id: string }[] }>("POST", "/v1/jobs", {
        jobs: [...Array(400)].map(() => job({ channel: "c" })),
      });
      await until(async () => {
        await advanceTo(world.now + 10_000);
        return (
          (await call("GET", `/v1/jobs?channel=c&status=completed&limit=1&after=${body.data[0]!.id}`)).status === 200 &&
          (await unended()) === 0
        );
      });
    }
    world.now += RETENTION;
    await ringAt(world.now);
    const left = await count("jobs");
    expect(left).toBeLessThan(800);
    for (let rings = 0; rings < 5 && (await count("jobs")) > 0; rings++) await ringAt((await alarmAt())!);
    expect(await count("jobs")).toBe(0);
  });

  it("the alarm outlives sleep", async () => {
    const id = await endedAt(EPOCH);
    await evict(mailbox("alice", "c"));
    await ringAt(EPOCH + RETENTION);
    expect(await status(id)).toBe(404);
  });

  it("nothing left to keep, nothing left to ring for", async () => {
    await endedAt(EPOCH);
    await ringAt(EPOCH + RETENTION);
    expect(await alarmAt()).toBeNull();
  });
});

function unended(): Promise<number> {
  return inside(
    mailbox("alice", "c"),
    (_, state) => state.storage.sql.exec("SELECT count(*) AS n FROM jobs WHERE ended_at IS NULL").one().n as number,
  );
}
