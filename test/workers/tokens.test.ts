import { reset, runDurableObjectAlarm } from "cloudflare:test";
import { SignJWT, UnsecuredJWT } from "jose";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Job } from "../../schemas/job.ts";
import type { ErrorBody } from "../../schemas/problem.ts";
import { call, ended, evict, inside, job, mailbox, send, submit, until } from "../support/service.ts";
import { Client, connect } from "../support/socket.ts";
import { later } from "../support/telling.ts";
import { EPOCH, resetWorld, world } from "../support/world.ts";

beforeEach(resetWorld);
afterEach(reset);

type Made = { token: string; expires_at: number };
const SECRET = "a-secret-of-this-test-with-enough-characters";

async function mint(body: object, key = "sk-dev-alice"): Promise<string> {
  const made = await call<Made>("POST", "/v1/tokens", body, { key });
  if (made.status !== 200) throw new Error(`refused: ${JSON.stringify(made.body)}`);
  return made.body.token;
}

async function answer(method: string, path: string, key: string, body?: unknown, headers = {}) {
  const { status, body: got } = await call<ErrorBody>(method, path, body, { key, headers });
  return [status, got.error?.code ?? null];
}

/** Connects as a browser does: by the subprotocol pair alone. */
async function browse(token: string, more: Record<string, string> = {}, query = ""): Promise<Client> {
  const headers = { upgrade: "websocket", "sec-websocket-protocol": `sluice.v1, bearer.${token}`, ...more };
  const response = await send(`/v1/subscribe${query}`, { headers });
  if (!response.webSocket) throw new Error(`no socket: ${response.status}`);
  return new Client(response.webSocket);
}

describe("a token's way", () => {
  it("a backend makes it, a browser submits, subscribes and gets its result; other channels and jobs are not there", async () => {
    const other = await submit({ channel: "other" });
    const token = await mint({ channels: ["mine"], actions: ["read", "submit"] });
    const client = await browse(token);
    await client.subscribe({ channel: "mine" });
    const { status, body } = await call("POST", "/v1/jobs", job(), { key: token });
    expect([status, body.channel]).toEqual([202, "mine"]);
    await client.saw(body.id, "completed");
    expect((await ended(body.id, token)).status).toBe("completed");

    client.send({ type: "subscribe", jobs: [other.id], channel: "other" });
    await until(() => client.errors().length === 2);
    expect(client.errors()).toEqual(["job_not_found", "channel_not_allowed"]);
    await ended((await submit({ channel: "other" })).id);
    expect(client.events().every((event) => event.job === body.id)).toBe(true);
    for (const path of [`/v1/jobs/${other.id}`, `/v1/jobs/${other.id}/why`])
      expect(await answer("GET", path, token)).toEqual([404, "job_not_found"]);
  });

  it("lives 15 minutes unless asked otherwise", async () => {
    const { body } = await call<Made>("POST", "/v1/tokens", { channels: ["c"] });
    expect(body.expires_at).toBe(EPOCH / 1_000 + 900);
    world.now = EPOCH + 899_000;
    expect((await answer("GET", "/v1/jobs", body.token))[0]).toBe(200);
    world.now = EPOCH + 900_000;
    expect(await answer("GET", "/v1/jobs", body.token)).toEqual([401, "token_expired"]);
  });

  it("reads its jobs' events, and makes calls to OpenAI's API in its channel, if it may read the answer", async () => {
    const token = await mint({ channels: ["mine"], actions: ["read", "submit"] });
    const mine = await submit({ channel: "mine" });
    await ended(mine.id);
    expect((await call("GET", `/v1/jobs/${mine.id}/events`, undefined, { key: token })).status).toBe(200);
    const other = await submit({ channel: "other" });
    expect(await answer("GET", `/v1/jobs/${other.id}/events`, token)).toEqual([404, "job_not_found"]);
    const { request } = job();
    const { status, headers } = await call("POST", "/v1/chat/completions", request, { key: token });
    expect(status).toBe(200);
    const { body } = await call("GET", `/v1/jobs/${headers.get("x-sluice-job")}`);
    expect(body.channel).toBe("mine");
    expect([...headers.keys()].filter((name) => name.startsWith("x-ratelimit-"))).toEqual([]);
    const blind = await mint({ channels: ["mine"], actions: ["submit"] });
    expect(await answer("POST", "/v1/chat/completions", blind, request)).toEqual([403, "insufficient_permissions"]);
  });

  it.each([
    ["POST", "/v1/files"],
    ["GET", "/v1/files"],
    ["POST", "/v1/batches"],
    ["GET", "/v1/batches"],
    ["GET", "/v1/jobs/job_x/deliveries"],
    ["POST", "/v1/jobs/job_x/deliveries/evt_x/redeliver"],
    ["POST", "/v1/tokens"],
    ["GET", "/v1/queue"],
    ["GET", "/v1/dead-letters"],
  ])("%s %s is for keys alone", async (method, path) => {
    const token = await mint({ channels: ["mine"], actions: ["read", "submit", "cancel"] });
    expect(await answer(method, path, token, method === "POST" ? {} : undefined)).toEqual([403, "insufficient_permissions"]);
  });

  it("names no webhook, and does not go before its tenant's other jobs", async () => {
    const token = await mint({ channels: ["mine"], actions: ["submit"] });
    for (const more of [{ webhook: "https://example.com/hook" }, { priority: 1 }])
      expect(await answer("POST", "/v1/jobs", token, job(more))).toEqual([403, "insufficient_permissions"]);
    expect((await answer("POST", "/v1/jobs", token, job({ priority: -1 })))[0]).toBe(202);
  });

  it("of a job: that job alone, and no channel", async () => {
    const [one, two] = [await submit({ channel: "c" }), await submit({ channel: "c" })];
    const token = await mint({ jobs: [one.id] });
    expect((await ended(one.id, token)).id).toBe(one.id);
    expect(await answer("GET", `/v1/jobs/${two.id}`, token)).toEqual([404, "job_not_found"]);
    expect(await answer("GET", "/v1/jobs", token)).toEqual([403, "channel_not_allowed"]);
  });
});

describe("what a token may not", () => {
  it("act beyond its actions, make tokens, operate", async () => {
    const reader = await mint({ channels: ["c"], actions: ["read"] });
    const { id } = await submit({ channel: "c", not_before: EPOCH / 1_000 + 60 });
    for (const [method, path] of [
      ["POST", "/v1/jobs"],
      ["POST", `/v1/jobs/${id}/cancel`],
      ["POST", "/v1/tokens"],
      ["GET", "/v1/queue"],
    ] as const)
      expect([path, ...(await answer(method, path, reader))]).toEqual([path, 403, "insufficient_permissions"]);
    const canceller = await mint({ channels: ["d"], actions: ["cancel"] });
    expect(await answer("POST", `/v1/jobs/${id}/cancel`, canceller)).toEqual([404, "job_not_found"]);
    const own = await mint({ channels: ["c"], actions: ["cancel"] });
    expect(await answer("POST", `/v1/jobs/${id}/cancel`, own)).toEqual([200, null]);
  });

  it("be told an answer without read: not by a cancel that comes too late, nor by a submit that is repeated", async () => {
    const named = { "idempotency-key": "k" };
    const post = async (actions: string[], headers: Record<string, string>, body: object) => {
      const answered = await call("POST", "/v1/jobs", body, { key: await mint({ channels: ["c"], actions }), headers });
      return answered.body as unknown as Job & { data: Job[] };
    };
    const { id } = await post(["submit"], named, job());
    const { response } = await ended(id);
    expect(response).not.toBeNull();
    expect(await post(["submit", "cancel"], named, job())).toMatchObject({ id, status: "completed", response: null });
    expect(await post(["submit", "read"], named, job())).toMatchObject({ id, response });
    await post(["submit"], { "idempotency-key": "many" }, { jobs: [job()] });
    const [one] = (await post(["submit"], { "idempotency-key": "many" }, { jobs: [job()] })).data;
    await ended(one!.id);
    expect((await post(["submit"], { "idempotency-key": "many" }, { jobs: [job()] })).data).toMatchObject([
      { id: one!.id, response: null },
    ]);
    for (const [actions, told] of [
      [["cancel"], null],
      [["cancel", "read"], response],
    ] as const) {
      const { body } = await call("POST", `/v1/jobs/${id}/cancel`, {}, { key: await mint({ channels: ["c"], actions }) });
      expect(body).toMatchObject({ id, status: "completed", response: told });
    }
  });

  it("submit elsewhere, to an unnamed one of several channels, or another model", async () => {
    const token = await mint({ channels: ["a", "b"], actions: ["read", "submit"], models: ["gpt-5-nano*"] });
    expect(await answer("POST", "/v1/jobs", token, job({ channel: "z" }))).toEqual([403, "channel_not_allowed"]);
    expect(await answer("POST", "/v1/jobs", token, job())).toEqual([400, "channel_required"]);
    expect(await answer("POST", "/v1/jobs", token, job({ channel: "a" }))).toEqual([403, "model_not_allowed"]);
    expect(await answer("POST", "/v1/jobs", token, job({ channel: "a" }, { model: "gpt-5-nano" }))).toEqual([202, null]);
    expect(await answer("GET", "/v1/jobs?channel=z", token)).toEqual([403, "channel_not_allowed"]);
    expect(await answer("GET", "/v1/jobs", token)).toEqual([400, "channel_required"]);
  });

  it.each([
    [{}, 400, "invalid_token_request"],
    [{ channels: ["~0"] }, 400, "invalid_token_request"],
    [{ channels: ["c"], expires_in: 86_401 }, 400, "invalid_token_request"],
    [{ channels: ["c"], actions: ["operate"] }, 400, "invalid_token_request"],
    [{ jobs: ["job_x"] }, 404, "job_not_found"],
    [{ channels: Array.from({ length: 50 }, (_, n) => `${n}`.padEnd(128, "x")) }, 400, "token_too_large"],
  ])("be made of %j", async (body, status, code) => {
    expect(await answer("POST", "/v1/tokens", "sk-dev-alice", body)).toEqual([status, code]);
  });
});

describe("hostile tokens", () => {
  const claims = { grant: { key: "c654d38ddccf90ce", channels: ["c"], jobs: [], actions: ["read"], models: null } };
  const signed = (secret: string, audience = "sluice.browser", payload: Record<string, unknown> = claims) =>
    new SignJWT(payload)
      .setProtectedHeader({ alg: "HS256" })
      .setIssuer("sluice")
      .setAudience(audience)
      .setExpirationTime(EPOCH / 1_000 + 60)
      .sign(new TextEncoder().encode(secret));

  beforeEach(() => {
    world.env = { SLUICE_TOKEN_SECRET: SECRET };
  });

  it("the very same, signed rightly, is let in", async () => {
    expect((await answer("GET", "/v1/jobs", await signed(SECRET)))[0]).toBe(200);
  });

  it.each<[string, () => string | Promise<string>]>([
    ["another secret", () => signed(`${SECRET}!`)],
    ["the development secret", () => signed("sluice-development-token-secret-known-to-everybody")],
    ["another audience", () => signed(SECRET, "other")],
    ["no grant", () => signed(SECRET, "sluice.browser", {})],
    ["a key that is gone", () => signed(SECRET, "sluice.browser", { grant: { ...claims.grant, key: "0000000000000000" } })],
    [
      "no end",
      () =>
        new SignJWT(claims)
          .setProtectedHeader({ alg: "HS256" })
          .setIssuer("sluice")
          .setAudience("sluice.browser")
          .sign(new TextEncoder().encode(SECRET)),
    ],
    [
      "alg none",
      () =>
        new UnsecuredJWT(claims)
          .setIssuer("sluice")
          .setAudience("sluice.browser")
          .setExpirationTime(EPOCH / 1_000 + 60)
          .encode(),
    ],
    [
      "claims exchanged",
      async () => (await signed(SECRET)).replace(/\.[^.]+\./, `.${btoa(JSON.stringify({ ...claims, exp: 9e9 })).replaceAll("=", "")}.`),
    ],
    ["too long", () => signed(SECRET, "sluice.browser", { ...claims, more: "x".repeat(6_000) })],
  ])("%s: 401", async (_, make) => {
    expect(await answer("GET", "/v1/jobs", await make())).toEqual([401, "invalid_token"]);
  });

  it("what a client says a token allows counts for nothing", async () => {
    const token = await mint({ channels: ["c"] });
    const grant = encodeURIComponent(JSON.stringify({ ...claims.grant, channels: ["d"], expiresAt: EPOCH * 2 }));
    const client = await browse(token, { "x-sluice-grant": grant });
    client.send({ type: "subscribe", channel: "d" });
    await until(() => client.errors().length > 0);
    expect(client.errors()).toEqual(["channel_not_allowed"]);
  });
});

describe("a socket ends with its token", () => {
  const alarm = () => runDurableObjectAlarm(mailbox("alice", "c"));

  it("by the alarm, through hibernation, and leaves nothing behind; a key's socket stays", async () => {
    const token = await mint({ channels: ["c"] });
    const [client, keyed] = [await browse(token, {}, "?channel=c"), await browse("sk-dev-alice", {}, "?channel=c")];
    await client.subscribe({ channel: "c" });
    await evict(mailbox("alice", "c"));
    world.now = EPOCH + 899_000;
    await alarm();
    expect(client.closed).toBeNull();
    await evict(mailbox("alice", "c"));
    world.now = EPOCH + 900_000;
    await alarm();
    expect(await until(() => client.closed)).toMatchObject({ code: 4401, reason: "token expired" });
    expect(keyed.closed).toBeNull();
    const rows = await inside(mailbox("alice", "c"), (_, state) => state.storage.sql.exec("SELECT * FROM subscriptions").toArray().length);
    expect(rows).toBe(0);
  });

  it("by its next frame, should the alarm be late", async () => {
    const client = await browse(await mint({ channels: ["c"] }), {}, "?channel=c");
    await evict(mailbox("alice", "c"));
    world.now = EPOCH + 900_000;
    client.send({ type: "subscribe", channel: "c" });
    expect(await until(() => client.closed)).toMatchObject({ code: 4401 });
    expect(client.frames).toEqual([]);
  });

  it("by the next event, which it is not told, should the alarm be late", async () => {
    const [watcher, keyed] = [await browse(await mint({ channels: ["c"] }), {}, "?channel=c"), await connect({ channel: "c" })];
    for (const client of [watcher, keyed]) await client.subscribe({ channel: "c" });
    const { id } = await submit({ channel: "c", ...later });
    for (const client of [watcher, keyed]) await client.saw(id, "queued");
    world.now = EPOCH + 900_000;
    await call("POST", `/v1/jobs/${id}/cancel`);
    await keyed.saw(id, "cancelled");
    expect(await until(() => watcher.closed)).toMatchObject({ code: 4401, reason: "token expired" });
    expect(watcher.story(id)).toEqual(["1 queued"]);
    const rows = () =>
      inside(mailbox("alice", "c"), (_, { storage }) => storage.sql.exec("SELECT socket FROM subscriptions").toArray().length);
    await until(async () => (await rows()) === 1);
  });

  it("cannot be placed with another channel", async () => {
    const token = await mint({ channels: ["c"] });
    expect(await answer("GET", "/v1/subscribe?channel=d", token, undefined, { upgrade: "websocket" })).toEqual([
      403,
      "channel_not_allowed",
    ]);
  });
});
