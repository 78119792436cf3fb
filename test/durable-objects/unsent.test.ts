/** Calls that certainly never left for upstream cost nobody anything and say nothing about upstream; all others are paid for. */
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Outcome } from "../../schemas/rpc.ts";
import { committed, enqueue, fatal, playAll, problem, retryable, settle, ticket } from "../support/desk.ts";
import { advanceTo, coordinator, pool, submit, until } from "../support/service.ts";
import { cleared } from "../support/stand.ts";
import { EPOCH, resetWorld, world } from "../support/world.ts";

beforeEach(resetWorld);
afterEach(cleared);

const unmade: Outcome = { kind: "retryable", unknown: false, retryAfterMs: null, problem, unsent: true };
const unreached: Outcome = { ...unmade, upstream: true };
const unwritable: Outcome = { kind: "fatal", problem, unsent: true };
const halted: Outcome = { kind: "halted", reason: "credentials", retryAfterMs: null, problem };

/** A tenant whose own limit lets two calls of 400 tokens start. */
const limited = () => {
  world.env.SLUICE_KEYS = JSON.stringify([{ key_sha256: "a".repeat(64), tenant: "alice", tpm: 900 }]);
  world.env.SLUICE_POOLS = JSON.stringify({ "gpt-5-mini": { rpm: 600, tpm: 600_000 } });
};

describe("a call's reservation", () => {
  const ends: [string, Outcome, number, number][] = [
    ["void", { kind: "void" }, 0, 3],
    ["its mailbox was not reached, or its dispatcher took no lease", unmade, 0, 3],
    ["its request could not be written", unwritable, 0, 3],
    ["upstream failed", { ...retryable(), upstream: true } as Outcome, 1, 2],
    ["nobody knows", retryable(true), 1, 2],
    ["upstream refuses the request", fatal, 1, 2],
    ["broken off", { kind: "aborted" }, 1, 2],
    ["refused for the rate", { kind: "rate_limited", retryAfterMs: 600_000 }, 1, 2],
    ["answered", committed, 1, 2],
  ];

  it.each(ends)("%s -> kept by the pool's bucket, and by the tenant's", async (_, outcome, kept, starts) => {
    limited();
    const played = playAll();
    await enqueue([ticket("a", { tokens: 400 }), ticket("b", { tokens: 400 }), ticket("c", { tokens: 400 })]);
    await until(() => played.starts.length === 2);
    await settle("a", 1, outcome);
    const others = starts - 1;
    expect((await pool()).used).toEqual({ requests: kept + others, tokens: (kept + others) * 400 });
    await until(() => played.starts.length >= starts);
    expect(played.starts.length).toBe(starts);
  });
});

describe("what it says of upstream", () => {
  it("nothing: a probe that was not sent lets no halted pool run", async () => {
    const played = playAll();
    await enqueue([ticket("a"), ticket("b")]);
    await settle("a", 1, halted);
    await settle("b", 1, halted);
    await advanceTo(EPOCH + 31_000);
    await until(() => played.starts.length === 3);
    await settle(played.starts[2]!.job, 2, unwritable);
    expect((await pool()).condition).toMatchObject({ state: "halted", failed_probes: 0 });
  });

  it("nor does it stand beside failures, as if upstream had answered", async () => {
    const played = playAll();
    const jobs = Array.from({ length: 20 }, (_, index) => `j${index}`);
    await enqueue(jobs.map((job) => ticket(job)));
    await until(() => played.starts.length === 20);
    for (const job of jobs.slice(0, 12)) await settle(job, 1, unwritable);
    for (const job of jobs.slice(12, 17)) await settle(job, 1, { ...retryable(), upstream: true } as Outcome);
    expect((await pool()).condition.state).toBe("open");
  });
});

it.each([
  ["was not sent", unmade],
  ["did not reach upstream", unreached],
])("a call after one of unknown outcome that %s repeats nothing: the one after it does", async (_, outcome) => {
  const played = playAll();
  await enqueue([ticket("a", { tokens: 70 })]);
  await settle("a", 1, retryable(true));
  await advanceTo(EPOCH + 2_000);
  await until(() => played.starts.length === 2);
  await settle("a", 2, outcome);
  expect((await pool()).doubts).toMatchObject({ unknown_outcomes: 1, possible_duplicates: 0 });
  await advanceTo(EPOCH + 120_000);
  await until(() => played.starts.length === 3);
  await settle("a", 3, committed);
  expect((await pool()).doubts).toMatchObject({ possible_duplicates: 1, possible_duplicate_tokens: 70 });
});

it("a job whose calls are never sent fails for none of them: it is called as soon as that can be, with all its attempts left", async () => {
  const played = playAll();
  await enqueue([ticket("a")]);
  for (let attempt = 1; attempt <= 20; attempt++) {
    await until(() => played.starts.length === attempt);
    await settle("a", attempt, unmade);
    await advanceTo(world.now + 60_000);
  }
  await until(() => played.starts.length === 21);
  expect(played.starts[20]).toMatchObject({ attempt: 21, waits: 20 });
  await settle("a", 21, fatal);
  await until(() => played.verdictsOn("a").includes("failed"));
  expect(played.verdicts.at(-1)).toMatchObject({ kind: "failed", attempts: 1 });
  expect(await coordinator().deadLetters(null, 10)).toMatchObject([{ job: "a", attempts: 1 }]);
});

it("a dispatcher says so of a job whose mailbox it could not reach", async () => {
  let asked = 0;
  world.between.set("mailbox.open", () => {
    asked++;
    throw new Error("not now");
  });
  await submit();
  await until(async () => asked > 0 && (await pool()).depth === 1, 2_000);
  expect((await pool()).used).toEqual({ requests: 0, tokens: 0 });
});

it("a dispatcher that has no room for a lease has not made its call", async () => {
  playAll();
  let refused = 0;
  world.between.set("dispatcher.start", () => {
    refused++;
    throw Object.assign(new Error("too many requests"), { overloaded: true });
  });
  await enqueue([ticket("a")]);
  await until(async () => refused > 0 && (await pool()).depth === 1);
  expect((await pool()).used).toEqual({ requests: 0, tokens: 0 });
});
