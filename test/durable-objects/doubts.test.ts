/** Calls that may have been paid for twice are counted by job, tenant and pool, and a job that may not be called again says why. */

import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { committed, enqueue, fatal, playAll, retryable, settle, ticket } from "../support/desk.ts";
import { advanceTo, call, coordinator, drained, ended, pool, submit, until, world } from "../support/service.ts";
import { connect } from "../support/socket.ts";
import { cleared, kill } from "../support/stand.ts";
import { chunksOf, completion, EPOCH, refusal, resetWorld, silence, stream } from "../support/world.ts";

beforeEach(resetWorld);
afterEach(cleared);

const NONE = { unknown_outcomes: 0, possible_duplicates: 0, possible_duplicate_tokens: 0, tenants: [] };
const bob = { tenant: "bob", channel: "c" };

describe("counted by the coordinator", () => {
  it("an unknown outcome when it ends, a duplicate when the call was made again; both outlive a crash", async () => {
    const { starts } = playAll();
    expect((await pool()).doubts).toEqual(NONE);
    await enqueue([ticket("a", { tokens: 70 })]);
    await enqueue([ticket("b", { tokens: 30 })], bob);
    await settle("a", 1, retryable(true));
    await settle("b", 1, retryable(true));
    expect((await pool()).doubts).toMatchObject({ unknown_outcomes: 2, possible_duplicates: 0 });
    await kill(coordinator());
    await advanceTo(EPOCH + 2_000);
    await until(() => starts.length === 4);
    await settle("a", 2, { kind: "rate_limited", retryAfterMs: 60_000 });
    await settle("b", 2, committed);
    await kill(coordinator());
    await advanceTo(EPOCH + 120_000);
    await until(() => starts.length === 5);
    // This attempt repeats nothing: the one before it was refused for the rate.
    await settle("a", 3, committed);
    expect((await pool()).doubts).toEqual({
      ...{ unknown_outcomes: 2, possible_duplicates: 2, possible_duplicate_tokens: 100 },
      tenants: [
        { id: "alice", unknown_outcomes: 1, possible_duplicates: 1, possible_duplicate_tokens: 70 },
        { id: "bob", unknown_outcomes: 1, possible_duplicates: 1, possible_duplicate_tokens: 30 },
      ],
    });
    expect((await pool("gpt-5-nano")).doubts).toEqual(NONE);
  });

  it("a job again whose last call had an unknown outcome: its first call is the duplicate, and no other, over a crash as well", async () => {
    const { starts } = playAll();
    await enqueue([ticket("a", { tokens: 70, doubtful: true }), ticket("b")]);
    await coordinator().pull("pause", { kind: "all" });
    await enqueue([ticket("c", { tokens: 30, doubtful: true }), ticket("d"), ticket("e", { doubtful: true, notBefore: EPOCH + 1_000 })]);
    await kill(coordinator());
    expect((await pool()).doubts).toEqual(NONE);
    await coordinator().pull("resume", { kind: "all" });
    await until(() => starts.length === 4);
    await settle("a", 1, { kind: "no_capacity", retryAfterMs: null });
    for (const job of ["b", "c", "d"]) await settle(job, 1, committed);
    expect((await pool()).doubts).toMatchObject({ unknown_outcomes: 0, possible_duplicates: 1, possible_duplicate_tokens: 30 });
    await advanceTo(EPOCH + 60_000);
    await until(() => starts.length === 6);
    await settle("a", 2, retryable(false));
    await settle("e", 1, committed);
    await advanceTo(EPOCH + 120_000);
    await until(() => starts.length === 7);
    await settle("a", 3, committed);
    expect((await pool()).doubts).toMatchObject({ unknown_outcomes: 0, possible_duplicates: 3, possible_duplicate_tokens: 120 });
  });

  it("a call that was not repeated is no duplicate, and what upstream answered is in no doubt", async () => {
    playAll();
    await enqueue([ticket("a"), ticket("b"), ticket("c")]);
    await settle("a", 1, retryable(true));
    await coordinator().cancel(["a"]);
    await settle("b", 1, retryable(false));
    await settle("c", 1, fatal);
    expect((await pool()).doubts).toMatchObject({ unknown_outcomes: 1, possible_duplicates: 0 });
  });
});

describe("a job that may not be called again", () => {
  /** On the first call, the connection breaks after part of the answer. */
  const breaking = () => {
    world.upstream = () => (world.calls.length > 1 ? completion("again") : stream(chunksOf("half").slice(0, 2)));
  };

  it("retry never -> failed and in the dead letters, as unknown_outcome; it was not repeated", async () => {
    breaking();
    const { id } = await submit({ retry: "never" });
    expect(await ended(id)).toMatchObject({ status: "failed", attempts: 1, possible_duplicates: 0, error: { code: "unknown_outcome" } });
    await drained();
    expect(await coordinator().deadLetters(null, 10)).toMatchObject([
      { job: id, attempts: 1, code: "unknown_outcome", pool: "gpt-5-mini" },
    ]);
    expect((await pool()).doubts).toMatchObject({ unknown_outcomes: 1, possible_duplicates: 0 });
    expect(world.calls).toHaveLength(1);
  });

  it("redriven by an operator: called again, whatever its policy, and counted; redriven after a plain failure, it is in no doubt", async () => {
    const operator = { key: "sk-dev-operator" };
    const redriven = async (id: string) => {
      const { body } = await call<{ data: { id: string }[] }>("POST", "/v1/dead-letters/redrive", { jobs: [id] }, operator);
      return ended(body.data[0]!.id);
    };
    breaking();
    const { id } = await submit({ retry: "never" });
    await ended(id);
    await drained();
    expect(await redriven(id)).toMatchObject({ status: "completed", attempts: 1, possible_duplicates: 1 });
    await until(async () => (await pool()).doubts.possible_duplicates === 1);
    world.upstream = () => refusal(400, "bad", {}, "invalid_request_error");
    const refused = await submit();
    await ended(refused.id);
    await drained();
    world.upstream = () => completion("again");
    expect(await redriven(refused.id)).toMatchObject({ status: "completed", possible_duplicates: 0 });
    await drained();
    expect((await pool()).doubts).toMatchObject({ unknown_outcomes: 1, possible_duplicates: 1 });
  });

  it("a gateway gave up on it -> upstream may have done the work: never is never; otherwise it is counted", async () => {
    world.upstream = () =>
      world.calls.length % 2 === 1 ? refusal(504, "gateway_timeout", { "x-request-id": "req_u" }, "server_error") : completion("again");
    const never = await submit({ retry: "never" });
    const failed = await ended(never.id);
    expect(failed).toMatchObject({ status: "failed", attempts: 1, error: { code: "unknown_outcome", upstream_request_id: "req_u" } });
    expect(failed.error!.message).toContain("gateway_timeout");
    expect(world.calls).toHaveLength(1);
    // The job waits no more: its ticket is gone, and it is among the dead letters.
    await until(async () => (await pool()).depth === 0);
    expect(await coordinator().deadLetters(null, 10)).toMatchObject([{ job: never.id, attempts: 1, code: "unknown_outcome" }]);
    world.calls.length = 0;
    const { id } = await submit();
    await until(async () => (await pool()).depth === 1 && world.calls.length === 1);
    await advanceTo(EPOCH + 2_000);
    expect(await ended(id)).toMatchObject({ status: "completed", attempts: 2, possible_duplicates: 1 });
  });

  it("an answer that takes too long each time is not called twelve times: three are perhaps paid for, and no more", async () => {
    world.upstream = silence();
    const { id } = await submit({ timeouts: { total: 0.2 } });
    const failed = await until(async () => {
      await advanceTo(world.now + 60_000);
      const { body } = await call("GET", `/v1/jobs/${id}`);
      return body.status === "failed" && body;
    });
    expect(failed).toMatchObject({ attempts: 3, possible_duplicates: 2, error: { code: "upstream_timeout" } });
    expect(world.calls.length).toBeLessThanOrEqual(3);
    // Nor does it count as an outage.
    expect((await pool()).condition.state).toBe("normal");
  });

  it.each([
    ["safe", true, "failed"],
    ["safe", false, "completed"],
    ["always", true, "completed"],
  ])("retry %s, a part was delivered: %s -> %s, and the part is kept", async (retry, seen, status) => {
    const error = { error: { message: "oops", type: "server_error", code: "insufficient_quota", param: null } };
    world.upstream = () => (world.calls.length > 1 ? completion("again") : stream([...chunksOf("half").slice(0, 2), error]));
    const client = await connect();
    if (seen) await client.subscribe({ channel: "c", deltas: true });
    const { id } = await submit({ channel: "c", retry });
    if (status === "failed") await ended(id);
    else await until(async () => world.calls.length === 1 && (await pool()).depth === 1);
    // An error in mid-stream says nothing about the pool, whatever its code.
    expect((await pool()).condition.state).toBe("normal");
    await advanceTo(EPOCH + 2_000);
    const duplicates = status === "completed" ? 1 : 0;
    expect(await ended(id)).toMatchObject({ status, possible_duplicates: duplicates });
    if (seen) expect(JSON.stringify(client.events(id).filter(({ event }) => event === "delta"))).toContain("half");
    await drained();
    expect((await pool()).doubts).toMatchObject({ unknown_outcomes: 1, possible_duplicates: duplicates });
  });
});

describe("an error as the first event of a stream", () => {
  it.each([
    ["rate_limit_exceeded", "requests", "normal"],
    ["insufficient_quota", "insufficient_quota", "halted"],
  ])("%s -> as if it were the answer: nothing was delivered, nothing is in doubt", async (code, type, state) => {
    world.upstream = () => (world.calls.length > 1 ? completion("ok") : stream([{ error: { message: "no", type, code, param: null } }]));
    const { id } = await submit();
    await until(() => world.calls.length === 1);
    await until(async () => (await pool()).in_flight === 0);
    expect((await pool()).condition.state).toBe(state);
    await advanceTo(EPOCH + 31_000);
    expect(await ended(id)).toMatchObject({ status: "completed", attempts: 1, possible_duplicates: 0 });
  });
});
