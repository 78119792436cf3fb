import { describe, expect, it } from "vitest";
import { channelMeant, grantMay, keyMay, mayUseChannel, mayUseJob, objection, shown } from "../../policy/grant.ts";
import type { Job } from "../../schemas/job.ts";
import { type Grant, TokenInput } from "../../schemas/token.ts";

const grant = (more: Partial<Grant> = {}): Grant => ({
  id: "t",
  key: "0123456789abcdef",
  channels: ["c"],
  jobs: ["job_x"],
  actions: ["read", "submit", "cancel"],
  models: null,
  maxJobs: null,
  expiresAt: 1,
  ...more,
});

describe("doors", () => {
  it.each(["mint", "operate"] as const)("%s is shut to every token, whatever its key may do", (need) => {
    expect(grantMay(grant(), ["read", "submit", "operate"], need)).toBe(false);
  });

  it("a token does what it names, and no more than its key", () => {
    expect(grantMay(grant({ actions: ["read"] }), ["read", "submit"], "submit")).toBe(false);
    expect(grantMay(grant({ actions: ["submit"] }), ["read", "submit"], "cancel")).toBe(false);
    expect(grantMay(grant(), ["read"], "submit")).toBe(false);
    expect(grantMay(grant(), ["submit"], "cancel")).toBe(true);
  });

  it("a key that only operates makes no tokens", () => {
    expect([keyMay(["operate"], "mint"), keyMay(["read"], "mint")]).toEqual([false, true]);
  });
});

it("the answer in a job is for who may read: a token that says so and whose key may, and every key", () => {
  const job = { id: "job_x", response: { object: "chat.completion" } } as unknown as Job;
  expect(shown(grant({ actions: ["submit", "cancel"] }), ["read", "submit"], job)).toEqual({ id: "job_x", response: null });
  expect(shown(grant(), ["submit"], job).response).toBeNull();
  expect([shown(grant(), ["read"], job), shown(null, ["submit"], job)]).toEqual([job, job]);
});

it("to a token is not said what upstream says of the account: a call that was no attempt has neither code nor message", () => {
  const failed = {
    attempt: 2,
    counted: false,
    status: 429,
    code: "insufficient_quota",
    message: "Limit 500",
    times: 1,
    failed_at: 1,
    retry_at: 2,
  };
  const job = { id: "job_x", last_failure: failed } as unknown as Job;
  expect(shown(grant(), ["read"], job).last_failure).toEqual({ ...failed, code: null, message: null });
  const attempt = { ...job, last_failure: { ...failed, counted: true } };
  expect([shown(grant(), ["read"], attempt), shown(null, ["read"], job)]).toEqual([attempt, job]);
});

describe("channels and jobs", () => {
  it("a channel's token holds for its jobs; a job's token does not hold for its channel", () => {
    expect([mayUseJob(grant(), "job_y", "c"), mayUseJob(grant(), "job_x", "d"), mayUseJob(grant(), "job_y", "d")]).toEqual([
      true,
      true,
      false,
    ]);
    expect([mayUseChannel(grant(), "c"), mayUseChannel(grant(), "d"), mayUseChannel(null, "d")]).toEqual([true, false, true]);
  });

  it("none named -> the only one; among several one must be named; with none there is none", () => {
    expect(channelMeant(grant(), null)).toEqual({ ok: true, channel: "c" });
    expect(channelMeant(grant({ channels: ["a", "b"] }), null)).toEqual({ ok: false, reason: "channel_required" });
    expect(channelMeant(grant({ channels: [] }), null)).toEqual({ ok: false, reason: "channel_not_allowed" });
    expect(channelMeant(grant(), "d")).toEqual({ ok: false, reason: "channel_not_allowed" });
    expect(channelMeant(null, null)).toEqual({ ok: true, channel: null });
  });
});

describe("making", () => {
  it.each([
    [{}, "channels"],
    [{ jobs: ["job_x"], actions: ["submit"] }, "actions"],
    [{ channels: ["c"], actions: ["read", "submit"] }, "actions"],
  ])("%j with a key that reads: refused", (input, param) => {
    expect(objection(TokenInput.parse(input), ["read"])?.param).toBe(param);
  });

  it("a token that submits needs a channel", () => {
    expect(objection(TokenInput.parse({ jobs: ["job_x"], actions: ["submit"] }), ["submit"])).toMatchObject({
      param: "channels",
      status: 400,
    });
  });
});
