import { reset } from "cloudflare:test";
import { afterEach, beforeEach, expect, it } from "vitest";
import { call, job, send } from "../support/service.ts";
import { resetWorld } from "../support/world.ts";

beforeEach(resetWorld);
afterEach(reset);

const origin = "https://page.example";

it.each(["/v1/jobs", "/v1/jobs/job_x", "/v1/jobs/job_x/cancel", "/v1/tokens", "/v1/anything"])(
  "OPTIONS %s, as browsers ask -> allowed, without a token",
  async (path) => {
    const asked = {
      origin,
      "access-control-request-method": "POST",
      "access-control-request-headers": "authorization,content-type,idempotency-key",
    };
    const { status, headers, body } = await send(path, { method: "OPTIONS", headers: asked });
    expect([status, body, headers.get("access-control-allow-origin")]).toEqual([204, null, "*"]);
    expect(headers.get("access-control-allow-methods")?.split(", ")).toContain("POST");
    // Without credentials, "*" stands for every header except this one.
    expect(headers.get("access-control-allow-headers")).toBe("*, authorization");
    expect(headers.get("access-control-allow-credentials")).toBeNull();
  },
);

it("OPTIONS that no browser asked -> an unknown URL, as before", async () => {
  expect((await send("/v1/jobs", { method: "OPTIONS" })).status).toBe(404);
});

it("an answer, be it good or bad -> a page may read it, and where the job is, and when to try again", async () => {
  const accepted = await call("POST", "/v1/jobs", job(), { headers: { origin } });
  const refused = await call("POST", "/v1/jobs", job(), { headers: { origin }, key: "sk-wrong" });
  expect([accepted.status, refused.status]).toEqual([202, 401]);
  for (const { headers } of [accepted, refused]) {
    expect(headers.get("access-control-allow-origin")).toBe("*");
    expect(headers.get("access-control-expose-headers")).toBe("*");
  }
});
