/** What a job costs the coordinator, of which there is only one: rows, which the platform bills, and events, which limit how much it can serve. */
import { reset } from "cloudflare:test";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Job } from "../../schemas/job.ts";
import { advanceTo, call, coordinator, drained, ended, inside, job, pool, submit, until } from "../support/service.ts";
import { completion, EPOCH, refusal, resetWorld, world } from "../support/world.ts";

beforeEach(resetWorld);
afterEach(reset);

type Counts = { rows: number; events: number };
const counts = () =>
  inside(coordinator(), (instance): Counts => {
    const { rowsWritten, events } = instance as unknown as { rowsWritten(): number; events: number };
    return { rows: rowsWritten.call(instance), events };
  });

/** What the work costs per job. The channel and the budget's record exist before it: a job does not pay for either. */
async function costOf(jobs: number, work: () => Promise<void>, prepare: () => Promise<void> = async () => {}): Promise<Counts> {
  await submit({ channel: "c" }).then(({ id }) => ended(id));
  await prepare();
  await drained();
  const before = await counts();
  await work();
  await drained();
  const after = await counts();
  return { rows: (after.rows - before.rows) / jobs, events: (after.events - before.events) / jobs };
}

async function burst(count: number, more: Record<string, unknown> = {}): Promise<string[]> {
  const jobs = [...Array(count)].map(() => job({ channel: "c", ...more }));
  const { body } = await call<{ data: Job[] }>("POST", "/v1/jobs", { jobs });
  return body.data.map(({ id }) => id);
}

const allEnded = async (ids: string[]) => {
  for (const id of ids) expect((await ended(id)).status).toBe("completed");
};
const pools = (limits: Record<string, unknown>) => JSON.stringify({ "gpt-5-mini": { models: ["gpt-5-mini*"], ...limits } });
const later = { not_before: EPOCH / 1_000 + 60 };

describe("rows written for a job", () => {
  it("a lone one that starts at once: two, it is written with its lease, and deleted", async () => {
    const { rows } = await costOf(1, async () => allEnded([(await submit({ channel: "c" })).id]));
    expect(rows).toBe(2);
  });

  it("the first of all: three more, for its channel's address and the index over it, and one for each pool", async () => {
    const before = await counts();
    await submit({ channel: "new" }).then(({ id }) => ended(id));
    await drained();
    const { pools: all } = await coordinator().inspect();
    expect((await counts()).rows - before.rows).toBeLessThanOrEqual(2 + 2 + all.length);
  });

  it("64 scheduled ones: three each, as it comes, starts and ends; and the budget's record", async () => {
    const { rows } = await costOf(64, async () => {
      const ids = await burst(64, later);
      await advanceTo(EPOCH + 60_000);
      await allEnded(ids);
    });
    expect(rows).toBeLessThanOrEqual(3 + 2 / 64);
  });

  it("one that is called twice: two more", async () => {
    const { rows } = await costOf(1, async () => {
      world.upstream = () => {
        world.upstream = () => completion("ok");
        return refusal(503, "server_is_overloaded", {}, "server_error");
      };
      const { id } = await submit({ channel: "c" });
      await until(async () => (await pool()).depth === 1);
      await advanceTo(EPOCH + 2_000);
      await allEnded([id]);
    });
    expect(rows).toBeLessThanOrEqual(4);
  });

  it("64 that come together and start at once: two each", async () => {
    const { rows } = await costOf(64, async () => allEnded(await burst(64)));
    expect(rows).toBeLessThanOrEqual(2.1);
  });

  it("64 that come together, wait, and start together: a row for 32 of them, then two each", async () => {
    world.env.SLUICE_POOLS = pools({ rpm: 6_000, tpm: 10_000_000, burst_seconds: 2 });
    const wait = async () => {
      const ids = await burst(64);
      expect(await pool()).toMatchObject({ depth: 64, in_flight: 0 });
      await advanceTo(EPOCH + 10_000);
      await allEnded(ids);
    };
    // With the job before them, a hundred: all that may start at once.
    const spend = async () => allEnded(await burst(99));
    const { rows } = await costOf(64, wait, async () => spend().then(drained));
    // Two segments are written and dropped; the budget's record runs ahead once or twice.
    expect(rows).toBeLessThanOrEqual(2 + 6 / 64);
  });

  it("16 that come together and start one by one: three each", async () => {
    world.env.SLUICE_POOLS = pools({ rpm: 6_000, tpm: 10_000_000, concurrency: 1 });
    const { rows } = await costOf(16, async () => allEnded(await burst(16)));
    expect(rows).toBeLessThanOrEqual(3);
  });
});

describe("events for a job", () => {
  it("400 that come together: at most one each", async () => {
    const { events } = await costOf(400, async () => allEnded(await burst(400)));
    expect(events).toBeLessThanOrEqual(1);
  });

  it("300 that come each by itself, all at once: at most one event each", async () => {
    const { events } = await costOf(300, async () => {
      const jobs = await Promise.all([...Array(300)].map(() => submit({ channel: "c" })));
      await allEnded(jobs.map(({ id }) => id));
    });
    expect(events).toBeLessThanOrEqual(1);
  });
});
