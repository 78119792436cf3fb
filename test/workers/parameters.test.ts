/** Every door reports a bad parameter with a stable code and the parameter's name. */
import { reset } from "cloudflare:test";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { ErrorBody } from "../../schemas/problem.ts";
import { call, job, submit } from "../support/service.ts";
import { later } from "../support/telling.ts";
import { resetWorld } from "../support/world.ts";

beforeEach(resetWorld);
afterEach(reset);

type Asked = { body?: unknown; headers?: Record<string, string>; key?: string };

async function refused(method: string, path: string, { body, ...options }: Asked = {}) {
  const answer = await call<ErrorBody>(method, path, body, options);
  const { code, param, type } = answer.body.error;
  return [answer.status, type, code, param];
}

const LONG = { "idempotency-key": "x".repeat(256) };
const operator = { key: "sk-dev-operator" };
const request = job().request;

describe("Sluice's own doors", () => {
  it.each<[string, string, string, Asked?]>([
    ["GET", "/v1/jobs?limit=0", "limit"],
    ["GET", "/v1/jobs?status=done", "status"],
    ["GET", "/v1/jobs?status=completed&status=failed", "status"],
    ["GET", "/v1/jobs?after=job_x", "after"],
    ["GET", "/v1/jobs?after=", "after"],
    ["GET", "/v1/jobs?channel=~0", "channel"],
    ["GET", "/v1/subscribe?channel=~0", "channel"],
    ["GET", "/v1/subscribe?channel=a&channel=b", "channel"],
    ["POST", "/v1/jobs", "Idempotency-Key", { body: job(), headers: LONG }],
    ["POST", "/v1/jobs", "jobs", { body: { jobs: 5 } }],
    ["POST", "/v1/jobs", "channel", { body: { jobs: [job()], channel: "c" } }],
    ["POST", "/v1/jobs", "bogus", { body: { bogus: 1, jobs: [] } }],
    ["GET", "/v1/dead-letters?limit=101", "limit", operator],
    ["GET", "/v1/dead-letters?after=x", "after", operator],
    ["GET", "/v1/dead-letters?after=", "after", operator],
    ["GET", "/v1/dead-letters?after=-1", "after", operator],
    ["POST", "/v1/dead-letters/redrive", "jobs", { ...operator, body: {} }],
    ["POST", "/v1/dead-letters/redrive", "job", { ...operator, body: { jobs: ["x"], job: "x" } }],
    ["POST", "/v1/queue/pause", "pools", { ...operator, body: { pools: [] } }],
    ["POST", "/v1/queue/pause", "pool", { ...operator, body: { pool: null } }],
    ["POST", "/v1/queue/resume", "tenant", { ...operator, body: { tenant: null } }],
    ["POST", "/v1/queue/drain", "tenant", { ...operator, body: { pool: "gpt-5-mini", tenant: "alice" } }],
  ])("%s %s -> invalid_parameter, and which: %s", async (method, path, param, asked) => {
    expect(await refused(method, path, asked)).toEqual([400, "invalid_request_error", "invalid_parameter", param]);
  });

  it.each<[string, string, Asked?]>([
    ["?wait=soon", "wait"],
    ["?wait=2&wait=x", "wait"],
    ["/events?deltas=maybe", "deltas"],
    ["/events?after=0&after=1", "after"],
    ["/events?wait=-1", "wait"],
    ["/events?after=x", "after"],
    ["/events?after=1e2", "after"],
    ["/events", "Last-Event-ID", { headers: { "last-event-id": "1.5" } }],
  ])("GET /v1/jobs/{id}%s -> invalid_parameter, and which: %s", async (path, param, asked) => {
    const { id } = await submit(later);
    expect(await refused("GET", `/v1/jobs/${id}${path}`, asked)).toEqual([400, "invalid_request_error", "invalid_parameter", param]);
  });

  it.each<[string, string, unknown, number, string, string]>([
    ["POST", "/v1/tokens", { channels: ["c"], expires_in: 0 }, 400, "invalid_token_request", "expires_in"],
    ["POST", "/v1/tokens", { channel: "c" }, 400, "invalid_token_request", "channel"],
    ["POST", "/v1/tokens", { channels: ["c"], models: ["gpt*", "*x"] }, 400, "invalid_token_request", "models.1"],
    ["POST", "/v1/tokens/revoke", {}, 400, "invalid_token_request", "token"],
    ["GET", "/v1/jobs?batch=batch_x", undefined, 404, "batch_not_found", "batch"],
  ])("%s %s %j -> %i %s, %s", async (method, path, body, status, code, param) => {
    expect(await refused(method, path, { body })).toEqual([status, "invalid_request_error", code, param]);
  });
});

describe("a number too large to read", () => {
  it.each<[string, string, string, string, string, string?]>([
    ["POST", "/v1/jobs", JSON.stringify(job({ not_before: 0 })).replace(":0", `:1${"0".repeat(18)}`), "invalid_job", "not_before"],
    ["POST", "/v1/jobs", JSON.stringify(job({}, { n: -1 })).replace(":-1", ":-1e400"), "invalid_job", "request.n"],
    ["POST", "/v1/tokens", '{"channels":["c"],"expires_in":1e400}', "invalid_token_request", "expires_in"],
    ["PATCH", "/v1/pools/gpt-5-mini", '{"rpm":1e400}', "invalid_parameter", "rpm", "sk-dev-operator"],
  ])("%s %s -> the message says so", async (method, path, body, code, param, key = "sk-dev-alice") => {
    const { error } = (await call<ErrorBody>(method, path, body, { key })).body;
    expect(error).toMatchObject({ code, param, message: `${param}: The number is too large` });
  });

  it("where a text must be -> the message says that a number came", async () => {
    const body = JSON.stringify(job({ channel: 0 })).replace('"channel":0', '"channel":12345678901234567890');
    const { error } = (await call<ErrorBody>("POST", "/v1/jobs", body)).body;
    expect(error).toMatchObject({ param: "channel", message: "channel: Invalid input: expected string, received number" });
  });
});

describe("OpenAI's doors", () => {
  it.each<[string, string, string, Asked?]>([
    ["GET", "/v1/files?limit=0", "limit"],
    ["GET", "/v1/files?after=file-nope", "after"],
    ["GET", "/v1/files?after=", "after"],
    ["GET", "/v1/files?order=up", "order"],
    ["GET", "/v1/files?order=asc&order=desc", "order"],
    ["GET", "/v1/batches?limit=x", "limit"],
    ["GET", "/v1/batches?after=batch_nope", "after"],
    ["GET", "/v1/batches?after=", "after"],
    ["POST", "/v1/batches", "endpoint", { body: { input_file_id: "file-x", endpoint: "/v1/embeddings", completion_window: "24h" } }],
    ["POST", "/v1/chat/completions", "Idempotency-Key", { body: request, headers: LONG }],
    ["POST", "/v1/chat/completions", "x-sluice-on-disconnect", { body: request, headers: { "x-sluice-on-disconnect": "stay" } }],
    ["POST", "/v1/chat/completions", "x-sluice-priority", { body: request, headers: { "x-sluice-priority": "high" } }],
    ["POST", "/v1/chat/completions", "x-sluice-channel", { body: request, headers: { "x-sluice-channel": "~0" } }],
  ])("%s %s -> invalid_parameter, and which: %s", async (method, path, param, asked) => {
    expect(await refused(method, path, asked)).toEqual([400, "invalid_request_error", "invalid_parameter", param]);
  });

  it.each<[string, string, unknown, number, string | null]>([
    ["POST", "/v1/chat/completions", [], 400, null],
    ["POST", "/v1/chat/completions", { model: "gpt-5-mini" }, 400, "messages"],
    ["GET", "/v1/files/file-x", undefined, 404, "id"],
    ["GET", "/v1/batches/batch_x", undefined, 404, "id"],
  ])("%s %s %j -> no code, as OpenAI has none", async (method, path, body, status, param) => {
    expect(await refused(method, path, { body })).toEqual([status, "invalid_request_error", null, param]);
  });
});
