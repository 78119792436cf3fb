import { reset, runDurableObjectAlarm } from "cloudflare:test";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { Desk } from "../../durable-objects/mailbox/desk.ts";
import type { Job } from "../../schemas/job.ts";
import { Coordinator, Mailbox } from "../support/entry.ts";
import { advanceTo, call, crash, ended, evict, inside, job, mailbox, pool, submit, until } from "../support/service.ts";
import { connect } from "../support/socket.ts";
import { EPOCH, resetWorld, world } from "../support/world.ts";

beforeEach(resetWorld);
afterEach(async () => {
  vi.restoreAllMocks();
  await reset();
});

const DAYS = 86_400_000;
const one = (sql: string, channel = "c") => inside(mailbox("alice", channel), (_, state) => state.storage.sql.exec(sql).one());
const unreachable = () => vi.spyOn(Coordinator.prototype, "enqueue").mockRejectedValue(new Error("unreachable"));
const full = () => {
  const problem = { status: 429, type: "rate_limit_error", code: "queue_full", message: "full", param: null };
  return vi.spyOn(Coordinator.prototype, "enqueue").mockImplementation(async (_, tickets) => tickets.map(() => ({ ok: false, problem })));
};

describe("202 means durable", () => {
  it("the coordinator cannot be reached: accepted all the same, and run once it can", async () => {
    const away = unreachable();
    const { id, position } = await submit({ channel: "c" });
    expect(position).toBeNull();
    expect((await call("GET", `/v1/jobs/${id}`)).body.status).toBe("queued");
    away.mockRestore();
    expect(await runDurableObjectAlarm(mailbox("alice", "c"))).toBe(true);
    expect((await ended(id)).status).toBe("completed");
    expect(world.calls).toHaveLength(1);
  });

  it("many that came together are stored each as it came, a long one among them, and run each once", async () => {
    const long = "😀".repeat(60_000);
    const texts = Array.from({ length: 43 }, (_, index) => (index === 20 ? long : `text ${index}`));
    const jobs = texts.map((content, index) =>
      job({ channel: "c", metadata: { index: `${index}` } }, { messages: [{ role: "user", content }] }),
    );
    const { body } = await call<{ data: Job[] }>("POST", "/v1/jobs", { jobs });
    const ids = body.data.map(({ id }) => id);
    expect(new Set(ids).size).toBe(texts.length);
    const over = await Promise.all(ids.map((id) => ended(id)));
    expect(over.map(({ id, metadata, status }) => [id, metadata, status])).toEqual(
      ids.map((id, index) => [id, { index: `${index}` }, "completed"]),
    );
    const contents = world.calls.map(({ messages }) => (messages as { content: string }[])[0]!.content);
    expect(contents.sort()).toEqual(texts.sort());
  });

  it("many reach an object of the program before, which knows no tables: while a new one is rolled out both are there", async () => {
    const unknown = (door: string) => new TypeError(`The RPC receiver does not implement the method "${door}".`);
    vi.spyOn(Mailbox.prototype, "submitMany").mockRejectedValue(unknown("submitMany"));
    vi.spyOn(Coordinator.prototype, "enqueueMany").mockRejectedValue(unknown("enqueueMany"));
    const { body, status } = await call<{ data: Job[] }>("POST", "/v1/jobs", {
      jobs: Array.from({ length: 9 }, () => job({ channel: "c" })),
    });
    expect(status).toBe(202);
    const ends = await Promise.all(body.data.map(({ id }) => ended(id)));
    expect(ends.map((each) => each.status)).toEqual(Array(9).fill("completed"));
    expect(world.calls).toHaveLength(9);
  });

  it("everything died before the coordinator knew: the mailbox brings it again when it wakes", async () => {
    const away = unreachable();
    const { id } = await submit({ channel: "c" });
    away.mockRestore();
    await crash();
    expect((await ended(id)).status).toBe("completed");
    expect(world.calls).toHaveLength(1);
  });

  it("an accepted job that the coordinator later refuses ends as failed, and is not gone", async () => {
    const away = unreachable();
    const { id } = await submit({ channel: "c" });
    away.mockRestore();
    const client = await connect();
    await client.subscribe({ jobs: [id] });
    full();
    await runDurableObjectAlarm(mailbox("alice", "c"));
    expect(await ended(id)).toMatchObject({ status: "failed", error: { type: "rate_limit_error", code: "queue_full" }, attempts: 0 });
    await client.saw(id, "failed");
    expect(client.story(id)).toEqual(["1 queued", "2 failed"]);
  });

  it("a job that is refused at once is gone, and nobody heard of it", async () => {
    const client = await connect();
    await client.subscribe({ channel: "c" });
    const door = full();
    const { status, headers } = await call("POST", "/v1/jobs", job({ channel: "c" }));
    expect([status, headers.get("retry-after")]).toEqual([429, "1"]);
    expect((await one("SELECT count(*) AS n FROM jobs")).n).toBe(0);
    door.mockRestore();
    const { id } = await submit({ channel: "c" });
    await client.saw(id, "completed");
    expect(client.events().every((event) => event.job === id)).toBe(true);
  });

  it("a refused job gives its key back", async () => {
    const door = full();
    const headers = { "idempotency-key": "k" };
    expect((await call("POST", "/v1/jobs", job({ channel: "c" }), { headers })).status).toBe(429);
    door.mockRestore();
    const { status, body } = await call("POST", "/v1/jobs", job({ channel: "c" }), { headers });
    expect(status).toBe(202);
    expect((await ended(body.id)).status).toBe("completed");
  });

  it("one answer for all who came with one key, though the queue was full for the first and not for the second", async () => {
    const { enqueue } = Coordinator.prototype;
    let asked = 0;
    let open = false;
    const problem = { status: 429, type: "rate_limit_error", code: "queue_full", message: "full", param: null };
    vi.spyOn(Coordinator.prototype, "enqueue").mockImplementation(async function (this: Coordinator, address, tickets) {
      if (asked++ > 0) return enqueue.call(this, address, tickets);
      await until(() => open);
      return tickets.map(() => ({ ok: false, problem }));
    });
    const post = () => call("POST", "/v1/jobs", job({ channel: "c" }), { headers: { "idempotency-key": "k" } });
    const first = post();
    await until(() => asked > 0);
    const second = post();
    await until(async () => (await one("SELECT count(*) AS n FROM jobs")).n === 1);
    open = true;
    const accepted = (await Promise.all([first, second])).filter(({ status }) => status === 202);
    for (const { body } of accepted) expect((await ended(body.id)).status).toBe("completed");
  });

  // A submit whose answer was lost is repeated; without an idempotency key, only its nonce shows that it is the same one.
  it("the mailbox died after writing, before answering: the job is run once", async () => {
    const { enqueue } = Coordinator.prototype;
    let dead = false;
    const slow = vi.spyOn(Coordinator.prototype, "enqueue").mockImplementation(async function (this: Coordinator, address, tickets) {
      await until(() => dead);
      return enqueue.call(this, address, tickets);
    });
    const asked = call("POST", "/v1/jobs", job({ channel: "c" }));
    await until(() => slow.mock.calls.length > 0);
    await inside(mailbox("alice", "c"), (_, state) => state.abort("killed by the test")).catch(() => {});
    dead = true;
    slow.mockRestore();
    const { body } = await asked;
    await ended(body.id);
    await until(async () => (await one("SELECT count(*) AS n FROM jobs WHERE ended_at IS NULL")).n === 0);
    expect((await one("SELECT count(*) AS n FROM jobs")).n).toBe(1);
  });

  it("after retention deleted the newest jobs, new ones still survive a crash", async () => {
    await call("POST", "/v1/jobs", { jobs: [...Array(150)].map(() => job({ channel: "c" })) });
    await call("POST", "/v1/jobs", { jobs: [...Array(100)].map(() => job({ channel: "c" })) });
    await until(async () => (await one("SELECT count(*) AS n FROM jobs WHERE ended_at IS NULL")).n === 0);
    expect((await one("SELECT value FROM marks")).value).toBeGreaterThan(100);
    world.now = EPOCH + 4 * DAYS;
    await runDurableObjectAlarm(mailbox("alice", "c"));
    expect((await one("SELECT count(*) AS n FROM jobs")).n).toBe(0);
    await evict(mailbox("alice", "c"));
    const away = unreachable();
    const { id } = await submit({ channel: "c" });
    away.mockRestore();
    await crash();
    expect((await ended(id)).status).toBe("completed");
  });

  describe("thousands that the coordinator never heard of", () => {
    const count = 4_100;
    const waiting = async () => (await pool()).scheduled;
    const brought = (enqueue: ReturnType<typeof unreachable>) => enqueue.mock.calls.map(([, tickets]) => tickets.length);

    beforeEach(async () => {
      const away = unreachable();
      const jobs = Array.from({ length: count }, () => job({ channel: "c", not_before: EPOCH / 1_000 + 1e6 }));
      expect((await call("POST", "/v1/jobs", { jobs })).status).toBe(202);
      away.mockRestore();
    });

    it("are brought by the message as it wakes, each once", async () => {
      await crash();
      const enqueue = vi.spyOn(Coordinator.prototype, "enqueue");
      await one("SELECT 1 AS n");
      await until(async () => (await waiting()) === count);
      expect(brought(enqueue)).toEqual([2_000, 2_000, 100]);
    });

    it("and still does not hear of: one message is tried, not all of them; once it hears, all are brought", async () => {
      await crash();
      const away = unreachable();
      await one("SELECT 1 AS n");
      await until(() => away.mock.calls.length > 0);
      expect(await runDurableObjectAlarm(mailbox("alice", "c"))).toBe(true);
      await until(() => away.mock.calls.length > 1);
      // However often it is tried, it never takes along those behind it.
      expect(new Set(brought(away))).toEqual(new Set([2_000]));
      expect(new Set(away.mock.calls.map(([, tickets]) => tickets[0]!.job)).size).toBe(1);
      away.mockRestore();
      await runDurableObjectAlarm(mailbox("alice", "c"));
      await until(async () => (await waiting()) === count);
    });

    it("and one is cancelled before its turn has come -> it holds no consumer's place back", async () => {
      const client = await connect({ channel: "c" });
      await client.subscribe({ channel: "c", consumer: "worker" });
      client.socket.close(1_000);
      await until(() => client.closed !== null);
      const away = unreachable();
      const jobs = Array.from({ length: 2_100 }, () => job({ channel: "c", not_before: EPOCH / 1_000 + 1e6 }));
      const { body } = await call<{ data: Job[] }>("POST", "/v1/jobs", { jobs });
      away.mockRestore();
      await crash();
      const { enqueue } = Coordinator.prototype;
      const door = { asked: 0, open: false };
      vi.spyOn(Coordinator.prototype, "enqueue").mockImplementation(async function (this: Coordinator, ...args) {
        door.asked++;
        // Polls until a step of the test ends the wait, because one object must not settle another's promise.
        while (!door.open) await scheduler.wait(2);
        return enqueue.apply(this, args);
      });
      await one("SELECT 1 AS n");
      await until(() => door.asked > 0);
      expect((await call("POST", `/v1/jobs/${body.data[2_050]!.id}/cancel`)).body.status).toBe("cancelled");
      door.open = true;
      type Inner = { desk: Desk; intake: { unconfirmed: number } };
      const inner = <T>(read: (object: Inner) => T) => inside(mailbox("alice", "c"), (object) => read(object as unknown as Inner));
      await until(() => inner(({ intake }) => intake.unconfirmed === 0));
      expect(await inner(({ desk: { order } }) => order.last - order.safe(order.last))).toBe(0);
    });

    it("and refuses some of: the others are brought all the same", async () => {
      await crash();
      const door = full();
      await one("SELECT 1 AS n");
      await until(() => door.mock.calls.length === 3);
      await until(async () => (await one("SELECT count(*) AS n FROM jobs WHERE status = 'failed'")).n === count);
    });
  });

  it("a job that was confirmed is not brought again for ever", async () => {
    const enqueue = vi.spyOn(Coordinator.prototype, "enqueue");
    const times = { not_before: EPOCH / 1_000 + 1e6 };
    for (let n = 0; n < 3; n++) await call("POST", "/v1/jobs", { jobs: [...Array(100)].map(() => job({ channel: "c", ...times })) });
    enqueue.mockClear();
    await evict(mailbox("alice", "c"));
    await one("SELECT 1 AS n");
    await until(() => enqueue.mock.calls.length > 0);
    const brought = enqueue.mock.calls.reduce((sum, [, tickets]) => sum + tickets.length, 0);
    expect(brought).toBeLessThanOrEqual(200);
  });
});

describe("what it costs", () => {
  const rows = (channel: string) =>
    inside(mailbox("alice", channel), (instance) => (instance as unknown as { rowsWritten(): number }).rowsWritten());
  const cost = async (more: Record<string, unknown>, headers: Record<string, string> = {}) => {
    await submit({ channel: "c" }).then(({ id }) => ended(id));
    const before = await rows("c");
    const jobs = [...Array(100)].map(() => job({ channel: "c", ...more }));
    const { body } = await call<{ data: Job[] }>("POST", "/v1/jobs", { jobs }, { headers });
    await advanceTo(EPOCH + 1_000);
    for (const { id } of body.data) await ended(id);
    return ((await rows("c")) - before) / 100;
  };

  it("a job that nobody watches: at most 3 rows", async () => {
    const each = await cost({});
    expect(each).toBeGreaterThanOrEqual(2);
    expect(each).toBeLessThanOrEqual(3);
  });

  it("a job that waited first: no more", async () => {
    expect(await cost({ not_before: EPOCH / 1_000 + 1 })).toBeLessThanOrEqual(3);
  });

  it("a key costs one row more", async () => {
    expect(await cost({}, { "idempotency-key": "k" })).toBeLessThanOrEqual(4);
  });
});
