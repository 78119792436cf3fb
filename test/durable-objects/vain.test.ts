/** A tenant whose calls come to nothing takes a tenth of the pool: its jobs say so, and count it in their waits. */
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

/** Of alice's calls so many came to nothing, and five more of her jobs came since; bob's go on. */
async function failed(times: number) {
  world.env.SLUICE_POOLS = JSON.stringify({ "gpt-5-mini": { rpm: 60, tpm: 600_000 } });
  const played = playAll();
  const first = Array.from({ length: times }, (_, n) => ticket(`j${n}`));
  await enqueue(first);
  await until(() => played.starts.length === times);
  for (const { job } of first) await settle(job, 1, full);
  await enqueue(Array.from({ length: 5 }, (_, n) => ticket(`x${n}`)));
  return played;
}

describe("twenty calls in a row came to nothing", () => {
  it("-> each job that waits says why, in words and numbers, and is told to start one in ten seconds of the pool", async () => {
    const played = await failed(20);
    await until(() => played.starts.length === 21);
    const answer = await why("x1");
    expect(answer).toMatchObject({ limited_by: "tenant_share", eta: { p50: 10, limited_by: "tenant_share" } });
    expect(answer.tenant).toMatchObject({ id: "alice", in_vain: { calls: 20, next_at: EPOCH / 1_000 + 10 } });
    expect(answer.reason).toBe(
      'The job is next, and the last 20 calls of this tenant came to nothing (upstream had no capacity for them, or they could not be sent): until one is taken, they may use a tenth of the pool "gpt-5-mini"; it should start in about 10 seconds.',
    );
    expect((await why("x4")).eta).toMatchObject({ p50: 40, limited_by: "tenant_share" });
    // Those that were turned away are back before it.
    await advanceTo(EPOCH + 4_000);
    const [place] = await coordinator().locate(["x4"]);
    expect(place!.eta).toMatchObject({ p50: 36 + 20 * 10, limited_by: "tenant_share" });
    // Nobody else is held to it.
    await enqueue(
      Array.from({ length: 45 }, (_, n) => ticket(`b${n}`)),
      bob,
    );
    const other = await standing("b44");
    expect(other.share).not.toBe("vain");
    expect(other.tenant).not.toHaveProperty("in_vain");
  });

  it("-> so does one that was turned away itself, which comes back no sooner than another of them may", async () => {
    await failed(20);
    await until(async () => (await standing("x0")).status === "in_progress");
    const answer = await why("j0");
    expect(answer).toMatchObject({ limited_by: "tenant_share", eta: { p50: 10 } });
    expect(answer.reason).toMatch(
      /^The job was turned away, or could not be sent; it is tried again in .*, and the last 20 calls of this tenant came to nothing/,
    );
  });

  it("and one that is taken, or nineteen -> nothing of that is said", async () => {
    const played = await failed(20);
    await until(() => played.starts.length === 21);
    await settle("x0", 1, committed);
    await enqueue(Array.from({ length: 40 }, (_, n) => ticket(`y${n}`)));
    expect(await why("y39")).toMatchObject({ limited_by: "rpm" });
    expect((await why("y39")).tenant).not.toHaveProperty("in_vain");
  });

  it("a pool that stands still, or is paused, is what keeps them all the same", async () => {
    await failed(20);
    await coordinator().pull("pause", { kind: "pool", id: "gpt-5-mini" });
    expect(await why("x4")).toMatchObject({ limited_by: "paused" });
  });
});
