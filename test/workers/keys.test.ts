import { reset } from "cloudflare:test";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { ErrorBody } from "../../schemas/problem.ts";
import { call, job, send, submit } from "../support/service.ts";
import { Client } from "../support/socket.ts";
import { resetWorld, world } from "../support/world.ts";

beforeEach(resetWorld);
afterEach(reset);

const DOORS = [
  ["POST", "/v1/jobs"],
  ["GET", "/v1/jobs"],
  ["GET", "/v1/jobs/job_x"],
  ["POST", "/v1/jobs/job_x/cancel"],
  ["GET", "/v1/jobs/job_x/deliveries"],
  ["POST", "/v1/jobs/job_x/deliveries/evt_x/redeliver"],
  ["GET", "/v1/subscribe"],
  ["GET", "/v1/queue"],
] as const;

async function refused(path: string, init: RequestInit = {}) {
  const response = await send(path, init);
  const { error } = (await response.json()) as ErrorBody;
  expect(error).toEqual({ message: expect.any(String), type: expect.any(String), code: expect.any(String), param: null });
  expect(response.headers.get("x-request-id")).toMatch(/^req_[0-9a-f]{32}$/);
  return { status: response.status, type: error.type, code: error.code };
}

describe.each(DOORS)("%s %s", (method, path) => {
  it("without a key: 401", async () => {
    expect(await refused(path, { method })).toEqual({ status: 401, type: "authentication_error", code: "missing_api_key" });
  });

  it.each([
    ["a wrong key", "Bearer sk-wrong", "invalid_api_key"],
    ["a key's hash", "Bearer c654d38ddccf90ce8e80f52254753cb6b19682349d920e558059f7be2a89c6d3", "invalid_api_key"],
    ["a key with more behind it", "Bearer sk-dev-alice2", "invalid_api_key"],
    ["another scheme", "Basic sk-dev-alice", "missing_api_key"],
    ["no scheme", "sk-dev-alice", "missing_api_key"],
    ["an empty key", "Bearer ", "missing_api_key"],
  ])("%s: 401", async (_, authorization, code) => {
    expect(await refused(path, { method, headers: { authorization } })).toEqual({ status: 401, type: "authentication_error", code });
  });

  it.each(["token", "key", "api_key", "access_token", "authorization", "bearer"])(
    "a key in the query as %s counts for nothing",
    async (name) => {
      expect((await refused(`${path}?${name}=sk-dev-alice`, { method })).status).toBe(401);
      expect((await refused(`${path}?${name}=Bearer%20sk-dev-operator`, { method })).status).toBe(401);
    },
  );

  it("a key without the role: 403", async () => {
    const key = path === "/v1/queue" ? "sk-dev-alice" : "sk-dev-operator";
    const answer = await refused(path, { method, headers: { authorization: `Bearer ${key}` } });
    expect(answer).toEqual({ status: 403, type: "permission_error", code: "insufficient_permissions" });
  });
});

describe("tenants", () => {
  it("an operator cannot submit, and nothing came of it", async () => {
    const { status } = await call("POST", "/v1/jobs", job(), { key: "sk-dev-operator" });
    expect(status).toBe(403);
    expect(world.calls).toHaveLength(0);
  });

  it("two tenants may use the same channel, and see each their own", async () => {
    type Page = { data: { id: string }[] };
    const mine = await submit({ channel: "shared" });
    const theirs = await submit({ channel: "shared" }, {}, "sk-dev-bob");
    const seen = async (key: string) =>
      (await call<Page>("GET", "/v1/jobs?channel=shared", undefined, { key })).body.data.map(({ id }) => id);
    expect(await seen("sk-dev-alice")).toEqual([mine.id]);
    expect(await seen("sk-dev-bob")).toEqual([theirs.id]);
  });

  it("a key may be written in any case of the scheme", async () => {
    const response = await send("/v1/jobs", { headers: { authorization: "bearer sk-dev-alice" } });
    expect(response.status).toBe(200);
  });
});

describe("doors that are none", () => {
  it.each([
    ["GET", "/v1/nothing"],
    ["DELETE", "/v1/jobs"],
    ["PUT", "/v1/jobs/job_x"],
    ["GET", "/v1/jobs/job_x/cancel"],
    ["POST", "/v1/queue"],
    ["GET", "/V1/JOBS"],
    ["GET", "/v1"],
  ])("%s %s: 404", async (method, path) => {
    const answer = await refused(path, { method, headers: { authorization: "Bearer sk-dev-alice" } });
    expect(answer).toEqual({ status: 404, type: "invalid_request_error", code: "unknown_url" });
  });

  it("/healthz needs no key", async () => {
    const response = await send("/healthz");
    expect([response.status, await response.json()]).toEqual([200, { status: "ok" }]);
  });
});

describe("the WebSocket's door", () => {
  const upgrade = (headers: Record<string, string>, query = "") =>
    send(`/v1/subscribe${query}`, { headers: { upgrade: "websocket", ...headers } });
  const close = (response: Response) => new Client(response.webSocket!).socket.close(1000, "done");

  it("opens to a key in the header", async () => {
    const response = await upgrade({ authorization: "Bearer sk-dev-alice" });
    expect(response.status).toBe(101);
    expect(response.headers.get("sec-websocket-protocol")).toBeNull();
    close(response);
  });

  it.each(["sluice.v1, bearer.sk-dev-alice", "sluice.v1,bearer.sk-dev-alice", "bearer.sk-dev-alice, sluice.v1"])(
    "opens to the pair %j, and never repeats the key",
    async (offered) => {
      const response = await upgrade({ "sec-websocket-protocol": offered });
      expect(response.status).toBe(101);
      expect(response.headers.get("sec-websocket-protocol")).toBe("sluice.v1");
      expect(JSON.stringify([...response.headers])).not.toContain("sk-dev");
      close(response);
    },
  );

  it.each([
    ["a wrong key", "sluice.v1, bearer.sk-wrong", 401],
    ["no key", "sluice.v1", 401],
    ["an empty key", "sluice.v1, bearer.", 401],
    ["the operator's key", "sluice.v1, bearer.sk-dev-operator", 403],
  ])("%s in the pair: refused", async (_, offered, status) => {
    const answer = await upgrade({ "sec-websocket-protocol": offered });
    expect([answer.status, answer.webSocket ?? null]).toEqual([status, null]);
  });

  it.each(["token", "access_token", "bearer", "protocol"])("a key in the query as %s does not open it", async (name) => {
    expect((await upgrade({}, `?${name}=sk-dev-alice`)).status).toBe(401);
    expect((await upgrade({}, `?${name}=bearer.sk-dev-alice`)).status).toBe(401);
  });

  it("no upgrade: 426, and says which", async () => {
    const response = await send("/v1/subscribe", { headers: { authorization: "Bearer sk-dev-alice" } });
    expect([response.status, response.headers.get("upgrade")]).toEqual([426, "websocket"]);
    expect(((await response.json()) as ErrorBody).error.code).toBe("upgrade_required");
  });

  it.each(["", "~0", "~lobby-1", "x".repeat(129)])("a channel that cannot be, %j: 400", async (channel) => {
    const response = await upgrade({ authorization: "Bearer sk-dev-alice" }, `?channel=${channel}`);
    expect([response.status, ((await response.json()) as ErrorBody).error.param]).toEqual([400, "channel"]);
  });
});
