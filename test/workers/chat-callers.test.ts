/** Callers with the same body, and others who look at their jobs: which job is whose. */
import { reset, runDurableObjectAlarm } from "cloudflare:test";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { parseJobId } from "../../platform/ids.ts";
import { jobOf, params, sdk } from "../support/sdk.ts";
import { call, evict, hashOf, inside, mailboxOf, send, until } from "../support/service.ts";
import { connect } from "../support/socket.ts";
import { completion, EPOCH, resetWorld, script, world } from "../support/world.ts";

beforeEach(resetWorld);
afterEach(reset);

const RETRY = { "x-stainless-retry-count": "1" };

const ask = (headers: Record<string, string> = {}, signal?: AbortSignal) =>
  send("/v1/chat/completions", {
    method: "POST",
    headers: { authorization: "Bearer sk-dev-alice", "content-type": "application/json", "x-sluice-channel": "c", ...headers },
    body: JSON.stringify(params),
    ...(signal && { signal }),
  });

const jobs = async () => (await call<{ data: { id: string }[] }>("GET", "/v1/jobs")).body.data.map(({ id }) => id);
const sockets = (id: string, count: number) =>
  until(() => inside(mailboxOf(id), (_, state) => state.getWebSockets().filter(({ readyState }) => readyState === 1).length === count));

/** Finds a row if the mailbox knows that a job's caller has gone. */
const LEFT = "SELECT 1 FROM calls JOIN jobs ON jobs.n = calls.n WHERE calls.n = ? AND left_at > accepted_at";

const WAITED_FOR = "SELECT 1 FROM calls WHERE n = ? AND sent_at IS NULL";

/** A caller that waits, and goes when told to. `others`: how many other sockets the channel has. */
async function waiting(others: number, headers: Record<string, string> = {}) {
  const controller = new AbortController();
  const known = await jobs();
  const answer = ask(headers, controller.signal).catch(() => null);
  const id = await until(async () => (await jobs()).find((each) => !known.includes(each)) ?? null);
  await sockets(id, others + 1);
  const leave = async () => {
    controller.abort();
    await answer;
    await sockets(id, others);
    await until(() =>
      inside(mailboxOf(id), (_, { storage }) => storage.sql.exec(LEFT, parseJobId("alice", id)!.number).toArray().length > 0),
    );
  };
  return { answer, id, leave };
}

describe("somebody else watches", () => {
  it.each([["the channel", () => ({ channel: "c" })] as const, ["the job", (id: string) => ({ jobs: [id] })] as const])(
    "%s -> a caller who went and stays away is missed all the same: cancelled",
    async (_, target) => {
      world.upstream = script().answer;
      const client = await connect({ channel: "c" });
      const { id, leave } = await waiting(1);
      await client.subscribe(target(id));
      await leave();
      world.now = EPOCH + 31_000;
      await runDurableObjectAlarm(mailboxOf(id));
      expect((await call("GET", `/v1/jobs/${id}`)).body.status).toBe("cancelled");
      await client.saw(id, "cancelled");
      await inside(mailboxOf(id), (_, { storage }) => storage.setAlarm(world.now));
      await runDurableObjectAlarm(mailboxOf(id));
      // Nothing of the call is left to be looked through at each alarm.
      expect(await inside(mailboxOf(id), (_, { storage }) => storage.sql.exec("SELECT n FROM calls").toArray())).toEqual([]);
    },
  );

  it("and goes -> whose caller is there is not missed", async () => {
    const upstream = script();
    world.upstream = upstream.answer;
    const client = await connect({ channel: "c" });
    const { answer, id } = await waiting(1);
    await client.subscribe({ jobs: [id] });
    client.socket.close();
    await sockets(id, 1);
    world.now = EPOCH + 60_000;
    await runDurableObjectAlarm(mailboxOf(id));
    expect((await call("GET", `/v1/jobs/${id}`)).body.status).toBe("in_progress");
    upstream.finish();
    expect((await answer)!.status).toBe(200);
  });

  it("the channel -> of two callers, the one whose connection broke gets its own job again", async () => {
    const upstream = script();
    world.upstream = upstream.answer;
    await (await connect({ channel: "c" })).subscribe({ channel: "c" });
    const first = await waiting(1);
    const second = await waiting(2);
    await second.leave();
    const again = ask(RETRY);
    await sockets(second.id, 3);
    upstream.finish();
    expect(jobOf(await again)).toBe(second.id);
    expect(jobOf((await first.answer)!)).toBe(first.id);
    expect(world.calls).toHaveLength(2);
  });
});

describe("a call that was refused for want of room", () => {
  beforeEach(async () => {
    world.env.SLUICE_KEYS = JSON.stringify([{ key_sha256: await hashOf("sk-dev-alice"), tenant: "alice", max_queued: 1 }]);
  });

  it("its retry is not given another's job that runs", async () => {
    const upstream = script();
    world.upstream = upstream.answer;
    const { answer, id } = await waiting(0);
    expect((await ask()).status).toBe(429);
    expect((await ask(RETRY)).status).toBe(429);
    upstream.finish();
    expect(jobOf((await answer)!)).toBe(id);
  });

  it("the retry of a caller whose connection broke meanwhile gets its own job all the same", async () => {
    const upstream = script();
    world.upstream = upstream.answer;
    const { id, leave } = await waiting(0);
    expect((await ask()).status).toBe(429);
    await leave();
    const again = ask(RETRY);
    upstream.finish();
    expect(jobOf(await again)).toBe(id);
    expect(world.calls).toHaveLength(1);
  });

  it("several samples of one prompt, more than there is room for at a time -> each its own", async () => {
    let count = 0;
    world.upstream = () => completion(`sample ${++count}`);
    const { client } = sdk({ maxRetries: 8, defaultHeaders: { "x-sluice-channel": "c" } });
    const answers = await Promise.all(Array.from({ length: 3 }, () => client.chat.completions.create(params)));
    expect(new Set(answers.map(({ choices }) => choices[0]!.message.content)).size).toBe(3);
  }, 30_000);
});

it("two answers of one body are lost in their last bytes -> each retry gets another one of them", async () => {
  let count = 0;
  world.upstream = () => completion(`sample ${++count}`);
  const sent = [await ask(), await ask()];
  for (const each of sent) {
    await each.text();
    const { number } = parseJobId("alice", jobOf(each))!;
    await until(() => inside(mailboxOf(jobOf(each)), (_, { storage }) => storage.sql.exec(WAITED_FOR, number).toArray().length === 0));
  }
  const again = [await ask(RETRY), await ask(RETRY)];
  expect(again.map(jobOf).sort()).toEqual(sent.map(jobOf).sort());
  expect(count).toBe(2);
});

it("an answer is lost in its last bytes while another with its body runs -> the retry gets its own", async () => {
  world.upstream = () => completion("first");
  const sent = await ask();
  await sent.text();
  await until(() =>
    inside(
      mailboxOf(jobOf(sent)),
      (_, { storage }) => storage.sql.exec("SELECT 1 FROM calls WHERE sent_at IS NULL").toArray().length === 0,
    ),
  );
  const upstream = script();
  world.upstream = upstream.answer;
  const { answer, id } = await waiting(0);
  const again = ask(RETRY);
  expect(jobOf(await again)).toBe(jobOf(sent));
  upstream.finish();
  expect(jobOf((await answer)!)).toBe(id);
});

it("a caller was sent away to come back, and another with its body comes first -> each gets an answer of its own", async () => {
  const upstream = script();
  world.upstream = upstream.answer;
  const away = await ask({ "x-stainless-timeout": "1" });
  expect(away.status).toBe(429);
  await sockets(jobOf(away), 0);
  const other = ask({ "x-stainless-retry-count": "0" });
  await sockets(jobOf(away), 1);
  const again = ask(RETRY);
  await until(() => world.calls.length === 2);
  upstream.finish();
  expect(new Set([jobOf(await other), jobOf(await again)]).size).toBe(2);
});

describe("the mailbox dies while a caller waits, and its alarm rings before the door is back", () => {
  const statusOf = async (id: string) => (await call("GET", `/v1/jobs/${id}`)).body.status;
  const ring = async (id: string, at: number) => {
    world.now = at;
    await inside(mailboxOf(id), (_, { storage }) => storage.setAlarm(at));
    await runDurableObjectAlarm(mailboxOf(id));
  };

  /** Rings the alarm long after the call came, when all that is written about its caller is when it came. */
  async function died(): Promise<{ answer: Promise<Response | null>; id: string; comeBack: () => Promise<void> }> {
    const { answer, id } = await waiting(0);
    world.between.set("mailbox.fetch", () => Promise.reject(new Error("on its way")));
    await inside(mailboxOf(id), (_, state) => state.abort("deploy")).catch(() => {});
    // Here the next incarnation learns that its sockets ended. Not every death can tell that, so the row is then set back.
    await until(() =>
      inside(mailboxOf(id), (_, { storage }) => storage.sql.exec(LEFT, parseJobId("alice", id)!.number).toArray().length > 0),
    );
    await inside(mailboxOf(id), (_, { storage }) => void storage.sql.exec("UPDATE calls SET left_at = (SELECT accepted_at FROM jobs)"));
    await ring(id, EPOCH + 40_000);
    const comeBack = async () => {
      world.between.clear();
      await sockets(id, 1);
    };
    return { answer, id, comeBack };
  }

  it("and comes back -> it is answered, however long that takes", async () => {
    const upstream = script();
    world.upstream = upstream.answer;
    const { answer, comeBack, id } = await died();
    expect(await statusOf(id)).toBe("in_progress");
    await comeBack();
    await ring(id, EPOCH + 200_000);
    upstream.finish();
    expect((await answer)!.status).toBe(200);
  });

  it("and stays away -> it is missed from then on: cancelled", async () => {
    world.upstream = script().answer;
    const { id } = await died();
    await evict(mailboxOf(id));
    await ring(id, EPOCH + 71_000);
    expect(await statusOf(id)).toBe("cancelled");
  });
});

it("a caller leaves before its door follows the job -> it is missed: cancelled", async () => {
  world.upstream = script().answer;
  world.between.set("mailbox.fetch", () => Promise.reject(new Error("the door has died")));
  const controller = new AbortController();
  const answer = ask({}, controller.signal).catch(() => null);
  await until(() => world.calls.length === 1);
  controller.abort();
  await answer;
  const [id] = await jobs();
  for (const seconds of [31, 62]) {
    world.now = EPOCH + seconds * 1_000;
    expect(await runDurableObjectAlarm(mailboxOf(id!))).toBe(true);
  }
  expect((await call("GET", `/v1/jobs/${id}`)).body.status).toBe("cancelled");
});

it.each([
  ["x-sluice-on-disconnect", "keep"],
  ["x-sluice-priority", "5"],
])("who asks for %s: %s is not given a job that was asked for otherwise", async (name, value) => {
  const upstream = script();
  world.upstream = upstream.answer;
  const { id, leave } = await waiting(0);
  await leave();
  const other = ask({ [name]: value });
  upstream.finish();
  expect(jobOf(await other)).not.toBe(id);
});

it("a submit is given a job that was left, and its answer is lost -> repeated, it is given the same, and another retry gets the other's", async () => {
  const upstream = script();
  world.upstream = upstream.answer;
  const first = await waiting(0);
  const second = await waiting(1);
  await second.leave();
  await first.leave();
  let lost = 0;
  world.between.set("mailbox.submit", async (go) => {
    const answer = await go();
    if (lost++ === 0) throw new Error("the answer is lost");
    return answer;
  });
  const again = [ask(RETRY)];
  await sockets(first.id, 1);
  again.push(ask(RETRY));
  await sockets(first.id, 2);
  upstream.finish();
  expect(await Promise.all(again.map(async (answer) => jobOf(await answer)))).toEqual([first.id, second.id]);
});

it("a job with an Idempotency-Key is given to no call without", async () => {
  const upstream = script();
  world.upstream = upstream.answer;
  const { id, leave } = await waiting(0, { "idempotency-key": "k" });
  await leave();
  const others = [ask(), ask(RETRY)];
  upstream.finish();
  for (const other of others) expect(jobOf(await other)).not.toBe(id);
});
