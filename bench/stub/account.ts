import { Bucket } from "./bucket.ts";
import { Window } from "./window.ts";

export type Limits = { rpm: number; tpm: number };
type Meter = Window | Bucket;
export type Refusal = { kind: "requests" | "tokens"; per: "min" | "day"; limit: number; used: number; wanted: number; waitMs: number };
export type Headers = { kind: string; limit: number; remaining: number; resetMs: number };

const MINUTE_MS = 60_000;
const DAY_MS = 86_400_000;

/** Requests and tokens of the last minute, ours and those of whoever else has the key. Others call evenly, like a clock. */
export class Account {
  readonly counts = { admitted: 0, tokens: 0, own_429: 0, foreign_429: 0, others_admitted: 0, others_tokens: 0, others_refused: 0 };
  private readonly requests: Meter;
  private readonly tokens: Meter;
  /** Ours, as they would have come had we been alone: what does not fit in here is our own doing. */
  private readonly ownRequests: Meter;
  private readonly ownTokens: Meter;
  /** Requests of a day, and ours alone; null: there is no such limit. */
  private day: { all: Window; own: Window } | null = null;
  /** Calls that only the others kept out. They are in the two logs above, and are not written there again when they are repeated. */
  private readonly keptOut = new Set<string>();
  private others: { everyMs: number; tokens: number; next: number } | null = null;

  /** @param burstSeconds how much of a limit may be spent at once, from buckets that refill evenly; null: the last minute is counted. */
  constructor({ rpm, tpm }: Limits, burstSeconds: number | null = null) {
    const meter = (limit: number) => (burstSeconds === null ? new Window(limit, MINUTE_MS) : new Bucket(limit, burstSeconds));
    this.requests = meter(rpm);
    this.tokens = meter(tpm);
    this.ownRequests = meter(rpm);
    this.ownTokens = meter(tpm);
  }

  setLimits({ rpm, tpm }: Limits): void {
    for (const window of [this.requests, this.ownRequests]) window.limit = rpm;
    for (const window of [this.tokens, this.ownTokens]) window.limit = tpm;
  }

  /** A day begins. */
  setDay(requests: number | null): void {
    this.day = requests === null ? null : { all: new Window(requests, DAY_MS), own: new Window(requests, DAY_MS) };
  }

  setOthers(usage: Limits | null, now: number): void {
    this.advance(now);
    this.others = usage === null ? null : { everyMs: MINUTE_MS / usage.rpm, tokens: Math.round(usage.tpm / usage.rpm), next: now };
  }

  /**
   * Counts a call of ours, or says what it does not fit into. "Unsuccessful requests contribute to your per-minute limit."
   * @param call its name, if it has one: who repeats a call gives the same.
   */
  admit(tokens: number, call: string | null, now: number): Refusal | null {
    this.advance(now);
    const refusal = this.refusal(tokens, now);
    this.requests.log(1, now);
    this.day?.all.log(1, now);
    const foreign = this.wouldFitAlone(tokens, call, now);
    if (refusal !== null) {
      this.counts[foreign ? "foreign_429" : "own_429"]++;
      if (foreign && call !== null) this.keptOut.add(call);
      return refusal;
    }
    this.tokens.log(tokens, now);
    this.counts.admitted++;
    this.counts.tokens += tokens;
    if (call !== null) this.keptOut.delete(call);
    return null;
  }

  private wouldFitAlone(tokens: number, call: string | null, now: number): boolean {
    if (call !== null && this.keptOut.has(call)) return true;
    const fits = this.ownRequests.fits(1, now) && this.ownTokens.fits(tokens, now) && (this.day?.own.fits(1, now) ?? true);
    this.ownRequests.log(1, now);
    this.day?.own.log(1, now);
    if (fits) this.ownTokens.log(tokens, now);
    return fits;
  }

  headers(now: number): Headers[] {
    this.advance(now);
    return [["requests", this.day?.all ?? this.requests] as const, ["tokens", this.tokens] as const].map(([kind, window]) => {
      const remaining = Math.max(0, window.limit - window.used(now));
      return { kind, limit: window.limit, remaining, resetMs: window.resetMs(now) };
    });
  }

  /** The others' calls up to now, each at its own time. */
  advance(now: number): void {
    for (const { others } = this; others !== null && others.next <= now; others.next += others.everyMs) {
      const refused = this.refusal(others.tokens, others.next) !== null;
      this.requests.log(1, others.next);
      this.day?.all.log(1, others.next);
      if (!refused) {
        this.tokens.log(others.tokens, others.next);
        this.counts.others_tokens += others.tokens;
      }
      this.counts[refused ? "others_refused" : "others_admitted"]++;
    }
  }

  private refusal(tokens: number, now: number): Refusal | null {
    const day = this.day === null ? [] : [["requests", "day", this.day.all, 1] as const];
    const minutes = [["requests", "min", this.requests, 1] as const, ["tokens", "min", this.tokens, tokens] as const];
    for (const [kind, per, window, wanted] of [...minutes, ...day]) {
      if (!window.fits(wanted, now))
        return { kind, per, limit: window.limit, used: window.used(now), wanted, waitMs: window.wait(wanted, now) };
    }
    return null;
  }
}
