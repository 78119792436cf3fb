import { reset } from "cloudflare:test";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Lease, Verdict } from "../../schemas/rpc.ts";
import { advanceTo, ended, mailbox, submit, until } from "../support/service.ts";
import { connect } from "../support/socket.ts";
import { completion, EPOCH, resetWorld, world } from "../support/world.ts";

beforeEach(resetWorld);
afterEach(reset);

const problem = { status: 502, type: "server_error", code: "unknown_outcome", message: "lost", param: null } as const;
const usage = { prompt_tokens: 5, completion_tokens: 5, total_tokens: 10 };

/** A job that the coordinator does not start, and the calls with which the test drives its mailbox. */
async function dormant() {
  const { id } = await submit({ channel: "c", retry: "always", not_before: EPOCH / 1_000 + 3_600 });
  const stub = mailbox("alice", "c");
  const lease = (attempt: number, unknown: number): Lease => ({
    job: id,
    mailbox: { tenant: "alice", channel: "c" },
    attempt,
    waits: 0,
    unknown,
  });
  return {
    open: (attempt: number, unknown: number) => stub.open([{ lease: lease(attempt, unknown), dispatcher: "disp-wnam-00" }]),
    judge: (verdict: Pick<Verdict, "kind" | "attempt" | "attempts" | "unknown">) =>
      stub.judge([{ job: id, problem, retryAt: EPOCH, ...verdict } as Verdict]),
    commit: (attempt: number) => stub.commit([{ job: id, attempt, startedAt: EPOCH, response: "{}", usage }]),
    job: () => stub.get(id),
  };
}

describe("attempts are counted", () => {
  it("a retry's notice that comes after the next attempt was opened takes nothing back", async () => {
    const { open, judge, commit, job } = await dormant();
    await open(2, 1);
    await judge({ kind: "retrying", attempt: 1, attempts: 1, unknown: 1 });
    expect(await commit(2)).toEqual([{ ok: true }]);
    expect(await job()).toMatchObject({ status: "completed", attempts: 2, possible_duplicates: 1 });
  });

  it("an attempt that met a rate limit is taken back by the verdict: it was a wait", async () => {
    const { open, judge, job } = await dormant();
    await judge({ kind: "retrying", attempt: 1, attempts: 1, unknown: 0 });
    await open(2, 0);
    await judge({ kind: "expired", attempt: 2, attempts: 1, unknown: 0 });
    expect(await job()).toMatchObject({ status: "expired", attempts: 1 });
  });

  it("a follower hears of the next attempt before it is opened: the call before stays counted", async () => {
    world.upstream = () => {
      if (world.calls.length === 1) throw new Error("reset");
      return completion("ok");
    };
    let opens = 0;
    let heard = false;
    world.between.set("mailbox.open", async (go) => {
      // Polls, because one object must not settle another's promise.
      if (++opens === 2) while (!heard) await scheduler.wait(2);
      return go();
    });
    const { id } = await submit({ channel: "c", retry: "always" });
    await until(async () => world.calls.length === 1 && (await mailbox("alice", "c").get(id))?.status === "queued");
    await advanceTo(EPOCH + 60_000);
    await until(() => opens === 2);
    const client = await connect();
    await client.subscribe({ jobs: [id], deltas: true });
    await until(() => client.events(id).some(({ data }) => (data as { attempt?: number } | null)?.attempt === 2));
    heard = true;
    expect(await ended(id)).toMatchObject({ status: "completed", attempts: 2, possible_duplicates: 1 });
  });
});
