/**
 * Law: what is written about budgets is a row now and then, not one per call. Neither a line that waits for something of its own nor a tenant's own limits
 * change that.
 */
import { afterEach, expect, it, vi } from "vitest";
import { CoordinatorStore } from "../../durable-objects/coordinator/store/store.ts";
import type { Outcome } from "../../schemas/rpc.ts";
import { keyOf, openDesk } from "./desk.ts";

afterEach(() => vi.restoreAllMocks());

const CALLS = 200;

const used = (total_tokens: number): Outcome => ({
  kind: "committed",
  usage: { prompt_tokens: 0, completion_tokens: total_tokens, total_tokens },
});

/** Calls one after the other, 100 ms each, with nobody ahead of them. */
function stream(desk: ReturnType<typeof openDesk>, tenant: string, usedTokens = 100) {
  for (let call = 0; call < CALLS; call++) {
    const [sent] = desk.send(tenant, 100);
    desk.passes(desk.state.now + 100);
    desk.end(sent!.job, used(usedTokens));
  }
}

it.each([
  ["nobody waits", 0],
  ["a tenant's line waits for its own limit of a request a minute", 50],
])("%s -> calls of others that start at once cost a row of the budget now and then", (_, waiting) => {
  const desk = openDesk({ rpm: 60_000, tpm: 60_000_000, ramp_tpm: null }, [keyOf("slow", { rpm: 1 })]);
  if (waiting > 0) desk.send("slow", 100, waiting);
  const rows = vi.spyOn(CoordinatorStore.prototype, "putBudget");
  stream(desk, "alice");
  expect(rows.mock.calls.length).toBeLessThan(CALLS / 10);
});

it("a tenant with limits of its own, of whose jobs none waits -> a row of its allowance now and then", () => {
  const desk = openDesk({ rpm: 60_000, tpm: 60_000_000, ramp_tpm: null }, [keyOf("alice", { rpm: 6_000, tpm: 6_000_000 })]);
  const rows = vi.spyOn(CoordinatorStore.prototype, "putAllowance");
  stream(desk, "alice");
  expect(rows.mock.calls.length).toBeLessThan(CALLS / 10);
});

it("a thousand tenants have been here, and one's line waits for its own limit -> what is written of a call is not tens of kilobytes", () => {
  const desk = openDesk({ rpm: 60_000, tpm: 60_000_000, ramp_tpm: null }, [keyOf("slow", { rpm: 1 })]);
  desk.send("slow", 100, 50);
  for (let tenant = 0; tenant < 1_000; tenant++) desk.end(desk.send(`tenant-${tenant}`, 100 + tenant)[0]!.job, used(100));
  const rows = vi.spyOn(CoordinatorStore.prototype, "putBudget");
  for (let call = 0; call < CALLS; call++) desk.end(desk.send(`tenant-${call}`, 1_000)[0]!.job, used(1_000));
  const bytes = rows.mock.calls.reduce((sum, [, record]) => sum + JSON.stringify(record).length, 0);
  expect(bytes / CALLS).toBeLessThan(1_000);
});

it("a pool that waits for its day's limit while its last calls end -> their ends cost a row of the budget now and then", () => {
  const desk = openDesk({ rpm: 60_000, tpm: 60_000_000, rpd: 300, ramp_tpm: null });
  const sent = desk.send("alice", 1_000, 400);
  desk.passes(desk.state.now + 1_000);
  const running = new Set(desk.started.map(({ job }) => job));
  const rows = vi.spyOn(CoordinatorStore.prototype, "putBudget");
  const calls = sent.filter(({ job }) => running.has(job)).slice(0, CALLS);
  for (const { job } of calls) {
    desk.end(job, used(900));
    desk.state.now += 20;
  }
  expect(rows.mock.calls.length).toBeLessThan(CALLS / 10);
});
