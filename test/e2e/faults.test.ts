import { expect, test } from "vitest";
import type { Job } from "../../schemas/job.ts";
import type { QueueState } from "../../schemas/queue.ts";
import type { JobWhy } from "../../schemas/why.ts";
import { Chronicle } from "./support/chronicle.ts";
import { call, control, ended, job, type Ledger, ledger, submit, submitAll, until } from "./support/client.ts";
import { Follower } from "./support/follower.ts";
import { callsTo, crash, pools, startService, startSimulator } from "./support/service.ts";

const SLUICE_POOLS = pools({ rpm: 100_000, tpm: 100_000_000 });
/** An answer of about forty tokens takes up to 200 ms, its first byte up to 100 ms. */
const UPSTREAM = { speed: 5, limits: { "gpt-5-mini*": { rpm: 100_000, tpm: 100_000_000 } } };
/** Seconds. */
const SLUICE_TIMEOUTS = JSON.stringify({ first_byte: 2, idle: 2, total: 20 });

async function start() {
  const simulator = await startSimulator(UPSTREAM);
  const service = await startService({ vars: { ...callsTo(simulator), SLUICE_POOLS, SLUICE_TIMEOUTS } });
  return { simulator, service };
}

/** A job whose call fails `times` times in this way, then succeeds. */
function faulty(kind: string, more: Record<string, unknown> = {}, times = 1): Record<string, unknown> {
  const key = `${kind} ${JSON.stringify(more)}`;
  const metadata = { simulate_fault: kind, simulate_fault_times: String(times), simulate_key: key, simulate_tokens: "40" };
  return job({ metadata: { key }, ...more }, { metadata });
}

function callsFor({ calls_by_key }: Ledger, { metadata }: Job): number {
  return calls_by_key[metadata?.key ?? ""] ?? 0;
}

test("upstream answers 500 for a while -> every job completes, nothing is suspected of having been done twice", async ({ annotate }) => {
  const { simulator, service } = await start();
  await control(simulator, { faults: [{ kind: "500", until_ms_from_now: 2_500 }] });
  const jobs = await submitAll(
    service,
    Array.from({ length: 60 }, (_, n) => job({ channel: `c${n % 4}` }, { metadata: { simulate_key: `k${n}` } })),
  );
  const done = await Promise.all(jobs.map(({ id }) => ended(service, id)));
  expect(done.filter(({ status }) => status !== "completed")).toEqual([]);
  expect(done.every(({ attempts, possible_duplicates }) => attempts > 1 && possible_duplicates === 0)).toBe(true);
  const books = await ledger(simulator);
  // While upstream was considered down, only probes were sent, and they used up no attempt.
  const probes = done.map(({ attempts }, n) => books.calls_by_key[`k${n}`]! - attempts);
  expect(Math.min(...probes)).toBe(0);
  expect(probes.reduce((sum, each) => sum + each, 0)).toBeLessThanOrEqual(2);
  await annotate(`${books.calls} calls for 60 jobs, ${Math.max(...done.map(({ attempts }) => attempts))} at most for one`);
});

test("upstream is not there -> its jobs wait for it, even those that may not be called twice, and nothing is suspected of having been done twice", async () => {
  const gone = await startSimulator(UPSTREAM);
  const vars = { ...callsTo(gone), SLUICE_POOLS, SLUICE_TIMEOUTS };
  await crash(gone);
  const service = await startService({ vars });
  const jobs = await submitAll(
    service,
    Array.from({ length: 8 }, (_, n) => job({ retry: "never" }, { metadata: { simulate_key: `k${n}` } })),
  );
  await until("the breaker", async () => {
    const { body } = await call<QueueState>(service, "GET", "/v1/queue", { key: "sk-dev-operator" });
    return body.pools.find(({ id }) => id === "gpt-5-mini")?.condition.state === "open";
  });
  const back = await startSimulator(UPSTREAM, gone.port);
  const done = await Promise.all(jobs.map(({ id }) => ended(service, id)));
  expect(done.map((each) => [each.status, each.attempts, each.possible_duplicates])).toEqual(jobs.map(() => ["completed", 1, 0]));
  expect((await ledger(back)).calls).toBe(8);
});

test.each([
  ["nobody listens there", "http://127.0.0.1:1/v1"],
  ["no such host", "http://nobody.invalid/v1"],
  ["it speaks no TLS", null],
])("upstream cannot be reached, %s -> the job says so, and waits", async (_, url) => {
  const simulator = await startSimulator(UPSTREAM);
  const vars = { OPENAI_API_KEY: "sk-e2e", OPENAI_BASE_URL: url ?? `${simulator.url.replace("http:", "https:")}/v1` };
  const service = await startService({ vars: { ...vars, SLUICE_POOLS, SLUICE_TIMEOUTS } });
  const { id } = await submit(service, job({ retry: "never" }));
  const why = await until("the second call", async () => {
    const { body } = await call<JobWhy>(service, "GET", `/v1/jobs/${id}/why`);
    return (body.last_failure?.times ?? 0) > 1 && body.status === "queued" && body;
  });
  expect(why).toMatchObject({ attempts: 0, last_failure: { counted: false, code: "upstream_unreachable" } });
  expect(why.reason).toMatch(/calls so far failed in the same way; none of them counts as an attempt\. The next call may start in /);
  expect((await ledger(simulator)).calls).toBe(0);
});

/** Faults that leave the outcome unknown: upstream may have done, and billed, the work. */
const UNKNOWN = ["hang", "slow_headers", "truncate", "break", "malformed", "stream_error"];
/** Faults by which upstream says that it did not do the work. */
const KNOWN = ["500", "503"];
/** Faults that make a job wait and do not count as an attempt. */
const WAITS = ["429", "slow_down"];

test.each([
  // The standalone simulator cannot break a connection before the headers: workerd answers 500 for it.
  { upstream: "over the network", unknown: UNKNOWN },
  { upstream: "built in", unknown: [...UNKNOWN, "reset"] },
])("upstream, $upstream, fails once in each way -> called again; a duplicate is suspected where the outcome is unknown", async (each) => {
  const simulator = await startSimulator(UPSTREAM);
  const inside = { SIMULATOR_SETTINGS: JSON.stringify(UPSTREAM) };
  const upstream = each.upstream === "built in" ? inside : callsTo(simulator);
  const service = await startService({ vars: { ...upstream, SLUICE_POOLS, SLUICE_TIMEOUTS } });
  const submitted = await submitAll(
    service,
    [...each.unknown, ...KNOWN, ...WAITS].map((kind) => faulty(kind)),
  );
  const done = await Promise.all(submitted.map(({ id }) => ended(service, id)));
  const books = await (each.upstream === "built in" ? ledger(service, "/simulator") : ledger(simulator));
  const told = done.map((job) => [job.metadata?.key, job.status, job.attempts, job.possible_duplicates, callsFor(books, job)]);
  expect(told).toEqual([
    ...each.unknown.map((kind) => [`${kind} {}`, "completed", 2, 1, 2]),
    ...KNOWN.map((kind) => [`${kind} {}`, "completed", 2, 0, 2]),
    ...WAITS.map((kind) => [`${kind} {}`, "completed", 1, 0, 2]),
  ]);
  for (const { usage, response } of done) expect(usage).toEqual((response as { usage: unknown }).usage);
});

test("a call breaks off -> called again or not, as the job's policy says and as a watcher has seen", async () => {
  const { simulator, service } = await start();
  const chronicle = new Chronicle();
  const follower = await Follower.connect(service, chronicle);
  await follower.subscribe({ channel: "seen", deltas: true });
  const cases: { more: Record<string, unknown>; told: [string, number, number] }[] = [
    { more: { retry: "never" }, told: ["failed", 1, 1] },
    { more: { retry: "safe", channel: "unseen" }, told: ["completed", 2, 2] },
    // Once a watcher has seen the beginning of an answer, another one must not follow silently.
    { more: { retry: "safe", channel: "seen" }, told: ["failed", 1, 1] },
    { more: { retry: "always", channel: "seen" }, told: ["completed", 2, 2] },
  ];
  const submitted = await submitAll(
    service,
    cases.map(({ more }) => faulty("truncate", more)),
  );
  const done = await Promise.all(submitted.map(({ id }) => ended(service, id)));
  const books = await ledger(simulator);
  expect(done.map((each) => [each.status, each.attempts, callsFor(books, each)])).toEqual(cases.map(({ told }) => told));
  for (const { error } of done.filter(({ status }) => status === "failed")) expect(error).toMatchObject({ code: "unknown_outcome" });

  const watched = done.filter(({ channel }) => channel === "seen");
  await until("the last events", () => watched.every(({ id, status }) => chronicle.names(id).at(-1) === status));
  expect(chronicle.breaches).toEqual([]);
  expect(watched.flatMap((each) => chronicle.fault(each) ?? [])).toEqual([]);
  const names = watched.map(({ id }) => chronicle.names(id).filter((name) => name !== "delta"));
  expect(names[0]?.at(-1)).toBe("failed");
  expect(names[1]).toEqual(["queued", "in_progress", "retrying", "in_progress", "completed"]);
});

test("the bill is not paid -> nothing is lost or called in vain, and an operator who has paid lets all go", async ({ annotate }) => {
  const { simulator, service } = await start();
  await control(simulator, { faults: [{ kind: "insufficient_quota" }] });
  const submitted = await submitAll(
    service,
    Array.from({ length: 30 }, (_, n) => job({ channel: `c${n % 3}` })),
  );
  const operator = { authorization: "Bearer sk-dev-operator" };
  await until("the halt", async () => {
    const answer = await fetch(`${service.url}/v1/queue`, { headers: operator });
    const { pools: all } = (await answer.json()) as QueueState;
    const pool = all.find(({ id }) => id === "gpt-5-mini")!;
    return pool.condition.reason === "billing" && pool.in_flight === 0;
  });
  const { calls: refused } = await ledger(simulator);
  await control(simulator, { faults: [] });
  const late = await submit(service, job());
  const paidAt = Date.now();
  const answer = await fetch(`${service.url}/v1/queue/resume`, { method: "POST", headers: operator });
  expect(answer.status).toBe(200);
  expect((await ended(service, late.id)).status).toBe("completed");
  const resumed = Date.now() - paidAt;
  const done = await Promise.all(submitted.map(({ id }) => ended(service, id)));
  expect(done.filter(({ status, attempts }) => status !== "completed" || attempts !== 1)).toEqual([]);
  expect((await ledger(simulator)).calls).toBe(refused + 31);
  await annotate(`${refused} of 30 calls were under way and refused; the first ran ${resumed} ms after the resume`);
});

test("upstream refuses for good -> failed at once with its own words", async () => {
  const { simulator, service } = await start();
  const unknown = await submit(service, job({}, { model: "no-such-model" }));
  const malformed = await submit(service, job({}, { temperature: 7 }));
  expect(await ended(service, unknown.id)).toMatchObject({
    status: "failed",
    attempts: 1,
    possible_duplicates: 0,
    error: { code: "model_not_found", type: "invalid_request_error", message: expect.stringContaining("`no-such-model`") },
  });
  expect(await ended(service, malformed.id)).toMatchObject({ status: "failed", attempts: 1, error: { param: "temperature" } });
  expect((await ledger(simulator)).by_status).toEqual({ 400: 1, 404: 1 });
});

test("upstream is down altogether -> jobs wait, and complete when it is back", async () => {
  const gone = await startSimulator(UPSTREAM);
  const service = await startService({ vars: { ...callsTo(gone), SLUICE_POOLS, SLUICE_TIMEOUTS } });
  await gone.stop();
  const submitted = await submit(service, job());
  await until("a call that did not reach it", async () => {
    const { body } = await call<JobWhy>(service, "GET", `/v1/jobs/${submitted.id}/why`);
    return (body.last_failure?.times ?? 0) > 0;
  });
  const back = await startSimulator(UPSTREAM, gone.port);
  const done = await ended(service, submitted.id);
  expect(done.status).toBe("completed");
  expect([done.attempts, done.possible_duplicates]).toEqual([1, 0]);
  // A connection that was refused carried nothing.
  expect((await ledger(back)).calls).toBe(1);
});
