/** How long answers without a bound will be is learned from earlier ones; what was reserved is compared with what was used. */

import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { enqueue, playAll, settle, ticket } from "../support/desk.ts";
import { advanceTo, coordinator, drained, ended, inside, pool, submit, until, world } from "../support/service.ts";
import { cleared, kill } from "../support/stand.ts";
import { completion, EPOCH, resetWorld } from "../support/world.ts";

beforeEach(resetWorld);
afterEach(cleared);

const bob = { tenant: "bob", channel: "c" };
/** A ticket of a hundred prompt tokens, and a thousand for an answer about which nothing is known. */
const open = (job: string, more: Record<string, unknown> = {}) =>
  ticket(job, { tokens: 1_100, open: { model: "m", choices: 1, each: 1_000 }, ...more });
const answered = (completion_tokens: number, total_tokens = 100 + completion_tokens) => ({
  kind: "committed" as const,
  usage: { prompt_tokens: 100, completion_tokens, total_tokens },
});
/** Tokens spent from the pool's bucket. Nothing refills while the clock stands still. */
const spent = async () => Math.round((await pool()).used.tokens);

async function learn(count: number, tokens: number, from = 0): Promise<void> {
  for (let n = from; n < from + count; n++) {
    await enqueue([open(`learn${n}`)]);
    await settle(`learn${n}`, 1, answered(tokens));
  }
}

/** Tokens that a ticket reserves if it comes in now. */
async function reserves(job: string, more: Record<string, unknown> = {}, from?: typeof bob): Promise<number> {
  const before = await spent();
  await enqueue([open(job, more)], from);
  return (await spent()) - before;
}

describe("an answer without a bound", () => {
  it("is reserved for as configured until twenty came, then as they were: of this tenant and this model alone", async () => {
    playAll();
    await learn(19, 50);
    expect(await reserves("a")).toBe(1_100);
    await settle("a", 1, answered(50));
    expect(await reserves("b")).toBe(150);
    expect(await reserves("c", { tokens: 2_100, open: { model: "m", choices: 2, each: 1_000 } })).toBe(200);
    expect(await reserves("d", { open: { model: "other", choices: 1, each: 1_000 } })).toBe(1_100);
    expect(await reserves("e", {}, bob)).toBe(1_100);
    expect(await reserves("f", { open: undefined })).toBe(1_100);
  });

  it("of several choices teaches what one of them took", async () => {
    playAll();
    const two = { tokens: 2_100, open: { model: "m", choices: 2, each: 1_000 } };
    for (let n = 0; n < 20; n++) {
      await enqueue([open(`two${n}`, two)]);
      await settle(`two${n}`, 1, answered(120));
    }
    expect(await reserves("a")).toBe(160);
  });

  it("is remembered through a crash, but for the last few; tickets keep what they reserved", async () => {
    playAll();
    await learn(29, 50);
    await enqueue([open("waits", { notBefore: EPOCH + 10_000 })]);
    await learn(6, 400, 100);
    await kill(coordinator());
    // The first of the six was written, with the twenty-nine; the other five, which would have raised the estimate, are lost.
    expect(await reserves("a")).toBe(150);
    // By then everything that was spent before has refilled.
    await advanceTo(EPOCH + 10_000);
    expect((await pool()).in_flight).toBe(2);
    expect(await spent()).toBe(150);
  });

  it("is written once in ten answers, not with each", async () => {
    playAll();
    await learn(30, 50);
    const rows = () => inside(coordinator(), (object) => (object as unknown as { rowsWritten(): number }).rowsWritten());
    const before = await rows();
    await enqueue([open("a")]);
    await settle("a", 1, answered(50));
    const one = (await rows()) - before;
    await learn(10, 50, 200);
    expect((await rows()) - before - one).toBeLessThanOrEqual(10 * one + 1);
  });

  it("that is expected to be longer than the pool ever holds reserves all of it, and is not refused", async () => {
    playAll();
    await learn(20, 3_000_000);
    await advanceTo(EPOCH + 600_000);
    expect(await enqueue([open("a")])).toMatchObject([{ ok: true }]);
  });
});

describe("a call that used more than it had reserved", () => {
  it("is charged to the pool and to its tenant when it ends", async () => {
    world.env.SLUICE_KEYS = JSON.stringify([{ key_sha256: "a".repeat(64), tenant: "alice", tpm: 10_000 }]);
    playAll();
    expect(await reserves("a")).toBe(1_100);
    const before = await spent();
    await settle("a", 1, answered(9_900));
    expect((await spent()) - before).toBe(8_900);
    // The tenant's limit for this minute is used up.
    await enqueue([open("b")]);
    expect(await pool()).toMatchObject({ depth: 1, in_flight: 0 });
  });

  it("and one that used less gives its tenant the rest back, but what refilled meanwhile: nothing more starts than a minute's worth", async () => {
    world.env.SLUICE_KEYS = JSON.stringify([{ key_sha256: "a".repeat(64), tenant: "alice", tpm: 60_000 }]);
    const { starts } = playAll();
    await enqueue([ticket("long", { tokens: 30_000 }), ticket("short", { tokens: 20_000 })]);
    await until(() => starts.length === 2);
    await settle("short", 1, answered(1_000));
    await enqueue([ticket("at once", { tokens: 19_000 })]);
    await until(() => starts.length === 3);
    await advanceTo(EPOCH + 60_000);
    await enqueue(Array.from({ length: 10 }, (_, index) => ticket(`next${index}`, { tokens: 9_000 })));
    await until(() => starts.length === 9);
    await settle("long", 1, answered(1_000));
    expect(await pool()).toMatchObject({ depth: 4, in_flight: 7 });
  });

  it("is counted beside what all of them reserved and used", async () => {
    playAll();
    expect((await pool()).estimates).toEqual({ calls: 0, reserved_tokens: 0, used_tokens: 0, exceeded: 0, exceeded_tokens: 0 });
    await enqueue([open("a"), open("b"), ticket("c", { tokens: 500 })]);
    await settle("a", 1, answered(200));
    await settle("b", 1, answered(1_500));
    await settle("c", 1, { kind: "committed", usage: null });
    expect((await pool()).estimates).toEqual({
      calls: 2,
      reserved_tokens: 2_200,
      used_tokens: 1_900,
      exceeded: 1,
      exceeded_tokens: 500,
    });
    expect((await pool("gpt-5-nano")).estimates.calls).toBe(0);
  });
});

describe("from the door to the ticket", () => {
  it("a request without max_completion_tokens is learned from, one with it is not", async () => {
    world.upstream = () => completion("ok", { prompt_tokens: 5, completion_tokens: 7, total_tokens: 12 });
    const free = { max_completion_tokens: undefined };
    for (let n = 0; n < 20; n++) await ended((await submit({}, free)).id);
    await drained();
    const used = async (request: Record<string, unknown>) => {
      const before = await spent();
      await ended((await submit({}, request)).id);
      return (await spent()) - before;
    };
    const bounded = await used({ max_completion_tokens: 500 });
    const learned = await used(free);
    expect(bounded - learned).toBe(500 - 7);
  });
});
