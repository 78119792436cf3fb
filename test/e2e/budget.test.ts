import { createHash } from "node:crypto";
import { expect, test } from "vitest";
import { drained, EMPTY, job, type Ledger, ledger, listed, queue, submit, submitAll, until } from "./support/client.ts";
import { callsTo, crash, enforced, pools, startAgain, startService, startSimulator, stateDirectory } from "./support/service.ts";

/** A third tenant, "first", spends the burst before the two tenants that are to share begin. */
const SLUICE_KEYS = JSON.stringify([
  { key_sha256: createHash("sha256").update("sk-first").digest("hex"), tenant: "first" },
  { key_sha256: createHash("sha256").update("sk-heavy").digest("hex"), tenant: "heavy", weight: 3 },
]);

function jobs(count: number, name: string, more: (n: number) => Record<string, unknown> = () => ({})) {
  return Array.from({ length: count }, (_, n) =>
    job({}, { metadata: { simulate_key: `${name}-${n}`, simulate_tokens: "10" }, ...more(n) }),
  );
}

/** The names in the order in which their calls reached upstream, which is the order of its ledger's keys. */
function arrivals({ calls_by_key }: Ledger, names: string[]): string[] {
  return Object.keys(calls_by_key)
    .map((key) => key.slice(0, key.lastIndexOf("-")))
    .filter((name) => names.includes(name));
}

/** The greatest lead of one name over the other, by weight, while both still have calls to come. */
function greatestLead(order: string[], [a, b]: [string, string], weight = 1): number {
  const both = Math.min(order.lastIndexOf(a), order.lastIndexOf(b)) + 1;
  const counts = { [a]: 0, [b]: 0 };
  let lead = 0;
  for (const name of order.slice(0, both)) {
    counts[name]!++;
    lead = Math.max(lead, Math.abs(counts[a]! - counts[b]! / weight));
  }
  return lead;
}

test("200 jobs over limits that upstream enforces to the letter -> no 429, all done, two tenants share evenly", async ({ annotate }) => {
  // A bucket of 100 calls that refills ten a second.
  const budget = { rpm: 600, tpm: 100_000_000, burst_seconds: 10 };
  const simulator = await startSimulator({ ...enforced(budget), speed: 10 });
  const service = await startService({ vars: { ...callsTo(simulator), SLUICE_POOLS: pools(budget), SLUICE_KEYS } });
  const began = performance.now();
  await submitAll(service, jobs(100, "first"), { key: "sk-first" });
  await Promise.all([
    submitAll(service, jobs(50, "alice"), { key: "sk-dev-alice" }),
    submitAll(service, jobs(50, "bob"), { key: "sk-dev-bob" }),
  ]);
  await drained(service);
  const seconds = (performance.now() - began) / 1_000;

  const books = await ledger(simulator);
  expect(books).toMatchObject({ calls: 200, completed: 200, rejected_429: { requests: 0, tokens: 0 }, by_status: { 200: 200 } });
  for (const [key, count] of [
    ["sk-first", 100],
    ["sk-dev-alice", 50],
    ["sk-dev-bob", 50],
  ] as const) {
    const found = [...(await listed(service, { key })).values()];
    expect([found.length, found.filter(({ status }) => status !== "completed")]).toEqual([count, []]);
  }
  const lead = greatestLead(arrivals(books, ["alice", "bob"]), ["alice", "bob"]);
  await annotate(`${seconds.toFixed(1)} s, 100 of the calls being beyond the burst; greatest lead ${lead}`);
  expect(lead).toBeLessThanOrEqual(2);
  expect(await queue(service)).toEqual(EMPTY);
});

test("tokens are scarce, sizes differ, upstream adds prompt and answer -> no 429; three weights to one are kept", async ({ annotate }) => {
  // 2,000 tokens a second, 5,000 at once.
  const budget = { rpm: 6_000, tpm: 120_000, burst_seconds: 2.5 };
  const simulator = await startSimulator({ ...enforced(budget), charge: "sum", speed: 10 });
  const service = await startService({ vars: { ...callsTo(simulator), SLUICE_POOLS: pools(budget), SLUICE_KEYS } });
  // Jobs use exactly what they reserve: refunds would shift the shares.
  const sized = (tokens: (n: number) => number) => (n: number) => {
    const max = tokens(n);
    return { max_completion_tokens: max, metadata: { simulate_key: "", simulate_tokens: String(max) } };
  };
  const named = (count: number, name: string, tokens: (n: number) => number) =>
    jobs(count, name, (n) => {
      const { metadata, ...rest } = sized(tokens)(n);
      return { ...rest, metadata: { ...metadata, simulate_key: `${name}-${n}` } };
    });
  await submitAll(
    service,
    named(5, "first", () => 900),
    { key: "sk-first" },
  );
  await Promise.all([
    submitAll(
      service,
      named(15, "alice", () => 200),
      { key: "sk-dev-alice" },
    ),
    submitAll(
      service,
      named(45, "heavy", () => 200),
      { key: "sk-heavy" },
    ),
    submitAll(
      service,
      named(20, "first-more", (n) => 20 + 10 * n),
      { key: "sk-first" },
    ),
  ]);
  await drained(service);
  const books = await ledger(simulator);
  expect(books).toMatchObject({ calls: 85, completed: 85, rejected_429: { requests: 0, tokens: 0 }, by_status: { 200: 85 } });
  const lead = greatestLead(arrivals(books, ["alice", "heavy"]), ["alice", "heavy"], 3);
  await annotate(`greatest lead ${lead.toFixed(2)} jobs of 200 tokens`);
  expect(lead).toBeLessThanOrEqual(2);
});

test("killed in mid-burst, again and again -> the budget is not spent twice: no 429", async ({ annotate }) => {
  const budget = { rpm: 1_200, tpm: 100_000_000, burst_seconds: 5 };
  const simulator = await startSimulator({ ...enforced(budget), speed: 10 });
  const state = stateDirectory();
  const vars = { ...callsTo(simulator), SLUICE_POOLS: pools(budget) };
  let service = await startService({ state, vars });
  await submitAll(service, jobs(120, "k"));
  for (const calls of [20, 110, 150]) {
    await until(`${calls} calls`, async () => (await ledger(simulator)).calls >= calls);
    await crash(service);
    service = await startAgain(service, state, vars);
  }
  await drained(service);
  const books = await ledger(simulator);
  expect(books.rejected_429).toEqual({ requests: 0, tokens: 0 });
  const found = [...(await listed(service)).values()];
  expect([found.length, found.filter(({ status }) => status !== "completed")]).toEqual([120, []]);
  const again = found.reduce((sum, { possible_duplicates }) => sum + possible_duplicates, 0);
  expect(books.calls).toBeLessThanOrEqual(120 + again);
  await annotate(`${books.calls} calls for 120 jobs, ${again} duplicates reported`);
});

test("no more at once than `concurrency` allows, and a place that comes free is taken", async () => {
  const simulator = await startSimulator({ limits: { "gpt-5-mini*": { rpm: 100_000, tpm: 100_000_000 } }, speed: 5 });
  const limits = { rpm: 100_000, tpm: 100_000_000, concurrency: 4 };
  const service = await startService({ vars: { ...callsTo(simulator), SLUICE_POOLS: pools(limits) } });
  await submitAll(service, jobs(40, "k"));
  await submit(service, job({ priority: 10 }));
  await drained(service);
  const books = (await ledger(simulator)) as Ledger & { max_in_flight: number };
  expect(books).toMatchObject({ calls: 41, completed: 41, max_in_flight: 4 });
});
