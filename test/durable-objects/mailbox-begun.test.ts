/** When an attempt began, whoever looked: for a job that nobody watches, this is written only with its end. */
import { reset } from "cloudflare:test";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { Desk } from "../../durable-objects/mailbox/desk.ts";
import { Coordinator } from "../support/entry.ts";
import { advanceTo, call, coordinator, ended, evict, inside, mailbox, over, story, submit, until } from "../support/service.ts";
import { connect } from "../support/socket.ts";
import { completion, EPOCH, gated, refusal, resetWorld, world } from "../support/world.ts";

beforeEach(resetWorld);
afterEach(async () => {
  vi.restoreAllMocks();
  await reset();
});

const STARTED = EPOCH / 1_000;

const rows = () => inside(mailbox("alice", "c"), (instance) => (instance as unknown as { rowsWritten(): number }).rowsWritten());

describe("a job that nobody watches", () => {
  it("in_progress -> cancelled: when it began stays, and its log says so", async () => {
    gated(() => completion("late"));
    const { id } = await submit({ channel: "c" });
    await until(() => world.waiting === 1);
    world.now += 5_000;
    const { body } = await call("POST", `/v1/jobs/${id}/cancel`);
    expect(body).toMatchObject({ status: "cancelled", attempts: 1, started_at: STARTED, ended_at: STARTED + 5 });
    expect(await story(id)).toEqual(["queued", "in_progress", "cancelled"]);
  });

  it("in_progress -> failed: so it is where upstream refuses, at no row more", async () => {
    const gate = gated(() => refusal(400, "no"));
    const { id } = await submit({ channel: "c" });
    await until(() => world.waiting === 1);
    const before = await rows();
    world.now += 5_000;
    gate.open = true;
    await over(id);
    expect((await rows()) - before).toBe(1);
    expect(await ended(id)).toMatchObject({ status: "failed", attempts: 1, started_at: STARTED, ended_at: STARTED + 5 });
    expect(await story(id)).toEqual(["queued", "in_progress", "failed"]);
  });

  it("and whose mailbox slept while it ran: the coordinator knows", async () => {
    const gate = gated(() => refusal(400, "no"));
    const { id } = await submit({ channel: "c" });
    await until(() => world.waiting === 1);
    await evict(mailbox("alice", "c"));
    world.now += 5_000;
    gate.open = true;
    await over(id);
    expect(await ended(id)).toMatchObject({ status: "failed", started_at: STARTED });
    expect(await story(id)).toEqual(["queued", "in_progress", "failed"]);
  });

  it("and is asked for after its mailbox slept: what is told then does not vanish with its end", async () => {
    gated(() => completion("late"));
    const { id } = await submit({ channel: "c" });
    await until(() => world.waiting === 1);
    await evict(mailbox("alice", "c"));
    world.now += 5_000;
    const { body: seen } = await call("GET", `/v1/jobs/${id}`);
    expect(seen).toMatchObject({ status: "in_progress", started_at: STARTED });
    const { body } = await call("POST", `/v1/jobs/${id}/cancel`);
    expect(body).toMatchObject({ status: "cancelled", started_at: STARTED });
  });

  it("in_progress -> retrying -> completed: it began with its first attempt", async () => {
    world.upstream = () => (world.calls.length === 1 ? refusal(500, "broken") : completion("ok"));
    const { id } = await submit({ channel: "c" });
    await until(async () => (await call("GET", `/v1/jobs/${id}`)).body.last_failure != null);
    await advanceTo(EPOCH + 60_000);
    expect(await ended(id)).toMatchObject({ status: "completed", attempts: 2, started_at: STARTED });
    expect(await story(id)).toEqual(["queued", "in_progress", "retrying", "in_progress", "completed"]);
  });

  it("and whose coordinator was replaced meanwhile: it began when it began", async () => {
    const gate = gated(() => refusal(400, "no"));
    const { id } = await submit({ channel: "c" });
    await until(() => world.waiting === 1);
    world.now += 5_000;
    await inside(coordinator(), (_, state) => state.abort("replaced")).catch(() => {});
    expect((await call("GET", `/v1/jobs/${id}`)).body.started_at).toBe(STARTED);
    gate.open = true;
    await over(id);
    expect(await ended(id)).toMatchObject({ status: "failed", started_at: STARTED });
  });

  it.each([
    ["stayed awake", false],
    ["slept since", true],
  ])("that only met a rate limit until its deadline has not begun: its mailbox %s", async (_, sleeps) => {
    world.upstream = () => refusal(429, "rate_limit_exceeded", { "retry-after": "60" });
    const { id } = await submit({ channel: "c", deadline: STARTED + 30 });
    await until(() => world.calls.length === 1);
    await until(async () => (await call("GET", `/v1/jobs/${id}`)).body.status === "queued");
    if (sleeps) await evict(mailbox("alice", "c"));
    await advanceTo(EPOCH + 30_000);
    await over(id);
    expect(await ended(id)).toMatchObject({ status: "expired", attempts: 0, started_at: null });
    expect(await story(id)).toEqual(["queued", "expired"]);
  });

  it("that ended while it was asked for is not taken for running ever after", async () => {
    const gate = gated();
    const { id } = await submit({ channel: "c" });
    await until(() => world.waiting === 1);
    await evict(mailbox("alice", "c"));
    const { locate } = Coordinator.prototype;
    const answers = { kept: 0, go: false };
    vi.spyOn(Coordinator.prototype, "locate").mockImplementation(async function (this: Coordinator, ...args) {
      const places = await locate.apply(this, args);
      answers.kept++;
      // Polls until a step of the test ends the wait, because one object must not settle another's promise.
      while (!answers.go) await scheduler.wait(2);
      return places;
    });
    const seen = call("GET", `/v1/jobs/${id}`);
    await until(() => answers.kept > 0);
    gate.open = true;
    const one = () => inside(mailbox("alice", "c"), (_, state) => state.storage.sql.exec("SELECT status FROM jobs").one());
    await until(async () => (await one()).status === "completed");
    answers.go = true;
    expect((await seen).body.status).toBe("completed");
    const running = await inside(mailbox("alice", "c"), (object) => [...(object as unknown as { desk: Desk }).desk.running.keys()]);
    expect(running).toEqual([]);
  });

  it("that ends before any attempt began is not said to have begun", async () => {
    const { id } = await submit({ channel: "c", not_before: STARTED + 60, deadline: STARTED + 120 });
    await call("POST", `/v1/jobs/${id}/cancel`);
    expect(await ended(id)).toMatchObject({ status: "cancelled", attempts: 0, started_at: null });
    expect(await story(id)).toEqual(["queued", "cancelled"]);
  });
});

it("a watched one, refused before it was put down that it runs: that it ran is told first, and once", async () => {
  world.upstream = () => refusal(400, "no");
  const client = await connect({ channel: "c" });
  client.send({ type: "subscribe", channel: "c" });
  const told = [];
  for (let n = 0; n < 10; n++) told.push((await submit({ channel: "c" })).id);
  for (const id of told) {
    await client.saw(id, "failed");
    expect(client.story(id)).toEqual(["1 queued", "2 in_progress", "3 failed"]);
  }
});
