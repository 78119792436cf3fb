/** The platform refuses calls that nest deeper than sixteen; objects that call each other for as long as there is work must never come near that. */
import { runDurableObjectAlarm } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Job } from "../../schemas/job.ts";
import { client, requests, upload, WINDOW } from "../support/batch.ts";
import { alarm, MAILBOX, playAll, ticket } from "../support/desk.ts";
import { alarmAt } from "../support/receiver.ts";
import { advanceTo, call, coordinator, drained, evict, job, mailbox, over, pool, submission, submit, until } from "../support/service.ts";
import { cleared } from "../support/stand.ts";
import { EPOCH, refusal, resetWorld, world } from "../support/world.ts";

beforeEach(resetWorld);
afterEach(cleared);

const limits = { rpm: 60_000, tpm: 60_000_000, concurrency: 6 };
/** What a caller adds whose call lies this deep. */
const deep = { "~depth": 8 };

/** Calls an object's method as one that lies deep does. */
const deeply = (stub: object, method: string, ...args: unknown[]) =>
  (stub as Record<string, (...args: unknown[]) => Promise<unknown>>)[method]!(...args, deep);

describe("a queue that drains for a long time without anybody asking", () => {
  async function drains(count: number): Promise<void> {
    world.env.SLUICE_POOLS = JSON.stringify({ "gpt-5-mini": limits, default: { rpm: 500, tpm: 5e5 } });
    const jobs = Array.from({ length: count }, (_, n) => job({ channel: `c${n}` }));
    const { body } = await call<{ data: Job[] }>("POST", "/v1/jobs", jobs);
    await drained();
    for (const { id } of body.data) await over(id);
  }

  it("-> its calls stay far from the depth that the platform refuses", async () => {
    await drains(60);
    expect(world.calls).toHaveLength(60);
    expect(world.deepest).toBeLessThanOrEqual(10);
  });

  it("and upstream refuses all, which each mailbox is told by the coordinator -> likewise", async () => {
    world.upstream = () => refusal(400, "invalid_value");
    await drains(60);
    expect(world.deepest).toBeLessThanOrEqual(10);
  });
});

describe("an object that is called from so deep that those it calls would lie too deep", () => {
  it("is the coordinator -> its alarm rings, and it calls then", async () => {
    const played = playAll();
    await deeply(coordinator(), "enqueue", MAILBOX, [ticket("j")]);
    expect(played.jobs()).toEqual([]);
    expect(await alarm()).toBe(EPOCH);
    await advanceTo(EPOCH);
    await until(() => played.jobs().length > 0);
    expect(played.jobs()).toEqual(["j"]);
  });

  it("is a mailbox -> likewise", async () => {
    const stub = mailbox("alice", "c");
    const submitted = deeply(stub, "submit", [submission("aaaaaa")], false);
    await until(async () => (await alarmAt()) === EPOCH);
    expect(await pool()).toMatchObject({ depth: 0, in_flight: 0 });
    await runDurableObjectAlarm(stub);
    expect(await submitted).toMatchObject([{ ok: true }]);
  });

  it("is a batch whose alarm's work is under way -> the alarm is over all the same, and rings again for it", async () => {
    const { BATCH } = env as unknown as { BATCH: DurableObjectNamespace };
    const { id } = await client().batches.create({ input_file_id: await upload(requests(1)), ...WINDOW });
    const stub = BATCH.getByName(`alice/~batch-${id.slice("batch_".length + 7)}`);
    // The coordinator dies just after a dispatcher has called the batch.
    let dies = false;
    let reached = false;
    world.between.set("coordinator.enqueue", async (go) => {
      if (reached) return go();
      reached = true;
      while (!dies) await scheduler.wait(2);
      throw new Error("reset");
    });
    const rang = runDurableObjectAlarm(stub);
    await until(() => reached);
    await deeply(stub, "isRevoked", { id: "p", key: "k" });
    dies = true;
    await rang;
    await until(async () => {
      await runDurableObjectAlarm(stub);
      return world.calls.length > 0;
    });
  }, 10_000);
});

it("a job is cancelled by the request for which its mailbox woke -> the coordinator hears of that last, and forgets it", async () => {
  const { id } = await submit({ channel: "c", not_before: EPOCH / 1_000 + 86_400 });
  await evict(mailbox("alice", "c"));
  expect((await call("POST", `/v1/jobs/${id}/cancel`)).body).toMatchObject({ status: "cancelled" });
  await drained();
});
