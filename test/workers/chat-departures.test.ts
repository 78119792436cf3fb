/** Callers of live calls that go away or wait: what a retry finds, and how long a stream is silent. */
import { reset, runDurableObjectAlarm } from "cloudflare:test";
import { afterEach, beforeEach, expect, it } from "vitest";
import { callIn } from "../../durable-objects/mailbox/sockets.ts";
import { jobOf, params } from "../support/sdk.ts";
import { call, inside, mailboxOf, send, until } from "../support/service.ts";
import { completion, resetWorld, script, world } from "../support/world.ts";

beforeEach(resetWorld);
afterEach(reset);

const headers = { authorization: "Bearer sk-dev-alice", "content-type": "application/json", "x-sluice-channel": "c" };
const ask = (body: object, more: Record<string, string> = {}, signal?: AbortSignal) =>
  send("/v1/chat/completions", { method: "POST", headers: { ...headers, ...more }, body: JSON.stringify(body), ...(signal && { signal }) });
const doors = (id: string, count: number) =>
  until(() => inside(mailboxOf(id), (_, state) => state.getWebSockets().filter(({ readyState }) => readyState === 1).length === count));
const isLeft = (id: string) => {
  const left = "SELECT 1 FROM calls JOIN jobs ON jobs.n = calls.n WHERE left_at > accepted_at";
  return until(() => inside(mailboxOf(id), (_, { storage }) => storage.sql.exec(left).toArray().length > 0));
};
/** Lets more time pass than a caller may stay away. */
const later = async (id: string) => {
  world.now += 31_000;
  await inside(mailboxOf(id), (_, { storage }) => storage.setAlarm(world.now));
  await runDurableObjectAlarm(mailboxOf(id));
};
/** A caller comes for the job, goes after `meanwhile`, and stays away for longer than a caller may. */
const comesAndGoes = async (id: string, more: Record<string, string> = {}, meanwhile = async () => {}) => {
  const controller = new AbortController();
  const coming = ask(params, more, controller.signal).catch(() => null);
  await doors(id, 1);
  await meanwhile();
  controller.abort();
  await coming;
  await doors(id, 0);
  await isLeft(id);
  await later(id);
};
const statusOf = async (id: string) => (await call("GET", `/v1/jobs/${id}`)).body.status;

it("a caller goes away in the midst of a stream whose job has ended, and does not say that it retries -> the same job, upstream is called once", async () => {
  const upstream = script();
  world.upstream = upstream.answer;
  const body = { ...params, stream: true };
  upstream.say("Once ");
  const first = await ask(body);
  const reader = first.body!.getReader();
  await reader.read();
  for (let n = 0; n < 50; n++) upstream.say(`upon ${n} `);
  upstream.finish();
  const id = jobOf(first);
  await until(async () => (await statusOf(id)) === "completed");
  await reader.cancel();
  // The mailbox knows that nobody was sent the whole answer.
  const abandoned = "SELECT 1 FROM calls JOIN jobs ON jobs.n = calls.n WHERE sent_at IS NULL AND left_at > accepted_at";
  await until(() => inside(mailboxOf(id), (_, { storage }) => storage.sql.exec(abandoned).toArray().length === 1));
  const again = await ask(body);
  await again.text();
  expect(jobOf(again)).toBe(id);
  expect(world.calls).toHaveLength(1);
});

it("a client that gives up on a silence of two seconds (Python's read time-out) follows a stream that queues -> it hears something in time", async () => {
  await call("POST", "/v1/queue/pause", {}, { key: "sk-dev-operator" });
  const response = await ask({ ...params, stream: true }, { "x-stainless-read-timeout": "2", "x-stainless-lang": "python" });
  const reader = response.body!.getReader();
  // A real wait, as the door's comments come in real time: somewhat more than the two seconds of the client.
  const read = () => Promise.race([reader.read().then(({ done }) => !done), scheduler.wait(2_500).then(() => "silence" as const)]);
  let heard: boolean | "silence" = true;
  for (let n = 0; n < 4 && heard !== "silence"; n++) heard = await read();
  await reader.cancel().catch(() => {});
  expect(heard).toBe(true);
}, 20_000);

it("everything dies, and the caller with it; it does not say that it retries -> it gets its job, upstream is not called for another", async () => {
  const upstream = script();
  world.upstream = upstream.answer;
  const controller = new AbortController();
  const gone = ask(params, {}, controller.signal).catch(() => null);
  await until(() => world.calls.length === 1);
  const { id } = (await call<{ data: { id: string }[] }>("GET", "/v1/jobs")).body.data[0]!;
  await until(() => inside(mailboxOf(id), (_, state) => state.getWebSockets().length === 1));
  // The door died with the mailbox and never comes back.
  world.between.set("mailbox.fetch", (go, [request]) => (callIn(request as Request) === 1 ? Promise.reject(new Error("dead")) : go()));
  await inside(mailboxOf(id), (_, state) => state.abort("crash")).catch(() => {});
  controller.abort();
  await gone;
  world.between.clear();
  const again = ask(params);
  upstream.finish();
  expect(jobOf(await again)).toBe(id);
  expect(world.calls).toHaveLength(1);
});

it("some deltas were lost, and the caller comes again with its Idempotency-Key -> the whole answer, which the job has", async () => {
  const upstream = script();
  world.upstream = upstream.answer;
  const body = { ...params, stream: true };
  const name = { "idempotency-key": "k" };
  upstream.say("Once ");
  const first = await ask(body, name);
  const text = first.text();
  const id = jobOf(first);
  await until(() => inside(mailboxOf(id), (_, { storage }) => storage.sql.exec("SELECT 1 FROM delta_rows").toArray().length > 0));
  world.between.set("mailbox.append", () => Promise.reject(new Error("out of reach")));
  upstream.say("upon");
  upstream.finish();
  // A real wait for the dispatcher's five tries after the end of the answer, whose pauses add up to 31 s at most.
  for (let n = 0; n < 80 && (await statusOf(id)) !== "completed"; n++) await scheduler.wait(500);
  world.between.clear();
  expect(await text).toContain("stream_incomplete");
  const again = await (await ask(body, name)).text();
  expect(again).toContain("upon");
  expect(again).toMatch(/data: \[DONE\]\n\n$/);
}, 60_000);

it("the mailbox is out of reach as a stream ends, of which all was sent -> it is whole, and nobody waits for the mailbox", async () => {
  world.upstream = () => completion("all of it");
  world.between.set("mailbox.collect", () => Promise.reject(new Error("out of reach")));
  // Reads to the end of the body, not only to [DONE], as Vercel's ai and OpenAI's Python package do.
  const text = await (await ask({ ...params, stream: true })).text();
  expect(text).toMatch(/data: \[DONE\]\n\n$/);
});

it("the mailbox hangs as a stream ends, of which all was sent -> it ends", async () => {
  world.upstream = () => completion("all of it");
  let letGo = false;
  world.between.set("mailbox.collect", async (go) => {
    // Polls until the test lets go, because one object must not settle another's promise.
    while (!letGo) await scheduler.wait(20);
    return go();
  });
  const whole = ask({ ...params, stream: true }).then((response) => response.text());
  // A real wait, bounded so that the test fails instead of hanging if the stream waits for the mailbox.
  const first = await Promise.race([whole.then(() => "it ended"), scheduler.wait(1_500).then(() => "it waits")]);
  letGo = true;
  await whole;
  expect(first).toBe("it ended");
});

it.each([
  ["", false],
  [", and the mailbox dies meanwhile", true],
])(
  "a caller was sent away and told that its job lives on; another with its body comes for it and goes%s -> it lives on",
  async (_, dies) => {
    world.upstream = script().answer;
    const away = await ask(params, { "x-stainless-timeout": "1" });
    expect(away.status).toBe(429);
    const id = jobOf(away);
    await doors(id, 0);
    await comesAndGoes(id, {}, async () => {
      if (!dies) return;
      await inside(mailboxOf(id), (_, state) => state.abort("crash")).catch(() => {});
      await doors(id, 1);
    });
    expect(await statusOf(id)).toBe("in_progress");
  },
);

it.each([
  ["says that it retries", {}],
  ["names its call", { "idempotency-key": "k" }],
])(
  "a caller was sent away, comes back as it was told (it %s), and goes -> nobody else was promised anything, its job is cancelled",
  async (_, named) => {
    world.upstream = script().answer;
    const more = { ...named, "x-sluice-on-disconnect": "cancel" };
    const away = await ask(params, { ...more, "x-stainless-timeout": "1" });
    expect(away.status).toBe(429);
    const id = jobOf(away);
    await doors(id, 0);
    await comesAndGoes(id, { ...more, "x-stainless-retry-count": "1" });
    expect(await statusOf(id)).toBe("cancelled");
  },
);

it("a caller was sent away by an older program, and its body's other caller comes and goes under the newer one -> its job lives on", async () => {
  world.upstream = script().answer;
  const away = await ask(params, { "x-stainless-timeout": "1" });
  const id = jobOf(away);
  await doors(id, 0);
  const promised = "SELECT 1 FROM calls WHERE promised_until IS NOT NULL";
  await until(() => inside(mailboxOf(id), (_, { storage }) => storage.sql.exec(promised).toArray().length > 0));
  await inside(mailboxOf(id), (_, { storage: { sql } }) => {
    sql.exec("UPDATE calls SET left_at = promised_until");
    sql.exec("ALTER TABLE calls DROP COLUMN promised_until; DELETE FROM migrations WHERE id >= '012_promised'");
  });
  await inside(mailboxOf(id), (_, state) => state.abort("deploy")).catch(() => {});
  await comesAndGoes(id);
  expect(await statusOf(id)).toBe("in_progress");
});

it("a caller that was sent away is back without saying so, and all dies before its door says what it follows -> it gets its job when it comes again", async () => {
  const upstream = script();
  world.upstream = upstream.answer;
  const away = await ask(params, { "x-stainless-timeout": "1" });
  const id = jobOf(away);
  await doors(id, 0);
  const controller = new AbortController();
  let dead = false;
  world.between.set("mailbox.fetch", async (go, [request]) => {
    if (callIn(request as Request) !== 1) return go();
    const door = dead ? null : await go();
    // Polls until all has died, because one object must not settle another's promise.
    while (!dead) await scheduler.wait(20);
    throw new Error(`dead: ${door}`);
  });
  const back = ask(params, {}, controller.signal).catch(() => null);
  const came = "SELECT 1 FROM calls JOIN jobs ON jobs.n = calls.n WHERE left_at = accepted_at";
  await until(() => inside(mailboxOf(id), (_, { storage }) => storage.sql.exec(came).toArray().length > 0));
  await inside(mailboxOf(id), (_, state) => state.abort("crash")).catch(() => {});
  dead = true;
  controller.abort();
  await back;
  world.between.clear();
  await later(id);
  const again = ask(params);
  upstream.finish();
  expect(jobOf(await again)).toBe(id);
  expect(world.calls).toHaveLength(1);
});
