import { expect, test } from "vitest";
import { call, drained, type ErrorBody, ended, find, job, listed, queue, submit, submitAll, until } from "./support/client.ts";
import { callsTo, pools, startAgain, startService, startSimulator, stateDirectory } from "./support/service.ts";

/** Five jobs at once, then ten a second. */
const BUDGET = { rpm: 600, tpm: 100_000_000, burst_seconds: 1 };
const vars = {
  SLUICE_POOLS: pools(BUDGET),
  SIMULATOR_SETTINGS: JSON.stringify({ speed: 0, limits: { "gpt-5-mini*": { rpm: 600, tpm: 1e8 } } }),
};

test("stopped and started again -> queued jobs run, results and idempotency keys are still there", async () => {
  const state = stateDirectory();
  const before = await startService({ state, vars });
  const headers = { "idempotency-key": "once" };
  const first = await submit(before, job({ channel: "keys" }), { headers });
  const result = await ended(before, first.id);
  const jobs = await submitAll(
    before,
    Array.from({ length: 30 }, (_, n) => job({ channel: `c${n % 3}`, metadata: { n: String(n) } })),
  );
  await until("one of them to end", async () => (await queue(before)).depth < 26);
  await before.stop();
  expect(await before.exited).not.toBeUndefined();

  const after = await startAgain(before, state, vars);
  expect((await queue(after)).depth).toBeGreaterThan(5);
  expect(await find(after, first.id)).toEqual(result);
  expect(await submit(after, job({ channel: "keys" }), { headers })).toEqual(result);
  const other = await call<ErrorBody>(after, "POST", "/v1/jobs", { headers, body: job({ channel: "keys", priority: 1 }) });
  expect([other.status, other.body.error.code]).toEqual([409, "idempotency_key_conflict"]);

  await drained(after);
  const found = await listed(after);
  expect([...found.keys()].sort()).toEqual([first.id, ...jobs.map(({ id }) => id)].sort());
  for (const each of found.values()) expect(each).toMatchObject({ status: "completed", position: null, error: null });
});

test("not_before lies beyond a restart -> scheduled before and after it, run when its time has come", async () => {
  const state = stateDirectory();
  const before = await startService({ state, vars });
  const now = Date.now() / 1_000;
  // Waits of up to ten seconds are timed in memory, longer ones by the alarm.
  const soon = await submit(before, job({ not_before: now + 5 }));
  const later = await submit(before, job({ not_before: now + 13 }));
  const tomorrow = await submit(before, job({ not_before: now + 86_400 }));
  const overdue = await submit(before, job({ not_before: now + 86_400, deadline: now + 86_401 }));
  expect([soon, later, tomorrow, overdue].map(({ status }) => status)).toEqual(["scheduled", "scheduled", "scheduled", "scheduled"]);
  await before.stop();

  const after = await startAgain(before, state, vars);
  expect((await queue(after)).scheduled).toBe(4);
  for (const { id, not_before } of [soon, later]) {
    const done = await ended(after, id);
    expect(done.status).toBe("completed");
    expect(done.started_at).toBeGreaterThanOrEqual(Math.floor(not_before!));
  }
  expect(await find(after, tomorrow.id)).toMatchObject({ status: "scheduled", attempts: 0 });
  expect((await call(after, "POST", `/v1/jobs/${tomorrow.id}/cancel`)).body.status).toBe("cancelled");
  expect((await call(after, "POST", `/v1/jobs/${overdue.id}/cancel`)).body.status).toBe("cancelled");
  await drained(after);
});

test("the deadline passes while the service is down -> expired, never called", async () => {
  const simulator = await startSimulator();
  const state = stateDirectory();
  const slow = { ...callsTo(simulator), SLUICE_POOLS: pools({ rpm: 1, tpm: 100_000_000 }) };
  const before = await startService({ state, vars: slow });
  const first = await submit(before, job());
  const deadline = Date.now() / 1_000 + 2;
  const second = await submit(before, job({ deadline, deadline_policy: "best_effort" }, { metadata: { simulate_key: "late" } }));
  expect((await ended(before, first.id)).status).toBe("completed");
  await before.stop();
  await until("the deadline", () => Date.now() / 1_000 > deadline);

  const after = await startAgain(before, state, slow);
  expect(await ended(after, second.id)).toMatchObject({ status: "expired", attempts: 0, error: { code: "deadline_exceeded" } });
});
