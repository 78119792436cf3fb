/** `HEAD`, with which load balancers and monitors check a service. */
import { reset } from "cloudflare:test";
import { afterEach, beforeEach, expect, it } from "vitest";
import { ended, send, submit } from "../support/service.ts";
import { resetWorld } from "../support/world.ts";

beforeEach(resetWorld);
afterEach(reset);

const authorization = "Bearer sk-dev-alice";
const head = (path: string, headers: Record<string, string> = { authorization }) => send(path, { method: "HEAD", headers });

it("answers as GET would, without the body", async () => {
  const { id } = await submit();
  await ended(id);
  for (const path of ["/", "/healthz", "/v1/models", `/v1/jobs/${id}`, `/v1/jobs/${id}/events`]) {
    const answer = await head(path);
    const got = await send(path, { headers: { authorization } });
    await got.body?.cancel();
    expect([path, answer.status, answer.headers.get("content-type")]).toEqual([path, 200, got.headers.get("content-type")]);
    expect(await answer.text()).toBe("");
    expect(answer.headers.get("x-request-id")).toMatch(/^req_/);
  }
});

it("and refuses as GET would", async () => {
  expect((await head("/v1/jobs", {})).status).toBe(401);
  expect((await head("/v1/queue")).status).toBe(403);
  expect((await head("/v1/nothing")).status).toBe(404);
});
