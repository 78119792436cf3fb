/** A learning pool in front of an account that others may use too, to see how much each of them gets. */

import type { Change } from "../../policy/bounds.ts";
import { type Budget, openBudget, readiness, reserve } from "../../policy/budget.ts";
import { Learned } from "../../policy/learned.ts";
import type { LimitReading, PoolReading } from "../../schemas/rate.ts";
import { START } from "./intervals.ts";

/** Reproducible numbers in [0, 1). */
function dice(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state * 48_271) % 2_147_483_647;
    return state / 2_147_483_647;
  };
}

/** An upstream account, written from OpenAI's documentation alone: each limit refills continuously, up to one minute's worth. */
export class Account {
  readonly #spent = { requests: 0, tokens: 0 };
  #at = START;
  limits: { requests: number; tokens: number };

  constructor(requests: number, tokens: number) {
    this.limits = { requests, tokens };
  }

  fits(tokens: number, now: number): boolean {
    this.#refill(now);
    return this.#spent.requests + 1 <= this.limits.requests && this.#spent.tokens + tokens <= this.limits.tokens;
  }

  /** False if the account refuses the call. */
  call(tokens: number, now: number): boolean {
    const fits = this.fits(tokens, now);
    if (fits) {
      this.#spent.requests++;
      this.#spent.tokens += tokens;
    }
    return fits;
  }

  /** A call by somebody else. */
  theirs(tokens: number, now: number): boolean {
    return this.call(tokens, now);
  }

  /** Gives back what a call was charged for and did not use. */
  refund(tokens: number, now: number): void {
    this.#refill(now);
    this.#spent.tokens = Math.max(0, this.#spent.tokens - tokens);
  }

  headers(now: number): { requests: LimitReading; tokens: LimitReading; projectTokens?: LimitReading } {
    this.#refill(now);
    const of = (kind: "requests" | "tokens") => ({
      limit: this.limits[kind],
      remaining: Math.max(0, Math.floor(this.limits[kind] - this.#spent[kind])),
      resetMs: Math.round((this.#spent[kind] / this.limits[kind]) * 60_000),
    });
    return { requests: of("requests"), tokens: of("tokens") };
  }

  #refill(now: number): void {
    for (const kind of ["requests", "tokens"] as const)
      this.#spent[kind] = Math.max(0, this.#spent[kind] - ((now - this.#at) * this.limits[kind]) / 60_000);
    this.#at = now;
  }
}

/** An account that counts the requests of the last minute, refused calls included. */
export class Log extends Account {
  #log: number[] = [];

  override call(_: number, now: number): boolean {
    const before = this.#last(now).length;
    this.#log.push(now);
    return before < this.limits.requests;
  }

  override headers(now: number): { requests: LimitReading; tokens: LimitReading } {
    const limit = this.limits.requests;
    const remaining = Math.max(0, limit - this.#last(now).length);
    const requests = { limit, remaining, resetMs: ((limit - remaining) / limit) * 60_000 };
    return { requests, tokens: { limit: this.limits.tokens, remaining: this.limits.tokens, resetMs: 0 } };
  }

  #last(now: number): number[] {
    this.#log = this.#log.filter((at) => at > now - 60_000);
    return this.#log;
  }
}

/** An account that counts requests from zero at the start of each minute, and reports how far away the next minute is. */
export class Minutes extends Account {
  #minute = 0;
  #count = 0;

  override call(_: number, now: number): boolean {
    this.#turn(now);
    if (this.#count >= this.limits.requests) return false;
    this.#count++;
    return true;
  }

  override headers(now: number) {
    this.#turn(now);
    const limit = this.limits.requests;
    const requests = { limit, remaining: limit - this.#count, resetMs: 60_000 - (now % 60_000) };
    return { requests, tokens: { limit: this.limits.tokens, remaining: this.limits.tokens, resetMs: 0 } };
  }

  #turn(now: number): void {
    const minute = Math.floor(now / 60_000);
    if (minute !== this.#minute) [this.#minute, this.#count] = [minute, 0];
  }
}

/** An account that also limits our project's tokens; the others belong to another project. */
class Organisation extends Account {
  readonly #project: Account;

  constructor(requests: number, tokens: number, project: number) {
    super(requests, tokens);
    this.#project = new Account(requests, project);
  }

  override call(tokens: number, now: number): boolean {
    return super.fits(tokens, now) && this.#project.call(tokens, now) && super.call(tokens, now);
  }

  override theirs(tokens: number, now: number): boolean {
    return super.call(tokens, now);
  }

  override headers(now: number) {
    return { ...super.headers(now), projectTokens: this.#project.headers(now).tokens };
  }
}

export const RPM = 600;
export const TPM = 600_000;
const TOKENS = 500;
export const CONFIGURED = { rpm: RPM, tpm: TPM, rpd: null, tpd: null, concurrency: null, burstSeconds: 60, transitMs: 1_000 };

export type World = {
  minutes: number;
  seed?: number;
  /** Calls per minute by others, as a function of the minute. */
  others?: (minute: number) => number;
  /** Tokens of each of those calls. */
  theirTokens?: number;
  /** Our project's limit, tokens per minute. */
  project?: number | null;
  /** Changes the account, as a function of the minute. */
  account?: (account: Account, minute: number) => void;
  learns?: boolean;
  /** The pool's own limits, and how far it may follow a raised limit. */
  configured?: { rpm: number; tpm: number };
  most?: { rpm: number; tpm: number };
  /** How far apart calls that left together may arrive, and how late their headers come, ms. */
  jitterMs?: number;
  staleMs?: number;
  /** How long a call takes to leave, while the next one waits for it, ms. */
  sendMs?: number;
  /** An upstream that counts the last minute, or each minute from zero. The pool knows that it counts in windows. */
  windowed?: typeof Log | typeof Minutes;
  /** Tokens that each of our calls reserves, what it uses in the end, and after how many ms that is known. */
  tokens?: number;
  uses?: number;
  answerMs?: number;
  /** Whether upstream gives back what was not used, and whether the pool looks for it. */
  refunds?: boolean;
  refund?: boolean;
};

/** Starts our calls as fast as the budget allows, with others' calls beside them; everything is checked every 10 ms. */
export function play({
  minutes,
  seed = 1,
  others = () => 0,
  theirTokens = TOKENS,
  project = null,
  account: change = () => {},
  learns = true,
  jitterMs = 100,
  staleMs = 200,
  windowed,
  sendMs = 0,
  configured = { rpm: RPM, tpm: TPM },
  most = { rpm: RPM, tpm: TPM },
  tokens = TOKENS,
  uses = tokens,
  answerMs = 5_000,
  refunds = false,
  refund = false,
}: World) {
  const random = dice(seed);
  let free = START;
  const account = windowed ? new windowed(RPM, TPM) : project ? new Organisation(RPM, TPM, project) : new Account(RPM, TPM);
  const limits = { ...CONFIGURED, ...configured, ...(windowed && { windowSeconds: 60 }) };
  const budget: Budget = openBudget(limits);
  const learned = new Learned({ limits, most, refund }, START);
  const ends: { at: number }[] = [];
  const calls: { at: number; leasedAt: number; sentAt: number }[] = [];
  const told: { due: number; startedAt: number; reading: PoolReading }[] = [];
  const seen = { ours: 0, refused: 0, theirs: 0, changes: [] as Change[], foreign: [] as number[], foreignTokens: [] as number[] };
  for (let now = START; now < START + minutes * 60_000; now += 10) {
    const minute = (now - START) / 60_000;
    change(account, minute);
    if (random() < (others(minute) * 10) / 60_000 && account.theirs(theirTokens, now)) seen.theirs++;
    for (const call of calls.filter(({ at }) => at <= now)) {
      calls.splice(calls.indexOf(call), 1);
      if (account.call(tokens, now)) {
        seen.ours++;
        ends.push({ at: now + answerMs });
      } else {
        seen.refused++;
        learned.refused(tokens, now);
      }
      told.push({
        due: now + staleMs * random(),
        startedAt: call.leasedAt,
        reading: { pool: "p", job: "j", sentAt: call.sentAt, at: now + 20, ...account.headers(now) },
      });
    }
    for (const end of ends.filter(({ at }) => at <= now)) {
      ends.splice(ends.indexOf(end), 1);
      if (refunds) account.refund(tokens - uses, now);
    }
    for (const each of told.filter(({ due }) => due <= now)) {
      told.splice(told.indexOf(each), 1);
      if (learns) seen.changes.push(...learned.take(each.reading, { at: each.startedAt, tokens }, budget, now));
    }
    if (learns) seen.changes.push(...learned.believe(budget, now));
    while (readiness(budget, tokens, now).at <= now) {
      reserve(budget, tokens, now);
      learned.started(budget, tokens, now);
      // Calls that start together leave one by one.
      free = Math.max(free, now) + sendMs;
      calls.push({ at: free + jitterMs * random(), leasedAt: now, sentAt: free });
    }
    if (now % 60_000 === 0) seen.foreign.push(learned.others(now).requests);
    if (now % 60_000 === 0) seen.foreignTokens.push(learned.others(now).tokens);
  }
  return { ...seen, budget, learned };
}
