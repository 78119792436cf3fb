/** A tenant whose calls come to nothing uses up more turns for each: its jobs say so, and count it in their waits. */
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { explain } from "../../policy/why.ts";
import type { Job } from "../../schemas/job.ts";
import type { Outcome } from "../../schemas/rpc.ts";
import { committed, enqueue, playAll, settle, ticket } from "../support/desk.ts";
import { advanceTo, coordinator, until } from "../support/service.ts";
import { cleared } from "../support/stand.ts";
import { EPOCH, resetWorld, world } from "../support/world.ts";

beforeEach(resetWorld);
afterEach(cleared);

const full: Outcome = { kind: "no_capacity", retryAfterMs: null };
const bob = { tenant: "bob", channel: "c" };
const queued = { status: "queued", not_before: null, deadline: null } as Job;
const standing = async (job: string) => (await coordinator().explain(job))!;
const why = async (job: string) => explain(queued, await standing(job));
const tickets = (name: string, count: number) => Array.from({ length: count }, (_, n) => ticket(`${name}${n}`));

/** Sixty calls took all that a minute holds; the last twenty were alice's and came to nothing. Then came five more of her jobs, and `others` of bob's. */
async function failed(others: number) {
  world.env.SLUICE_POOLS = JSON.stringify({ "gpt-5-mini": { rpm: 60, tpm: 600_000, transit_ms: 0 } });
  const played = playAll();
  await enqueue(tickets("o", 40), bob);
  await enqueue(tickets("j", 20));
  await until(() => played.starts.length === 60);
  for (let n = 0; n < 20; n++) await settle(`j${n}`, 1, full);
  await enqueue(tickets("x", 5));
  if (others > 0) await enqueue(tickets("b", others), bob);
  return played;
}

describe("twenty calls in a row came to nothing", () => {
  it("-> each of its jobs that wait says so while others wait, in words and numbers, and counts six turns for each", async () => {
    await failed(100);
    const answer = await why("x4");
    expect(answer).toMatchObject({ limited_by: "tenant_share", eta: { p50: 24, limited_by: "tenant_share" } });
    expect(answer.tenant).toMatchObject({ id: "alice", in_vain: { calls: 20, turns: 6 } });
    expect(answer.reason).toContain(
      "and the last 20 calls of this tenant were refused by upstream or could not be sent: while other tenants wait, its next call counts as 6 turns; it should start in about 24 seconds.",
    );
    const other = await standing("b99");
    expect(other.share).not.toBe("vain");
    expect(other.tenant).not.toHaveProperty("in_vain");
  });

  it("-> and it is told to wait for no longer than all that waits takes", async () => {
    await failed(2);
    expect((await why("x4")).eta!.p50).toBeLessThan(9);
  });

  it("where nobody else waits, or one was taken -> nothing keeps it, and nothing is said", async () => {
    const played = await failed(0);
    expect(await why("x4")).toMatchObject({ limited_by: "rpm" });
    await advanceTo(EPOCH + 1_000);
    await until(() => played.starts.length === 61);
    const { attempt, job } = played.starts[60]!;
    await settle(job, attempt, committed);
    await enqueue(tickets("b", 100), bob);
    expect((await why("x4")).tenant).not.toHaveProperty("in_vain");
    expect((await standing("x4")).share).not.toBe("vain");
  });

  it("a pool that stands still, or is paused, is what keeps them all the same", async () => {
    await failed(100);
    await coordinator().pull("pause", { kind: "pool", id: "gpt-5-mini" });
    expect(await why("x4")).toMatchObject({ limited_by: "paused" });
  });
});
