import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Mailbox } from "../support/entry.ts";
import {
  alarmAt,
  deliveries,
  delivery,
  eventOf,
  HOOK,
  never,
  receive,
  redeliver,
  ringAt,
  ringUntil,
  verified,
} from "../support/receiver.ts";
import { advanceTo, call, ended, evict, inside, mailbox, over, submit, until } from "../support/service.ts";
import { cleared, kill } from "../support/stand.ts";
import { later } from "../support/telling.ts";
import { completion, EPOCH, refusal, resetWorld, world } from "../support/world.ts";

beforeEach(resetWorld);
afterEach(cleared);

const HOUR = 3_600_000;
const hooked = (more: Record<string, unknown> = {}, key?: string) => submit({ channel: "c", webhook: HOOK, ...more }, {}, key);
const status = (code: number, headers: Record<string, string> = {}) => new Response(null, { status: code, headers });
const rows = (table: string) =>
  inside(mailbox("alice", "c"), (_, state) => state.storage.sql.exec(`SELECT count(*) AS n FROM ${table}`).one().n as number);
const written = () => inside(mailbox("alice", "c") as DurableObjectStub<Mailbox>, (instance) => instance.rowsWritten());

describe("a job ends", () => {
  it("completed -> its webhook is told, and both verifiers find it genuine", async () => {
    const received = receive();
    const { id } = await hooked({ metadata: { order: "4711" } });
    const job = await ended(id);
    await delivery(id, { status: "delivered" });
    expect(received).toHaveLength(1);
    const [first] = received;
    const event = { id: id.replace("job_", "evt_"), object: "event", type: "job.completed", created_at: job.ended_at };
    const whole = { ...event, data: { ...job, truncated: false } };
    expect(await verified(first!)).toEqual({ openai: whole, standard: whole });
    expect(first).toMatchObject({ url: HOOK, redirect: "manual" });
    expect(first!.headers).toMatchObject({
      "content-type": "application/json",
      "webhook-id": event.id,
      "webhook-timestamp": String(EPOCH / 1_000),
      "webhook-signature": expect.stringMatching(/^v1,[A-Za-z0-9+/]{43}=$/),
    });
  });

  it("failed, cancelled, expired -> told by these names, with the error", async () => {
    const received = receive();
    world.upstream = () => refusal(400, "broken");
    const failed = await hooked();
    await delivery(failed.id, { status: "delivered" });
    const cancelled = await hooked({ not_before: EPOCH / 1_000 + 60 });
    await call("POST", `/v1/jobs/${cancelled.id}/cancel`);
    await delivery(cancelled.id, { status: "delivered" });
    const expired = await hooked({ not_before: EPOCH / 1_000 + 60, deadline: EPOCH / 1_000 + 61 });
    await advanceTo(EPOCH + 61_000);
    await delivery(expired.id, { status: "delivered" });
    const told = received.map(eventOf).map(({ type, data }) => [type, data.id, data.response, data.error?.code ?? null]);
    expect(told).toEqual([
      ["job.failed", failed.id, null, "broken"],
      ["job.cancelled", cancelled.id, null, null],
      ["job.expired", expired.id, null, "deadline_exceeded"],
    ]);
  });

  it("with a response that is too long -> the event says so, and stays small", async () => {
    const received = receive();
    world.upstream = () => completion("x".repeat(150_000));
    const { id } = await hooked();
    await delivery(id, { status: "delivered" });
    expect(received[0]!.body.length).toBeLessThan(5_000);
    expect(eventOf(received[0]!).data).toMatchObject({ id, status: "completed", response: null, truncated: true });
    expect(JSON.stringify((await ended(id)).response).length).toBeGreaterThan(150_000);
  });

  it("without a webhook -> not a row more than the job's own two, and nobody is told", async () => {
    const received = receive();
    await over((await submit({ channel: "c" })).id);
    const before = await written();
    const { id } = await submit({ channel: "c" });
    await over(id);
    expect([(await written()) - before, await rows("deliveries"), received.length]).toEqual([2, 0, 0]);
    expect(await deliveries(id)).toEqual([]);
  });

  it("with one -> three rows more until it is delivered", async () => {
    receive();
    await ended((await submit({ channel: "c" })).id);
    const before = await written();
    const { id } = await hooked();
    await delivery(id, { status: "delivered" });
    expect((await written()) - before).toBe(2 + 3);
  });
});

describe("the schedule", () => {
  it("a receiver that always fails -> ten attempts within 72 hours, each signed anew under the same id, then failed", async () => {
    const received = receive(() => status(500));
    world.random = 0;
    const { id } = await hooked();
    for (let attempts = 1; attempts <= 10; attempts++) await ringUntil(async () => (await deliveries(id))[0]?.attempts === attempts);
    const hours = received.map(({ at }) => (at - EPOCH) / 1_000);
    expect(hours).toEqual([0, 5, 305, 2_105, 9_305, 27_305, 63_305, 113_705, 185_705, 72 * 3_600]);
    expect(new Set(received.map(({ headers }) => headers["webhook-id"])).size).toBe(1);
    expect(new Set(received.map(({ body }) => body)).size).toBe(1);
    for (const each of received) {
      expect(each.headers["webhook-timestamp"]).toBe(String(Math.floor(each.at / 1_000)));
      await verified(each);
    }
    expect(await deliveries(id)).toMatchObject([{ status: "failed", attempts: 10, last_status: 500, next_attempt_at: null }]);
  });

  it("sleep between two attempts -> the next comes in its time", async () => {
    const received = receive((_, nth) => status(nth === 1 ? 503 : 204));
    const { id } = await hooked();
    await delivery(id, { attempts: 1, status: "pending" });
    await evict(mailbox("alice", "c"));
    await ringAt((await alarmAt())!);
    await delivery(id, { status: "delivered", attempts: 2, last_status: 204 });
    expect(received).toHaveLength(2);
  });

  it("Retry-After -> heard", async () => {
    receive((_, nth) => (nth === 1 ? status(429, { "retry-after": "120" }) : status(200)));
    const { id } = await hooked();
    const waiting = await delivery(id, { attempts: 1 });
    expect(waiting).toMatchObject({ status: "pending", last_status: 429, next_attempt_at: EPOCH / 1_000 + 120 });
    await ringUntil(async () => (await deliveries(id))[0]?.status === "delivered");
    expect(world.now).toBe(EPOCH + 120_000);
  });
});

describe("a receiver", () => {
  it("redirects -> a failure, and nobody goes where it leads", async () => {
    const received = receive(() => status(302, { location: "https://elsewhere.example.com/" }));
    const { id } = await hooked();
    expect(await delivery(id, { attempts: 1 })).toMatchObject({ status: "pending", last_status: 302, last_error: null });
    expect(received.map(({ url, redirect }) => [url, redirect])).toEqual([[HOOK, "manual"]]);
  });

  it("does not answer in time -> timed out, and again later", async () => {
    world.webhookTimeoutMs = 20;
    receive((_, nth, signal) => (nth === 1 ? never(signal) : status(200)));
    const { id } = await hooked();
    expect(await delivery(id, { attempts: 1 })).toMatchObject({ status: "pending", last_status: null, last_error: "timed_out" });
    await ringAt((await alarmAt())!);
    await delivery(id, { status: "delivered", attempts: 2 });
  });

  it("says 200 and never ends -> delivered, in time", async () => {
    world.webhookTimeoutMs = 20;
    receive(() => new Response(new ReadableStream({ start: (controller) => controller.enqueue(new Uint8Array([1])) })));
    const { id } = await hooked();
    expect(await delivery(id, { attempts: 1 })).toMatchObject({ status: "delivered", last_status: 200 });
  });

  it("sends without end -> is not listened to for long", async () => {
    let pulled = 0;
    const pull = (controller: ReadableStreamDefaultController) => {
      pulled++;
      controller.enqueue(new Uint8Array(1_024));
    };
    receive(() => new Response(new ReadableStream({ pull })));
    const { id } = await hooked();
    await delivery(id, { status: "delivered" });
    expect(pulled).toBeLessThan(100);
  });

  it("cannot be reached -> again later", async () => {
    receive(() => {
      throw new Error("connection refused");
    });
    const { id } = await hooked();
    expect(await delivery(id, { attempts: 1 })).toMatchObject({ status: "pending", last_status: null, last_error: "unreachable" });
  });

  it("410 -> told no more in this channel: not what waits, not what comes; other URLs are", async () => {
    let gone = false;
    const received = receive(({ url }) => status(url !== HOOK ? 200 : gone ? 410 : 500));
    const waiting = await hooked();
    await delivery(waiting.id, { attempts: 1 });
    gone = true;
    const refused = await hooked();
    await delivery(refused.id, { status: "disabled", last_status: 410 });
    await delivery(waiting.id, { status: "disabled", attempts: 1, last_status: 500 });
    const calls = received.length;
    const late = await hooked();
    await ended(late.id);
    expect(await delivery(late.id, { status: "disabled" })).toMatchObject({ attempts: 0, next_attempt_at: null });
    expect(received).toHaveLength(calls);
    const other = await hooked({ webhook: `${HOOK}/2` });
    await delivery(other.id, { status: "delivered" });
  });

  it("410, and sent again by hand with success -> told again", async () => {
    let answer = 410;
    const received = receive(() => status(answer));
    const first = await hooked();
    const { id } = await delivery(first.id, { status: "disabled" });
    answer = 200;
    expect((await redeliver(first.id, id)).status).toBe(202);
    await delivery(first.id, { status: "delivered", attempts: 2 });
    const next = await hooked();
    await delivery(next.id, { status: "delivered" });
    expect(received).toHaveLength(3);
  });

  it("410 while another attempt is under way that then succeeds -> that one is delivered, and the URL stays disabled", async () => {
    const slow = Promise.withResolvers<Response>();
    const received = receive((_, nth) => (nth === 1 ? slow.promise : status(410)));
    const first = await hooked();
    await until(() => received.length === 1);
    const second = await hooked();
    await delivery(second.id, { status: "disabled" });
    slow.resolve(status(200));
    await delivery(first.id, { status: "delivered" });
    const late = await hooked();
    await ended(late.id);
    await delivery(late.id, { status: "disabled", attempts: 0 });
  });

  it("gone -> forgotten with the retention time", async () => {
    receive((_, nth) => status(nth === 1 ? 410 : 200));
    await delivery((await hooked()).id, { status: "disabled" });
    await ringAt(EPOCH + 72 * HOUR);
    expect([await rows("gone"), await rows("deliveries"), await rows("jobs")]).toEqual([0, 0, 0]);
    await delivery((await hooked()).id, { status: "delivered" });
  });

  it("never answers, with many events for it -> others get theirs, and at most four requests are under way", async () => {
    const slow = "https://slow.example.com/";
    const waiting = { now: 0, most: 0 };
    receive(async ({ url }, _, signal) => {
      waiting.most = Math.max(waiting.most, ++waiting.now);
      return (url === slow ? never(signal) : Promise.resolve(status(200))).finally(() => waiting.now--);
    });
    for (let n = 0; n < 6; n++) await hooked({ webhook: slow });
    const others = await Promise.all([...Array(6)].map((_, n) => hooked({ webhook: `https://fast${n % 3}.example.com/` })));
    for (const { id } of others) await delivery(id, { status: "delivered" });
    expect(waiting.now).toBe(2);
    expect(waiting.most).toBeLessThanOrEqual(4);
  });
});

it("the coordinator does not answer -> what is due is sent all the same, and it is asked once", async () => {
  const received = receive((_, nth) => status(nth === 1 ? 500 : 200));
  const { id } = await hooked(later);
  await call("POST", `/v1/jobs/${id}/cancel`);
  await until(() => received.length === 1);
  let asked = 0;
  world.between.set("coordinator.enqueue", async (go) => {
    asked++;
    // Polls until the test clears `between`, because one object must not settle another's promise.
    while (world.between.size > 0) await scheduler.wait(2);
    return go();
  });
  const submitted = submit({ channel: "c", ...later });
  await until(() => asked === 1);
  await ringAt(EPOCH + HOUR);
  await until(() => received.length === 2);
  expect(asked).toBe(1);
  world.between.clear();
  await submitted;
});

describe("the event cannot be written", () => {
  it("-> the job has not ended either; once it can be, both are", async () => {
    const received = receive();
    const { id } = await hooked({ not_before: EPOCH / 1_000 + 60 });
    const sql = (text: string) => inside(mailbox("alice", "c"), (_, state) => void state.storage.sql.exec(text));
    await sql("CREATE TRIGGER broken BEFORE INSERT ON deliveries BEGIN SELECT RAISE(ABORT, 'the disk is full'); END");
    expect((await call("POST", `/v1/jobs/${id}/cancel`)).status).toBe(500);
    expect((await call("GET", `/v1/jobs/${id}`)).status).toBe(202);
    expect(received).toHaveLength(0);
    await sql("DROP TRIGGER broken");
    expect((await call("POST", `/v1/jobs/${id}/cancel`)).body.status).toBe("cancelled");
    await delivery(id, { status: "delivered" });
  });

  it("nor what became of an attempt -> it stays due, and is not tried in a loop", async () => {
    const received = receive();
    const sql = (text: string) => inside(mailbox("alice", "c"), (_, state) => void state.storage.sql.exec(text));
    const { id } = await hooked({ not_before: EPOCH / 1_000 + 60 });
    await sql("CREATE TRIGGER broken BEFORE UPDATE ON deliveries BEGIN SELECT RAISE(ABORT, 'the disk is full'); END");
    await call("POST", `/v1/jobs/${id}/cancel`);
    await until(() => received.length === 1);
    for (let turn = 0; turn < 20; turn++) await call("GET", `/v1/jobs/${id}`);
    expect([received.length, (await deliveries(id))[0]?.status]).toEqual([1, "pending"]);
    await sql("DROP TRIGGER broken");
    await ringAt((await alarmAt())!);
    await delivery(id, { status: "delivered" });
    expect(received).toHaveLength(2);
  });
});

describe("the object dies", () => {
  it("between the commit and the request -> the event is sent all the same", async () => {
    let left = 0;
    receive(async (_, nth, signal) => {
      left = nth;
      return nth === 1 ? never(signal) : status(200);
    });
    const { id } = await hooked();
    await ended(id);
    await until(() => left === 1);
    await kill(mailbox("alice", "c"));
    // Nobody calls the object: only its alarm wakes it.
    await ringAt((await alarmAt())!);
    await delivery(id, { status: "delivered", attempts: 1 });
    expect(world.now).toBeLessThanOrEqual(EPOCH + 30_000);
  });

  it("between the receiver's answer and the record of it -> sent twice, with the same id and body", async () => {
    const received = receive(async (_, nth, signal) => (nth === 1 ? never(signal) : status(200)));
    const { id } = await hooked();
    await until(() => received.length === 1);
    await kill(mailbox("alice", "c"));
    await ringAt((await alarmAt())!);
    await delivery(id, { status: "delivered" });
    expect(received).toHaveLength(2);
    const [first, second] = received;
    expect([second!.body, second!.headers["webhook-id"]]).toEqual([first!.body, first!.headers["webhook-id"]]);
    for (const each of received) await verified(each);
  });
});

describe("retention", () => {
  it("the delivery is open -> the job stays; closed, both go", async () => {
    let answer = 500;
    receive(() => status(answer));
    const { id } = await hooked();
    const { id: event } = await delivery(id, { attempts: 1 });
    world.now = EPOCH + 71 * HOUR;
    await redeliver(id, event);
    await delivery(id, { attempts: 2 });
    await ringAt(EPOCH + 72 * HOUR);
    await delivery(id, { attempts: 3 });
    expect((await call("GET", `/v1/jobs/${id}`)).status).toBe(200);
    answer = 200;
    await ringUntil(async () => (await rows("deliveries")) === 0);
    expect([await rows("jobs"), await alarmAt()]).toEqual([0, null]);
  });
});
