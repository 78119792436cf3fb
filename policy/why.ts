/** Why a job waits: which limit binds it, and the sentence that says so. */
import type { Eta, Job, LastFailure, LimitedBy } from "../schemas/job.ts";
import type { PoolCondition } from "../schemas/queue.ts";
import type { JobWhy, Standing } from "../schemas/why.ts";
import { withoutAccount } from "./last-failure.ts";
import { isEnd } from "./lifecycle.ts";

/** Three estimates for one job: by the pool, by the pool if its tenant were alone there, and by the tenant's own limits. */
export type Reckonings = { pool: Eta; alone: Eta; cap: Eta };
export type Binding = { eta: Eta; share: Standing["share"] };

/**
 * What binds is what lasts longest: the tenant's own cap when it ends after the pool lets the job go; other tenants' turns when most of
 * the wait is theirs; else the pool's own limit.
 */
export function binding({ pool, alone, cap }: Reckonings): Binding {
  if (cap.p50 > pool.p50) return { eta: { ...cap, limited_by: "tenant_share" }, share: "cap" };
  if (pool.p50 > 0 && alone.p50 <= pool.p50 / 2) return { eta: { ...pool, limited_by: "tenant_share" }, share: "turns" };
  return { eta: pool, share: null };
}

/** The whole answer. `standing` is null if the coordinator holds no ticket of the job. */
export function explain(job: Job, standing: Standing | null): JobWhy {
  return answer(job, standing, EXACT);
}

/**
 * What a browser token is told, and so whoever uses the page: where the job stands, when it should start and which kind of limit holds it back; no figures of
 * the account, of the tenant, or of others who wait.
 */
export function explainToToken(job: Job, standing: Standing | null): JobWhy {
  const told = standing?.last_failure ? { ...standing, last_failure: withoutAccount(standing.last_failure) } : standing;
  return { ...answer(job, told, PLAIN), ahead: null, pool: null, tenant: null };
}

function answer(job: Job, standing: Standing | null, words: Words): JobWhy {
  const known = isEnd(job.status) ? null : standing;
  const { not_before, deadline } = job;
  return {
    object: "job.why",
    job: job.id,
    status: known?.status ?? job.status,
    position: known?.position ?? null,
    ahead: known?.ahead ? { jobs: known.ahead.jobs, tokens: known.ahead.tokens } : null,
    eta: known?.eta ?? null,
    limited_by: known?.eta?.limited_by ?? "none",
    reason: known ? reasonOf(known, words) : withoutTicket(job),
    pool: known?.pool ?? null,
    tenant: known?.tenant ?? null,
    attempts: known ? known.attempts : job.attempts,
    ...(known?.last_failure && { last_failure: known.last_failure }),
    ...(known?.retry_at != null && { retry_at: known.retry_at }),
    ...(not_before !== null && { not_before }),
    ...(deadline !== null && { deadline }),
  };
}

function withoutTicket({ status, error }: Job): string {
  if (!isEnd(status)) return "The job is stored and on its way to the queue: its place is not known yet.";
  if (status === "failed") return `The job has ended: failed${error?.code ? ` (${error.code})` : ""}.`;
  if (status === "expired") return "The job has ended: it did not start before its deadline and expired.";
  return `The job has ended: ${status}.`;
}

/** The words for what a job waits for. */
type Words = {
  ahead: (standing: Standing) => string;
  cause: (standing: Standing, limitedBy: LimitedBy) => string;
  /** For a job that is too large for a limit in force now. */
  aside: (standing: Standing) => string;
};

const EXACT: Words = { ahead: aheadOf, cause: causeOf, aside: asideOf };

const PLAIN_CAUSES: Record<LimitedBy, string> = {
  rpm: "the limit on requests per minute holds it back",
  tpm: "the limit on tokens per minute holds it back",
  rpd: "the limit on requests per day holds it back",
  tpd: "the limit on tokens per day holds it back",
  concurrency: "the limit on concurrent calls holds it back",
  tenant_share: "it waits for its turn",
  paused: "nothing starts for now",
  ramp: "the rate of calls may only rise gradually",
  retry: "upstream accepts no calls for now",
  scheduled: "its not_before has not been reached",
  none: "nothing holds it back: it starts as soon as its turn comes",
};

const PLAIN: Words = {
  ahead: ({ position }) => {
    if (position === null) return "The job waits";
    return position === 1 ? "The job is next" : startBefore(position - 1);
  },
  cause: (_, limitedBy) => PLAIN_CAUSES[limitedBy],
  aside: () => "The job waits until a limit is raised: it is too large for a limit now in force.",
};

/** A sentence or two that a developer understands. */
export function reasonOf(standing: Standing, words = EXACT): string {
  const { eta, last_failure, now, retry_at, status } = standing;
  if (status !== "queued" || !last_failure) return waitOf(standing, words);
  const last = lastOf(standing, last_failure);
  if (retry_at === null || eta?.limited_by === "paused") return `${waitOf(standing, words)} ${last}`;
  return `${last} The next call may start in ${seconds(retry_at - now)}.`;
}

/** Which call failed, when and with what. */
function lastOf({ attempts, now }: Standing, { attempt, code, counted, failed_at, message, status, times }: LastFailure): string {
  const name = !counted
    ? `Call ${count(attempt)}`
    : attempt === attempts
      ? `Attempt ${attempts}`
      : `Attempt ${attempts} (call ${count(attempt)})`;
  const named = code === null ? String(status) : `${status} (${code})`;
  const said = message === null ? "." : /[.!?…]$/.test(message) ? `: "${message}"` : `: "${message}".`;
  const single = counted ? "" : " It does not count as an attempt.";
  const all = times === attempt ? `All ${count(times)} calls so far` : `The last ${count(times)} calls`;
  const alike = ` ${all} failed in the same way${counted ? "" : "; none of them counts as an attempt"}.`;
  return `${name} failed ${seconds(now - failed_at)} ago with ${named}${said}${times > 1 ? alike : single}`;
}

function waitOf(standing: Standing, { ahead, aside, cause }: Words): string {
  const { attempts, eta, not_before, now, retry_at, started_at, status } = standing;
  if (status === "in_progress") {
    const running = started_at === null ? "is running" : `has been running for ${seconds(now - started_at)}`;
    return `The job ${running}: attempt ${Math.max(1, attempts)}.`;
  }
  if (status === "scheduled") return `The job is scheduled: it joins the queue in ${seconds((not_before ?? 0) - now)}, at its not_before.`;
  const stopped = eta?.limited_by === "paused";
  if (retry_at !== null && stopped) return `The next attempt is on hold: ${cause(standing, "paused")}.`;
  if (retry_at !== null && attempts === 0)
    return `The call was refused or could not be sent; it is tried again in ${seconds(retry_at - now)}.`;
  if (retry_at !== null) return `Attempt ${attempts} did not succeed; the next may start in ${seconds(retry_at - now)}.`;
  if (standing.aside && isStopped(standing)) return `The job waits: ${cause(standing, "paused")}.`;
  if (standing.aside) return aside(standing);
  const limitedBy = eta?.limited_by ?? "none";
  const why = cause(standing, limitedBy);
  if (limitedBy === "none" || eta === null) return `${ahead(standing)}; ${why}.`;
  if (stopped) return `${ahead(standing)}, and ${why}.`;
  return `${ahead(standing)}, and ${why}; it should start in about ${seconds(eta.p50)}.`;
}

function asideOf({ pool, tokens }: Standing): string {
  const asks = pool.condition?.next_probe_at != null;
  const waits = `The job waits until a limit of the pool "${pool.id}" is raised: it reserves ${count(tokens)} tokens, more than the limit now allows.`;
  return asks ? `${waits} When nothing else waits for the pool, one such job is tried.` : waits;
}

function aheadOf({ ahead }: Standing): string {
  if (!ahead || ahead.jobs === 0) return "The job is next";
  const others = ahead.jobs - ahead.own;
  return `${startBefore(ahead.jobs)} (${others === 0 ? "all of this tenant" : `${count(others)} of other tenants`})`;
}

function startBefore(jobs: number): string {
  return `${jobs === 1 ? "1 job starts" : `${count(jobs)} jobs start`} before this one`;
}

function causeOf(standing: Standing, limitedBy: LimitedBy): string {
  const { now, pool, tenant, cap, tokens } = standing;
  const { limits, free } = pool;
  switch (limitedBy) {
    case "rpm":
      return `the pool "${pool.id}" has ${count(free.requests)} requests free of ${count(limits.rpm)} a minute`;
    case "tpm":
      return `the pool "${pool.id}" has ${count(free.tokens)} tokens free of ${count(limits.tpm)} a minute, of which this job reserves ${count(tokens)}`;
    case "rpd":
      return `the ${count(limits.rpd ?? 0)} requests a day of the pool "${pool.id}" are spent for now`;
    case "tpd":
      return `the ${count(limits.tpd ?? 0)} tokens a day of the pool "${pool.id}" are spent for now`;
    case "concurrency":
      return `the pool "${pool.id}" has ${count(pool.in_flight)} calls under way, of at most ${count(limits.concurrency ?? 0)} at once`;
    case "tenant_share":
      if (standing.share === "vain") return vainOf(standing);
      if (standing.share !== "cap" && standing.batch) return "batches get only what live calls leave, whichever tenant makes those";
      if (standing.share !== "cap") return `tenants take turns by weight (this one's is ${tenant.weight})`;
      return `this tenant has spent its own limit (${capOf(cap)}), whatever the pool has left`;
    case "paused":
      return stoppedBy(standing);
    case "ramp":
      if (pool.condition?.reason !== "slow_down")
        return `the traffic of the pool "${pool.id}" may not grow faster: upstream refuses traffic that does`;
      return `upstream asked the account to slow down: the pool "${pool.id}" may use ${Math.round(pool.condition.share * 100)} % of its rate now, and gradually more`;
    case "retry":
      if (pool.held_until === undefined || (pool.condition && isInDoubt(pool.condition, pool.held_until)))
        return `upstream refuses the calls of the pool "${pool.id}" (${pool.condition?.code ?? "rate_limit_exceeded"}): until it accepts them again, one call is made every twenty seconds`;
      return `upstream asked the pool "${pool.id}" to send nothing for ${seconds((pool.held_until ?? now) - now)}`;
    case "scheduled":
      return "its not_before has not been reached";
    case "none":
      return "nothing holds it back: it starts as soon as its turn comes";
  }
}

function vainOf({ tenant }: Standing): string {
  const { calls, turns } = tenant.in_vain!;
  return `the last ${count(calls)} calls of this tenant were refused by upstream or could not be sent: while other tenants wait, its next call counts as ${turns} turns`;
}

/** Whether the job waits because upstream refuses calls, and not because it asked for silence. */
function isInDoubt({ next_probe_at, reason }: PoolCondition, heldUntil = 0): boolean {
  return next_probe_at !== null && reason !== "lowered_limit" && next_probe_at > heldUntil;
}

/** Whether nothing starts, whatever the budget says. */
function isStopped({ paused, pool }: Standing): boolean {
  return paused !== undefined || (pool.condition !== undefined && pool.condition.state !== "slowed" && pool.condition.state !== "normal");
}

function stoppedBy({ now, paused, pool, tenant }: Standing): string {
  if (paused === "all") return "everything is paused by an operator";
  if (paused === "tenant") return `the tenant "${tenant.id}" is paused by an operator`;
  if (paused === "pool") return `the pool "${pool.id}" is paused by an operator`;
  const { code, next_probe_at, reason } = pool.condition!;
  const next = next_probe_at === null ? "a test call is under way" : `the next test call is made in ${seconds(next_probe_at - now)}`;
  const why = reason === "failures" ? "upstream is failing" : `upstream refuses its calls (${code ?? reason})`;
  return `the pool "${pool.id}" is stopped because ${why}: ${next}`;
}

function capOf({ rpm, tpm }: Standing["cap"]): string {
  const parts = [rpm === null ? [] : `${count(rpm)} requests a minute`, tpm === null ? [] : `${count(tpm)} tokens a minute`];
  return parts.flat().join(", ");
}

/** Whole numbers, in groups of three. */
function count(amount: number): string {
  return String(Math.floor(amount)).replace(/\B(?=(\d{3})+$)/g, ",");
}

/** A length of time in words; to a tenth of a second if it is below ten. */
function seconds(length: number): string {
  const shown = length < 10 ? Math.round(Math.max(0, length) * 10) / 10 : Math.round(length);
  if (shown === 1) return "1 second";
  return `${shown < 10 ? shown : count(shown)} seconds`;
}
