import { describe, expect, it } from "vitest";
import { binding, explain, explainToToken, reasonOf } from "../../policy/why.ts";
import type { Eta, Job, JobStatus, LastFailure, LimitedBy } from "../../schemas/job.ts";
import type { PoolCondition } from "../../schemas/queue.ts";
import type { Standing } from "../../schemas/why.ts";

const NOW = 4_000_000_000;
const eta = (p50: number, limited_by: LimitedBy): Eta => ({ p50, p95: p50 * 1.25, limited_by });

/** Third in a pool with nothing free, behind one job of its own tenant and one of another. */
function waiting(more: Partial<Standing> = {}): Standing {
  return {
    now: NOW,
    status: "queued",
    position: 3,
    ahead: { jobs: 2, tokens: 2_400, own: 1 },
    eta: eta(6, "rpm"),
    share: null,
    tokens: 1_200,
    attempts: 0,
    started_at: null,
    retry_at: null,
    not_before: null,
    deadline: null,
    pool: {
      id: "mini",
      free: { requests: 0, tokens: 12_345 },
      limits: { rpm: 500, tpm: 500_000, rpd: 10_000, tpd: 2_000_000, concurrency: 8 },
      in_flight: 8,
    },
    tenant: { id: "alice", in_flight: 1, queued: 2, weight: 2 },
    cap: { rpm: 10, tpm: 40_000 },
    ...more,
  };
}

/** Halted because of an unpaid bill. */
const stopped: PoolCondition = {
  ...{ state: "halted", reason: "billing", code: "insufficient_quota", since: NOW - 60, next_probe_at: NOW + 30 },
  ...{ failed_probes: 1, share: 1 },
};

function job(status: JobStatus, more: Partial<Job> = {}): Job {
  return {
    ...{ id: "job_1", object: "job", status, channel: null, model: "mini", priority: 0, created_at: NOW, not_before: null, deadline: null },
    ...{ started_at: null, ended_at: null, attempts: 2, possible_duplicates: 0, position: null, eta: null, usage: null, response: null },
    ...{ error: null, metadata: null },
    ...more,
  } as Job;
}

describe("what binds", () => {
  it("is the pool's limit when the tenant would wait for it alone as well", () => {
    expect(binding({ pool: eta(6, "rpm"), alone: eta(4, "rpm"), cap: eta(0, "none") })).toEqual({ eta: eta(6, "rpm"), share: null });
  });

  it("is the share of others when most of the wait is theirs", () => {
    const bound = binding({ pool: eta(6, "rpm"), alone: eta(3, "rpm"), cap: eta(0, "none") });
    expect(bound).toEqual({ eta: eta(6, "tenant_share"), share: "turns" });
  });

  it("is the tenant's own cap when that lasts longer than the pool", () => {
    const bound = binding({ pool: eta(6, "tpm"), alone: eta(6, "tpm"), cap: eta(30, "rpm") });
    expect(bound).toEqual({ eta: eta(30, "tenant_share"), share: "cap" });
  });

  it("is nothing for a job that can start", () => {
    const none = eta(0, "none");
    expect(binding({ pool: none, alone: none, cap: none })).toEqual({ eta: none, share: null });
  });
});

describe("in words", () => {
  const causes: [LimitedBy, Partial<Standing>, string][] = [
    ["rpm", {}, 'the pool "mini" has 0 requests free of 500 a minute'],
    ["tpm", {}, 'the pool "mini" has 12,345 tokens free of 500,000 a minute, of which this job reserves 1,200'],
    ["rpd", {}, 'the 10,000 requests a day of the pool "mini" are spent for now'],
    ["tpd", {}, 'the 2,000,000 tokens a day of the pool "mini" are spent for now'],
    ["concurrency", {}, 'the pool "mini" has 8 calls under way, of at most 8 at once'],
    ["tenant_share", { share: "turns" }, "tenants take turns by weight (this one's is 2)"],
    [
      "tenant_share",
      { share: "cap" },
      "this tenant has spent its own limit (10 requests a minute, 40,000 tokens a minute), whatever the pool has left",
    ],
    [
      "tenant_share",
      { share: "vain", tenant: { id: "alice", in_flight: 0, queued: 2, weight: 2, in_vain: { calls: 1_020, turns: 10 } } },
      "the last 1,020 calls of this tenant were refused by upstream or could not be sent: while other tenants wait, its next call counts as 10 turns",
    ],
    ["ramp", {}, 'the traffic of the pool "mini" may not grow faster: upstream refuses traffic that does'],
    [
      "ramp",
      { pool: { ...waiting().pool, condition: { ...stopped, state: "slowed", reason: "slow_down", share: 0.254 } } },
      'upstream asked the account to slow down: the pool "mini" may use 25 % of its rate now, and gradually more',
    ],
    ["retry", { pool: { ...waiting().pool, held_until: NOW + 20 } }, 'upstream asked the pool "mini" to send nothing for 20 seconds'],
  ];
  it.each(causes)("%s %j", (limitedBy, more, cause) => {
    expect(reasonOf(waiting({ eta: eta(6, limitedBy), ...more }))).toBe(
      `2 jobs start before this one (1 of other tenants), and ${cause}; it should start in about 6 seconds.`,
    );
  });

  it.each<[string, Partial<Standing>, string]>([
    ["by an operator", { paused: "all" }, "everything is paused by an operator"],
    ["by an operator", { paused: "pool" }, 'the pool "mini" is paused by an operator'],
    ["by an operator", { paused: "tenant" }, 'the tenant "alice" is paused by an operator'],
    [
      "by upstream",
      { pool: { ...waiting().pool, condition: stopped } },
      'the pool "mini" is stopped because upstream refuses its calls (insufficient_quota): the next test call is made in 30 seconds',
    ],
    [
      "by an outage",
      { pool: { ...waiting().pool, condition: { ...stopped, state: "open", reason: "failures", next_probe_at: null } } },
      'the pool "mini" is stopped because upstream is failing: a test call is under way',
    ],
  ])("stopped %s: no promise of when %#", (_, more, cause) => {
    const standing = waiting({ eta: eta(6, "paused"), ...more });
    expect(reasonOf(standing)).toBe(`2 jobs start before this one (1 of other tenants), and ${cause}.`);
    expect(reasonOf({ ...standing, retry_at: NOW + 31 })).toBe(`The next attempt is on hold: ${cause}.`);
  });

  it.each([
    [{ jobs: 0, tokens: 0, own: 0 }, /^The job is next, and /],
    [{ jobs: 1, tokens: 10, own: 1 }, /^1 job starts before this one \(all of this tenant\), and /],
    [{ jobs: 12_000, tokens: 10, own: 2_000 }, /^12,000 jobs start before this one \(10,000 of other tenants\), and /],
  ])("who is ahead: %j", (ahead, words) => {
    expect(reasonOf(waiting({ ahead }))).toMatch(words);
  });

  it("a job that nothing keeps is said to start", () => {
    const free = waiting({ ahead: { jobs: 0, tokens: 0, own: 0 }, eta: eta(0, "none") });
    expect(reasonOf(free)).toBe("The job is next; nothing holds it back: it starts as soon as its turn comes.");
  });

  it("a job that is too large for a lowered limit is told so", () => {
    const condition: PoolCondition = { ...stopped, state: "slowed", reason: "lowered_limit" };
    const aside = waiting({ aside: true, position: null, ahead: null, eta: null, pool: { ...waiting().pool, condition } });
    const waits = 'The job waits until a limit of the pool "mini" is raised: it reserves 1,200 tokens, more than the limit now allows.';
    const asks = { ...condition, next_probe_at: 1_000 };
    expect(reasonOf({ ...aside, pool: { ...aside.pool, condition: asks } })).toBe(
      `${waits} When nothing else waits for the pool, one such job is tried.`,
    );
    // An operator lowered the limit, so no job is called to see.
    expect(reasonOf({ ...aside, pool: { ...aside.pool, condition: { ...condition, next_probe_at: null } } })).toBe(waits);
    expect(reasonOf({ ...aside, paused: "tenant" })).toBe('The job waits: the tenant "alice" is paused by an operator.');
    expect(reasonOf({ ...aside, pool: { ...aside.pool, condition: stopped } })).toContain("is stopped because upstream refuses its calls");
    // Jobs that are not set aside are not told so.
    expect(reasonOf({ ...waiting(), pool: aside.pool, eta: eta(6, "ramp") })).toContain("may not grow faster");
  });

  it("a job of a pool whose calls are all refused is told so", () => {
    const condition: PoolCondition = { ...stopped, state: "slowed", reason: "rate_limit", code: "rate_limit_exceeded" };
    const refused = waiting({ eta: eta(40, "retry"), pool: { ...waiting().pool, condition } });
    const silent = { ...refused, pool: { ...refused.pool, held_until: condition.next_probe_at! } };
    expect(reasonOf(silent)).toContain("to send nothing for 30 seconds");
    expect(reasonOf(refused)).toContain(
      'upstream refuses the calls of the pool "mini" (rate_limit_exceeded): until it accepts them again, one call is made every twenty seconds; it should start in about 40 seconds',
    );
  });

  it("a job that runs, is scheduled, or waits for its next attempt", () => {
    const nowhere = { position: null, ahead: null };
    expect(reasonOf(waiting({ ...nowhere, status: "in_progress", eta: null, attempts: 2, started_at: NOW - 3 }))).toBe(
      "The job has been running for 3 seconds: attempt 2.",
    );
    expect(reasonOf(waiting({ ...nowhere, status: "scheduled", eta: eta(90, "scheduled"), not_before: NOW + 90 }))).toBe(
      "The job is scheduled: it joins the queue in 90 seconds, at its not_before.",
    );
    expect(reasonOf(waiting({ ...nowhere, eta: eta(1.5, "retry"), attempts: 1, retry_at: NOW + 1.5 }))).toBe(
      "Attempt 1 did not succeed; the next may start in 1.5 seconds.",
    );
    expect(reasonOf(waiting({ ...nowhere, eta: eta(1.5, "retry"), attempts: 0, retry_at: NOW + 1.5 }))).toBe(
      "The call was refused or could not be sent; it is tried again in 1.5 seconds.",
    );
  });
});

describe("what failed last", () => {
  const failure: LastFailure = {
    ...{ attempt: 1, counted: true, status: 503, code: "busy", message: "Try later.", times: 1 },
    ...{ failed_at: NOW - 3, retry_at: NOW + 1.5 },
  };
  const between = (more: Partial<Standing>, last: Partial<LastFailure> = {}) =>
    reasonOf(
      waiting({ position: null, ahead: null, eta: eta(1.5, "retry"), retry_at: NOW + 1.5, last_failure: { ...failure, ...last }, ...more }),
    );
  const next = "The next call may start in 1.5 seconds.";

  it.each<[string, Partial<Standing>, Partial<LastFailure>, string]>([
    ["an attempt", { attempts: 1 }, {}, `Attempt 1 failed 3 seconds ago with 503 (busy): "Try later."`],
    [
      "one after calls that were none",
      { attempts: 1 },
      { attempt: 4 },
      `Attempt 1 (call 4) failed 3 seconds ago with 503 (busy): "Try later."`,
    ],
    ["without a code", { attempts: 1 }, { code: null, message: "Busy" }, `Attempt 1 failed 3 seconds ago with 503: "Busy".`],
    ["without a word", { attempts: 1 }, { message: null }, "Attempt 1 failed 3 seconds ago with 503 (busy)."],
    [
      "several alike",
      { attempts: 3 },
      { attempt: 5, times: 2, message: null },
      "Attempt 3 (call 5) failed 3 seconds ago with 503 (busy). The last 2 calls failed in the same way.",
    ],
    [
      "a call that was none",
      {},
      { counted: false, status: 429, message: null },
      "Call 1 failed 3 seconds ago with 429 (busy). It does not count as an attempt.",
    ],
    [
      "429s alone",
      {},
      { attempt: 1_204, times: 1_204, counted: false, status: 429, code: "rate_limit_exceeded", message: "Slow." },
      `Call 1,204 failed 3 seconds ago with 429 (rate_limit_exceeded): "Slow." All 1,204 calls so far failed in the same way; none of them counts as an attempt.`,
    ],
  ])("%s", (_, standing, last, words) => {
    expect(between(standing, last)).toBe(`${words} ${next}`);
  });

  it("stands behind what keeps a job that is in line again, or whose pool stands still", () => {
    const last = { ...failure, attempt: 2, counted: false, status: 429, message: null, retry_at: null };
    const said = "Call 2 failed 3 seconds ago with 429 (busy). It does not count as an attempt.";
    expect(reasonOf(waiting({ last_failure: last }))).toBe(`${reasonOf(waiting())} ${said}`);
    const still = { eta: eta(6, "paused"), retry_at: NOW + 31, pool: { ...waiting().pool, condition: stopped } };
    expect(reasonOf(waiting({ ...still, last_failure: last }))).toBe(`${reasonOf(waiting(still))} ${said}`);
  });

  it("is no reason of a job that runs, but stands beside it", () => {
    const running = waiting({ status: "in_progress", eta: null, attempts: 2, started_at: NOW - 3, last_failure: failure });
    expect(reasonOf(running)).toBe("The job has been running for 3 seconds: attempt 2.");
    expect(explain(job("in_progress"), running).last_failure).toEqual(failure);
    expect(explain(job("completed"), running)).not.toHaveProperty("last_failure");
  });
});

describe("the answer", () => {
  it("of a job that waits has its numbers, and none of the coordinator's own", () => {
    expect(explain(job("queued", { deadline: NOW + 60 }), waiting({ deadline: NOW + 60 }))).toEqual({
      object: "job.why",
      job: "job_1",
      status: "queued",
      position: 3,
      ahead: { jobs: 2, tokens: 2_400 },
      eta: eta(6, "rpm"),
      limited_by: "rpm",
      reason: expect.any(String),
      pool: waiting().pool,
      tenant: waiting().tenant,
      attempts: 0,
      deadline: NOW + 60,
    });
  });

  it.each([
    ["completed", {}, "The job has ended: completed."],
    ["cancelled", {}, "The job has ended: cancelled."],
    ["expired", {}, "The job has ended: it did not start before its deadline and expired."],
    ["failed", { error: { type: "t", code: "busy", message: "m", param: null, status: 500 } }, "The job has ended: failed (busy)."],
    ["queued", {}, "The job is stored and on its way to the queue: its place is not known yet."],
  ] as const)("of a job that is %s and has no ticket", (status, more, reason) => {
    expect(explain(job(status, more), null)).toEqual({
      ...{ object: "job.why", job: "job_1", status, position: null, ahead: null, eta: null, limited_by: "none", reason },
      ...{ pool: null, tenant: null, attempts: 2 },
    });
  });

  it("an end is not taken back by what the coordinator knew before", () => {
    expect(explain(job("completed"), waiting())).toMatchObject({ status: "completed", position: null, limited_by: "none" });
  });
});

describe("what a token is told", () => {
  const said = (more: Partial<Standing>) => explainToToken(job("queued"), waiting(more)).reason;

  it("its job's place, when it starts and what keeps it; nothing of the account, the tenant or others", () => {
    expect(explainToToken(job("queued"), waiting())).toEqual({
      ...{
        object: "job.why",
        job: "job_1",
        status: "queued",
        position: 3,
        ahead: null,
        eta: eta(6, "rpm"),
        limited_by: "rpm",
        attempts: 0,
      },
      reason: "2 jobs start before this one, and the limit on requests per minute holds it back; it should start in about 6 seconds.",
      ...{ pool: null, tenant: null },
    });
  });

  it.each([
    [{ position: 1, eta: eta(0, "none") }, "The job is next; nothing holds it back: it starts as soon as its turn comes."],
    [{ position: 2, eta: eta(6, "tenant_share"), share: "cap" }, /^1 job starts before this one, and it waits for its turn; /],
    [{ eta: eta(6, "paused"), paused: "tenant" }, "2 jobs start before this one, and nothing starts for now."],
    [{ position: null, eta: null, aside: true }, "The job waits until a limit is raised: it is too large for a limit now in force."],
    [{ eta: eta(6, "paused"), retry_at: NOW + 6, attempts: 1 }, "The next attempt is on hold: nothing starts for now."],
    [{ status: "in_progress", eta: null, attempts: 1, started_at: NOW - 3 }, "The job has been running for 3 seconds: attempt 1."],
  ] as const)("of %j", (more, reason) => {
    if (typeof reason === "string") expect(said(more)).toBe(reason);
    else expect(said(more)).toMatch(reason);
  });

  it("whatever limits it, in words without a figure, a name or a limit of the account", () => {
    const kinds: LimitedBy[] = ["rpm", "tpm", "rpd", "tpd", "concurrency", "tenant_share", "paused", "ramp", "scheduled", "retry", "none"];
    for (const kind of kinds)
      for (const share of ["cap", "turns", "vain", null] as const)
        expect(said({ position: 1, eta: eta(0, kind), share, pool: { ...waiting().pool, condition: stopped } })).not.toMatch(
          /[1-9]|mini|alice/,
        );
  });

  it("of its last call how it ended; of one that was no attempt without upstream's words", () => {
    const last: LastFailure = {
      attempt: 2,
      counted: false,
      status: 429,
      code: "x",
      message: "Limit 500",
      times: 1,
      failed_at: NOW - 3,
      retry_at: NOW + 6,
    };
    const { last_failure, reason } = explainToToken(job("queued"), waiting({ last_failure: last, retry_at: NOW + 6 }));
    expect(last_failure).toEqual({ ...last, code: null, message: null });
    expect(reason).toBe("Call 2 failed 3 seconds ago with 429. It does not count as an attempt. The next call may start in 6 seconds.");
  });

  it("of a job that has ended, or is not known yet, what a key is told", () => {
    for (const [status, standing] of [
      ["completed", waiting()],
      ["queued", null],
    ] as const)
      expect(explainToToken(job(status), standing)).toEqual(explain(job(status), standing));
  });
});
