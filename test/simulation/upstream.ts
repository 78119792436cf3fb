/** Rules by which an upstream may count requests and tokens, written from their descriptions and not from Sluice's own bucket. */

export type RuleName = "bucket 60 s" | "bucket 10 s" | "bucket 1 s" | "fixed 60 s" | "fixed 10 s" | "sliding 60 s";
export const RULES: RuleName[] = ["bucket 60 s", "bucket 10 s", "bucket 1 s", "fixed 60 s", "fixed 10 s", "sliding 60 s"];

export type Rule = {
  name: RuleName;
  /** Per minute. */
  rpm: number;
  tpm: number;
  /** `maximum`: the greater of the prompt and the most that the answer may take; `sum`: both together. */
  charge: "maximum" | "sum";
  /** Whether what an answer did not use comes back when it ends. */
  refunds: boolean;
  /** Whether a refused request counts as a request. */
  countsRefused: boolean;
  /** Where a fixed window begins, ms. */
  phaseMs: number;
  /**
   * What answers report about the limits. `true`: the limit of a minute, what is left of what can be spent now, and when all of that is there again. `minute`:
   * as if it were a bucket of a minute, whatever it really is. Nothing by default.
   */
  headers?: Told;
};

export type Told = "none" | "true" | "minute";

/** Counts one resource; `size` of it can be spent at once. */
type Counter = {
  size: number;
  room: (now: number) => number;
  add: (amount: number, now: number) => void;
  freeAt: (amount: number, now: number) => number;
};

export function windowOf(name: RuleName): { kind: "bucket" | "fixed" | "sliding"; seconds: number } {
  const [kind, seconds] = name.split(" ");
  return { kind: kind as "bucket" | "fixed" | "sliding", seconds: Number(seconds) };
}

/** Refills every millisecond, up to `seconds` of its rate. */
function bucket(perMinute: number, seconds: number): Counter {
  const size = (perMinute * seconds) / 60;
  let level = size;
  let seen = 0;
  const fill = (now: number) => {
    level = Math.min(size, level + ((now - seen) * perMinute) / 60_000);
    seen = now;
  };
  return {
    size,
    room: (now) => {
      fill(now);
      return level;
    },
    add: (amount, now) => {
      fill(now);
      level = Math.min(size, level - amount);
    },
    freeAt: (amount, now) => {
      fill(now);
      return now + (Math.max(0, amount - level) * 60_000) / perMinute;
    },
  };
}

/** Counts from zero at the start of every window. */
function fixed(perMinute: number, seconds: number, phaseMs: number): Counter {
  const size = (perMinute * seconds) / 60;
  let index = Number.NEGATIVE_INFINITY;
  let count = 0;
  const turn = (now: number) => {
    const current = Math.floor((now - phaseMs) / (seconds * 1_000));
    if (current !== index) [index, count] = [current, 0];
  };
  return {
    size,
    room: (now) => {
      turn(now);
      return size - count;
    },
    add: (amount, now) => {
      turn(now);
      count += amount;
    },
    freeAt: (_, now) => {
      turn(now);
      return (index + 1) * seconds * 1_000 + phaseMs;
    },
  };
}

/** Counts what arrived within the last `seconds`. */
function sliding(perMinute: number, seconds: number): Counter {
  const size = (perMinute * seconds) / 60;
  let log: { at: number; amount: number }[] = [];
  let first = 0;
  let sum = 0;
  const forget = (now: number) => {
    for (; first < log.length && log[first]!.at <= now - seconds * 1_000; first++) sum -= log[first]!.amount;
    if (first > 10_000) [log, first] = [log.slice(first), 0];
  };
  return {
    size,
    room: (now) => {
      forget(now);
      return size - sum;
    },
    add: (amount, now) => {
      forget(now);
      log.push({ at: now, amount });
      sum += amount;
    },
    freeAt: (_, now) => {
      forget(now);
      return (log[first]?.at ?? now) + seconds * 1_000;
    },
  };
}

function counterOf({ name, phaseMs }: Rule, perMinute: number): Counter {
  const { kind, seconds } = windowOf(name);
  if (kind === "bucket") return bucket(perMinute, seconds);
  return kind === "fixed" ? fixed(perMinute, seconds, phaseMs) : sliding(perMinute, seconds);
}

/** One resource as headers report it: whole units, whole ms. */
export type Header = { limit: number; remaining: number; resetMs: number };

export type Verdict = { ok: true } | { ok: false; retryAfterMs: number };

/** Allows for rounding in sums of many small amounts. */
const SLACK = 1e-6;

export class Upstream {
  readonly rule: Rule;
  readonly #requests: Counter;
  readonly #tokens: Counter;
  /** What was charged, and how many calls were refused. */
  readonly charged = { requests: 0, tokens: 0 };
  refused = 0;

  constructor(rule: Rule) {
    this.rule = rule;
    this.#requests = counterOf(rule, rule.rpm);
    this.#tokens = counterOf(rule, rule.tpm);
  }

  chargeOf(prompt: number, most: number): number {
    return this.rule.charge === "sum" ? prompt + most : Math.max(prompt, most);
  }

  take(now: number, prompt: number, most: number): Verdict {
    const tokens = this.chargeOf(prompt, most);
    if (this.#requests.room(now) + SLACK >= 1 && this.#tokens.room(now) + SLACK * tokens >= tokens) {
      this.#requests.add(1, now);
      this.#tokens.add(tokens, now);
      this.charged.requests++;
      this.charged.tokens += tokens;
      return { ok: true };
    }
    this.refused++;
    const at = Math.max(this.#requests.freeAt(1, now), this.#tokens.freeAt(tokens, now));
    if (this.rule.countsRefused) this.#requests.add(1, now);
    return { ok: false, retryAfterMs: at - now };
  }

  /** What an answer's headers say at this instant; null if there are none. */
  headers(now: number): { requests: Header; tokens: Header } | null {
    const { headers = "none", name, rpm, tpm } = this.rule;
    if (headers === "none") return null;
    const window = windowOf(name);
    const tell = (counter: Counter, limit: number): Header => {
      const left = Math.max(0, counter.room(now));
      const spent = counter.size - left;
      if (headers === "minute") return { limit, remaining: Math.floor(limit - spent), resetMs: Math.ceil((spent / limit) * 60_000) };
      // A bucket is whole again once what is spent has refilled; a window, at its end.
      const resetMs = window.kind === "bucket" ? (spent / limit) * 60_000 : counter.freeAt(spent, now) - now;
      return { limit, remaining: Math.floor(left), resetMs: Math.ceil(spent > 0 ? resetMs : 0) };
    };
    return { requests: tell(this.#requests, rpm), tokens: tell(this.#tokens, tpm) };
  }

  /** An answer has ended: gives back what it left unused, if the rule does that. */
  end(now: number, prompt: number, most: number, used: number): void {
    if (this.rule.refunds) this.#tokens.add(-Math.max(0, this.chargeOf(prompt, most) - used), now);
  }
}
