import { reset, runDurableObjectAlarm } from "cloudflare:test";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { ErrorBody } from "../../schemas/problem.ts";
import { call, crash, ended, evict, hashOf, inside, job, mailbox, send, submit, until } from "../support/service.ts";
import { Client } from "../support/socket.ts";
import { read } from "../support/sse.ts";
import { later } from "../support/telling.ts";
import { EPOCH, resetWorld, script, world } from "../support/world.ts";

beforeEach(resetWorld);
afterEach(reset);

type Made = { token: string; expires_at: number };

async function mint(body: object): Promise<string> {
  const made = await call<Made>("POST", "/v1/tokens", body);
  if (made.status !== 200) throw new Error(`refused: ${JSON.stringify(made.body)}`);
  return made.body.token;
}

async function answer(method: string, path: string, key: string, body?: unknown, headers: Record<string, string> = {}) {
  const { status, body: got } = await call<ErrorBody>(method, path, body, { key, headers });
  return [status, got.error?.code ?? null];
}

const revoke = (token: string, key = "sk-dev-alice") => answer("POST", "/v1/tokens/revoke", key, { token });

async function browse(token: string, query = ""): Promise<Client | number> {
  const headers = { upgrade: "websocket", "sec-websocket-protocol": `sluice.v1, bearer.${token}` };
  const { status, webSocket } = await send(`/v1/subscribe${query}`, { headers });
  return webSocket ? new Client(webSocket) : status;
}

describe("a token for so many jobs", () => {
  const submits = { channels: ["c"], actions: ["read", "submit"] };
  const post = (token: string, body: unknown = job(), headers = {}) => answer("POST", "/v1/jobs", token, body, headers);

  it("so many are taken and no more, through the mailbox's death, while others go on", async () => {
    const token = await mint({ ...submits, max_jobs: 3 });
    expect(await post(token)).toEqual([202, null]);
    await evict(mailbox("alice", "c"));
    expect(await post(token)).toEqual([202, null]);
    await crash();
    expect(await post(token)).toEqual([202, null]);
    expect(await post(token)).toEqual([403, "token_jobs_exhausted"]);
    expect(await post(await mint({ ...submits, max_jobs: 1 }))).toEqual([202, null]);
    expect(await post("sk-dev-alice", job({ channel: "c" }))).toEqual([202, null]);
  });

  it("jobs that come together: those that are too many fail alone", async () => {
    const token = await mint({ ...submits, max_jobs: 3 });
    type Bulk = { data: { object?: string; error?: { code: string } }[] };
    const { body } = await call<Bulk>("POST", "/v1/jobs", { jobs: Array(5).fill(job()) }, { key: token });
    expect(body.data.map((each) => each.object ?? each.error?.code)).toEqual([
      ...Array(3).fill("job"),
      ...Array(2).fill("token_jobs_exhausted"),
    ]);
    const many = await Promise.all(Array.from({ length: 4 }, () => post(token)));
    expect(many).toEqual(Array(4).fill([403, "token_jobs_exhausted"]));
  });

  it("many at the same instant, each by itself: not one too many", async () => {
    const token = await mint({ ...submits, max_jobs: 4 });
    const statuses = (await Promise.all(Array.from({ length: 12 }, () => post(token)))).map(([status]) => status);
    expect(statuses.filter((status) => status === 202)).toHaveLength(4);
  });

  it("a repeated submit under one Idempotency-Key counts once, and is answered when the count is full", async () => {
    const token = await mint({ ...submits, max_jobs: 1 });
    const named = { "idempotency-key": "once" };
    for (let time = 0; time < 3; time++) expect(await post(token, job(), named)).toEqual([202, null]);
    expect(await post(token, job(), { "idempotency-key": "twice" })).toEqual([403, "token_jobs_exhausted"]);
  });

  it("a job that is refused for another reason is not counted", async () => {
    const token = await mint({ ...submits, max_jobs: 1 });
    expect((await post(token, job({}, { model: 5 })))[0]).toBe(400);
    const late = job({ not_before: EPOCH / 1_000 + 60, deadline: EPOCH / 1_000 + 30 });
    expect((await post(token, late))[0]).toBe(400);
    world.env.SLUICE_KEYS = JSON.stringify([{ key_sha256: await hashOf("sk-dev-alice"), tenant: "alice", max_queued: 1 }]);
    const mine = await mint({ ...submits, max_jobs: 1 });
    const { id } = await submit({ channel: "c", ...later });
    expect(await post(mine)).toEqual([429, "queue_full"]);
    await call("POST", `/v1/jobs/${id}/cancel`);
    await until(async () => (await post(mine))[0] === 202);
    expect(await post(mine)).toEqual([403, "token_jobs_exhausted"]);
  });

  it("calls to OpenAI's API count too", async () => {
    const token = await mint({ ...submits, max_jobs: 1 });
    const chat = { model: "gpt-5-mini", messages: [{ role: "user", content: "Hello." }] };
    expect((await answer("POST", "/v1/chat/completions", token, chat))[0]).toBe(200);
    expect(await answer("POST", "/v1/chat/completions", token, { ...chat, seed: 1 })).toEqual([403, "token_jobs_exhausted"]);
  });

  it.each([
    ["of two channels", { channels: ["a", "b"], actions: ["submit"] }],
    ["that does not submit", { channels: ["a"], actions: ["read"] }],
    ["of none", { channels: ["a"], actions: ["submit"], max_jobs: 0 }],
    ["of half a job", { channels: ["a"], actions: ["submit"], max_jobs: 1.5 }],
  ])("a token %s: refused", async (_, body) => {
    expect((await answer("POST", "/v1/tokens", "sk-dev-alice", { max_jobs: 2, ...body }))[0]).toBe(400);
  });

  it("what is remembered of a token goes when it has expired", async () => {
    const token = await mint({ ...submits, max_jobs: 3, expires_in: 60 });
    await post(token);
    const rows = () => inside(mailbox("alice", "c"), (_, state) => state.storage.sql.exec("SELECT * FROM passes").toArray().length);
    expect(await rows()).toBe(1);
    world.now = EPOCH + 61_000;
    await runDurableObjectAlarm(mailbox("alice", "c"));
    expect(await rows()).toBe(0);
  });
});

describe("Idempotency-Keys of tokens", () => {
  const named = { "idempotency-key": "order-4711" };
  const post = async (key: string, more = {}) => {
    const { body, status } = await call("POST", "/v1/jobs", job(more), { key, headers: named });
    return [status, body.id];
  };

  it("use up none of the tenant's, nor of another channel's", async () => {
    const [mine, other] = [await mint({ channels: ["c"], actions: ["submit"] }), await mint({ channels: ["d"], actions: ["submit"] })];
    const ids = [];
    for (const [key, more] of [
      [mine, { metadata: { by: "token" } }],
      [other, { metadata: { by: "other" } }],
      ["sk-dev-alice", { channel: "c", metadata: { by: "key" } }],
    ] as const) {
      const [status, id] = await post(key, more);
      expect(status).toBe(202);
      ids.push(id);
    }
    expect(new Set(ids).size).toBe(3);
  });

  it("hold from one token of a channel to the next: the same job, and not another under the same key", async () => {
    const [first, second] = [
      await mint({ channels: ["c"], actions: ["submit"] }),
      await mint({ channels: ["c", "d"], actions: ["submit"] }),
    ];
    const [, id] = await post(first, { channel: "c" });
    expect(await post(second, { channel: "c" })).toEqual([202, id]);
    expect((await post(second, { channel: "c", metadata: { a: "b" } }))[0]).toBe(409);
  });
});

describe("a token that comes with a job", () => {
  type Answer = { id: string; token?: Made; error?: { code: string } };

  it("opens that job alone", async () => {
    const other = await submit({ channel: "c" });
    const { body } = await call<Answer>("POST", "/v1/jobs", job({ channel: "c", token: true }));
    const { expires_at, token } = body.token!;
    expect(expires_at).toBe(EPOCH / 1_000 + 900);
    expect((await ended(body.id, token)).status).toBe("completed");
    expect(await answer("GET", `/v1/jobs/${other.id}`, token)).toEqual([404, "job_not_found"]);
    expect(await answer("POST", `/v1/jobs/${body.id}/cancel`, token)).toEqual([403, "insufficient_permissions"]);
    expect("token" in (await call<Answer>("GET", `/v1/jobs/${body.id}`)).body).toBe(false);
  });

  it("with actions and a lifetime of its own", async () => {
    const { body } = await call<Answer>("POST", "/v1/jobs", job({ ...later, token: { actions: ["cancel"], expires_in: 60 } }));
    expect(body.token!.expires_at).toBe(EPOCH / 1_000 + 60);
    expect(await answer("POST", `/v1/jobs/${body.id}/cancel`, body.token!.token)).toEqual([200, null]);
  });

  it("of many jobs, each that asks has its own", async () => {
    const jobs = [job({ token: true }), job(), job({ token: true })];
    const { body } = await call<{ data: Answer[] }>("POST", "/v1/jobs", { jobs });
    expect(body.data.map(({ token }) => token !== undefined)).toEqual([true, false, true]);
    const lines = await send("/v1/jobs", {
      method: "POST",
      headers: { authorization: "Bearer sk-dev-alice", "content-type": "application/jsonl" },
      body: jobs.map((each) => JSON.stringify(each)).join("\n"),
    });
    const told = (await lines.text())
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as Answer);
    expect(told.map(({ token }) => token !== undefined)).toEqual([true, false, true]);
    expect((await ended(told[2]!.id, told[2]!.token!.token)).status).toBe("completed");
  });

  const asking = job({ channel: "c", token: true });

  it("asked for by a token: refused, and no job is made", async () => {
    expect((await answer("POST", "/v1/jobs", await mint({ channels: ["c"], actions: ["submit"] }), asking))[0]).toBe(403);
    expect(world.calls).toHaveLength(0);
  });

  it("asked of a deployment without a secret: refused, and no job is made", async () => {
    const own = { key_sha256: await hashOf("sk-own"), tenant: "alice", roles: ["submit", "read"] };
    Object.assign(world.env, { SLUICE_TOKEN_SECRET: "", SLUICE_LOCAL: "", SLUICE_KEYS: JSON.stringify([own]) });
    expect(await answer("POST", "/v1/jobs", "sk-own", asking)).toEqual([501, "tokens_not_configured"]);
    expect(world.calls).toHaveLength(0);
  });

  it.each([{ actions: ["submit"] }, { actions: [] }, { expires_in: 0 }, { expires_in: 1e9 }, { channels: ["c"] }, "yes", false])(
    "as %j: refused",
    async (token) => {
      expect((await answer("POST", "/v1/jobs", "sk-dev-alice", job({ token })))[0]).toBe(400);
    },
  );
});

describe("a token that is revoked", () => {
  const all = { channels: ["c", "d"], actions: ["read", "submit", "cancel"] };

  it("opens no door any more, through everything's death; another token of the same channels does", async () => {
    const [token, other] = [await mint(all), await mint(all)];
    const { id } = await submit({ channel: "c", ...later });
    expect(await revoke(token)).toEqual([200, null]);
    await crash();
    const doors: [string, string, unknown?][] = [
      ["GET", `/v1/jobs/${id}`],
      ["GET", `/v1/jobs/${id}/why`],
      ["GET", `/v1/jobs/${id}/events`],
      ["GET", `/v1/jobs/${id}/events?wait=0`],
      ["GET", "/v1/jobs?channel=d"],
      ["POST", `/v1/jobs/${id}/cancel`],
      ["POST", "/v1/jobs", job({ channel: "d" })],
      ["POST", "/v1/chat/completions", { model: "gpt-5-mini", messages: [{ role: "user", content: "x" }] }],
    ];
    for (const [method, path, body] of doors) {
      const headers = path === "/v1/chat/completions" ? { "x-sluice-channel": "c" } : {};
      expect([path, ...(await answer(method, path, token, body, headers))]).toEqual([path, 401, "token_revoked"]);
    }
    expect(await answer("GET", `/v1/jobs/${id}`, other)).toEqual([202, null]);
    expect(world.calls).toHaveLength(0);
  });

  it("a call that streams with it -> ends with an error that says so, which SDKs throw: it must not look like a short answer", async () => {
    const upstream = script();
    world.upstream = upstream.answer;
    upstream.say("Once ");
    const token = await mint(all);
    const body = { model: "gpt-5-mini", stream: true, messages: [{ role: "user", content: "x" }] };
    const headers = { authorization: `Bearer ${token}`, "x-sluice-channel": "c", "content-type": "application/json" };
    const response = await send("/v1/chat/completions", { method: "POST", headers, body: JSON.stringify(body) });
    const text = response.text();
    expect(await revoke(token)).toEqual([200, null]);
    const [, after] = (await text).split("Once ");
    expect(after).toContain('"code":"token_revoked"');
    upstream.finish();
  });

  it.each(["", "?channel=c"])("its sockets are closed at once, and none opens again: placed by %j", async (query) => {
    const token = await mint(all);
    const client = (await browse(token, query)) as Client;
    await client.subscribe({ channel: "c" });
    const bystander = (await browse(await mint(all), query)) as Client;
    await bystander.subscribe({ channel: "c" });
    await revoke(token);
    await until(() => client.closed !== null);
    expect(client.closed).toMatchObject({ code: 4403 });
    expect(await browse(token, "?channel=c")).toBe(401);
    expect(await Promise.all(Array.from({ length: 8 }, () => browse(token)))).toEqual(Array(8).fill(401));
    const { id } = await submit({ channel: "c" });
    await bystander.saw(id, "completed");
    expect(client.events()).toEqual([]);
  });

  it("a stream that it opened breaks off; so does one whose token expires", async () => {
    const tokens = [await mint(all), await mint({ ...all, expires_in: 60 })];
    const { id } = await submit({ channel: "c", ...later });
    const streams = tokens.map(async (token) => {
      const response = await send(`/v1/jobs/${id}/events`, { headers: { authorization: `Bearer ${token}` } });
      return read(response).catch(() => "broken");
    });
    await until(() => inside(mailbox("alice", "c"), (_, state) => state.getWebSockets().length === 2));
    await revoke(tokens[0]!);
    expect(await streams[0]).toBe("broken");
    world.now = EPOCH + 61_000;
    await runDurableObjectAlarm(mailbox("alice", "c"));
    expect(await streams[1]).toBe("broken");
  });

  it("twice, or after its end, does no harm", async () => {
    const token = await mint({ ...all, expires_in: 60 });
    expect(await revoke(token)).toEqual([200, null]);
    expect(await revoke(token)).toEqual([200, null]);
    world.now = EPOCH + 61_000;
    expect(await revoke(token)).toEqual([200, null]);
    expect(await answer("GET", "/v1/jobs?channel=c", token)).toEqual([401, "token_expired"]);
  });

  it.each<[string, () => string | Promise<string>, number]>([
    ["another tenant's key", () => "sk-dev-bob", 400],
    ["an operator's key", () => "sk-dev-operator", 403],
    ["a token, even itself", () => mint(all), 403],
    ["nobody's key", () => "sk-nobody", 401],
  ])("by %s: refused, and it holds", async (_, key, status) => {
    const token = await mint(all);
    expect((await revoke(token, await key()))[0]).toBe(status);
    expect(await answer("GET", "/v1/jobs?channel=c", token)).toEqual([200, null]);
  });

  it.each([[{}], [{ token: 5 }], [{ token: "no.such.token" }], [{ token: "" }]])("asked with %j: refused", async (body) => {
    expect((await answer("POST", "/v1/tokens/revoke", "sk-dev-alice", body))[0]).toBe(400);
  });
});
