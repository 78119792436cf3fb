/** Callers with the same body, and who else looks at their jobs: whose job is whose. */
import { reset, runDurableObjectAlarm } from "cloudflare:test";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { parseJobId } from "../../platform/ids.ts";
import { jobOf, params, sdk } from "../support/sdk.ts";
import { call, hashOf, inside, mailboxOf, send, until } from "../support/service.ts";
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

/** The mailbox knows that a caller has gone. */
const LEFT = "SELECT 1 FROM calls JOIN jobs ON jobs.n = calls.n WHERE calls.n = ? AND left_at > accepted_at";

/** A caller who waits, and can be made to go. `others`: sockets in the channel besides. */
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

  it("several samples of one prompt, more than there is room for at a time -> each its own", async () => {
    let count = 0;
    world.upstream = () => completion(`sample ${++count}`);
    const { client } = sdk({ maxRetries: 8, defaultHeaders: { "x-sluice-channel": "c" } });
    const answers = await Promise.all(Array.from({ length: 3 }, () => client.chat.completions.create(params)));
    expect(new Set(answers.map(({ choices }) => choices[0]!.message.content)).size).toBe(3);
  }, 30_000);
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
