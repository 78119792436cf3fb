/** Counts what came in and what became of it, so that a test can check a client's behaviour. */
interface Totals {
  calls: number;
  /** Calls that the limits let through, and so were charged. */
  admitted: number;
  completed: number;
  /** Refused by the limits. */
  rejected_429: { requests: number; tokens: number };
  /** The same, by who caused it: `own` would have come even if nobody else used the key. */
  caused_429: { own: number; foreign: number };
  /** Refused for growing too fast. */
  slow_down_429: number;
  /** Refused while the account had no money. */
  halted_429: number;
  aborted: number;
  tokens_charged: number;
  prompt_tokens: number;
  completion_tokens: number;
  in_flight: number;
  max_in_flight: number;
}

type KeyCount = { calls: number; completed: number; paid: number };

// Keys to remember; beyond this, new ones are only counted as left out.
const MOST_KEYS = 20_000;

export type End = "completed" | "aborted" | "failed";

export class Ledger {
  private readonly totals = emptyTotals();
  private readonly models = new Map<string, Totals>();
  private readonly keys = new Map<string, KeyCount>();
  private readonly byStatus: Record<string, number> = {};
  private readonly byFault: Record<string, number> = {};
  private readonly others = { calls: 0, admitted: 0, refused: 0, tokens_charged: 0 };
  private keysLeftOut = 0;
  private waitingForHeaders = 0;
  private maxWaitingForHeaders = 0;

  /** A request that never became a call to a model: no key, no such model, or an invalid body. */
  turnedAway(status: number): void {
    count(this.byStatus, String(status));
  }

  /** A call that somebody else made on the same key. */
  foreign(admitted: boolean, tokens: number): void {
    this.others.calls++;
    this.others[admitted ? "admitted" : "refused"]++;
    if (admitted) this.others.tokens_charged += tokens;
  }

  begin(model: string, key: string | undefined): Call {
    const own = this.models.get(model) ?? emptyTotals();
    this.models.set(model, own);
    const both = [this.totals, own];
    for (const totals of both) {
      totals.calls++;
      totals.max_in_flight = Math.max(totals.max_in_flight, ++totals.in_flight);
    }
    this.maxWaitingForHeaders = Math.max(this.maxWaitingForHeaders, ++this.waitingForHeaders);
    const keyCount = key === undefined ? undefined : this.keyCount(key);
    if (keyCount !== undefined) keyCount.calls++;
    return new Call(both, keyCount, {
      answered: (status) => {
        this.waitingForHeaders--;
        if (status !== undefined) count(this.byStatus, String(status));
      },
      faulted: (kind) => count(this.byFault, kind),
    });
  }

  private keyCount(key: string): KeyCount | undefined {
    const known = this.keys.get(key);
    if (known !== undefined) return known;
    if (this.keys.size >= MOST_KEYS) {
      this.keysLeftOut++;
      return undefined;
    }
    const fresh = { calls: 0, completed: 0, paid: 0 };
    this.keys.set(key, fresh);
    return fresh;
  }

  /** `repeated` leaves out keys that were called at most once: useful for a test that hunts for duplicates. */
  report(which: "all" | "repeated"): object {
    const shown = [...this.keys].filter(([, { calls }]) => which === "all" || calls > 1);
    return {
      ...this.totals,
      waiting_for_headers: this.waitingForHeaders,
      max_waiting_for_headers: this.maxWaitingForHeaders,
      by_status: this.byStatus,
      by_fault: this.byFault,
      foreign: this.others,
      models: Object.fromEntries(this.models),
      calls_by_key: Object.fromEntries(shown.map(([key, { calls }]) => [key, calls])),
      completed_by_key: Object.fromEntries(shown.map(([key, { completed }]) => [key, completed])),
      paid_by_key: Object.fromEntries(shown.map(([key, { paid }]) => [key, paid])),
      keys_left_out: this.keysLeftOut,
    };
  }
}

interface Hooks {
  answered(status: number | undefined): void;
  faulted(kind: string): void;
}

/** One call to a model, from arrival to end. Ending twice counts once, so that every exit path may call `end`. */
export class Call {
  private waiting = true;
  private open = true;
  private completed: (() => void) | undefined;
  private readonly totals: Totals[];
  private readonly key: KeyCount | undefined;
  private readonly hooks: Hooks;

  constructor(totals: Totals[], key: KeyCount | undefined, hooks: Hooks) {
    this.totals = totals;
    this.key = key;
    this.hooks = hooks;
  }

  charged(tokens: number): void {
    for (const totals of this.totals) {
      totals.admitted++;
      totals.tokens_charged += tokens;
    }
  }

  rejected(kind: "requests" | "tokens" | "slow_down", cause: "own" | "foreign"): void {
    for (const totals of this.totals) {
      if (kind === "slow_down") {
        totals.slow_down_429++;
        continue;
      }
      totals.rejected_429[kind]++;
      totals.caused_429[cause]++;
    }
  }

  halted(): void {
    for (const totals of this.totals) totals.halted_429++;
  }

  faulted(kind: string): void {
    this.hooks.faulted(kind);
  }

  /** The model has worked and the account pays for it, whether or not the answer arrives. */
  used(prompt: number, completion: number): void {
    if (this.key !== undefined) this.key.paid++;
    for (const totals of this.totals) {
      totals.prompt_tokens += prompt;
      totals.completion_tokens += completion;
    }
  }

  /** Runs `then` once the answer is complete. */
  whenCompleted(then: () => void): void {
    this.completed = then;
  }

  /** The headers go out, or (without a status) never will. */
  answered(status?: number): void {
    if (!this.waiting) return;
    this.waiting = false;
    this.hooks.answered(status);
  }

  end(how: End): void {
    if (!this.open) return;
    this.open = false;
    this.answered();
    for (const totals of this.totals) {
      totals.in_flight--;
      if (how === "completed") totals.completed++;
      if (how === "aborted") totals.aborted++;
    }
    if (how !== "completed") return;
    if (this.key !== undefined) this.key.completed++;
    this.completed?.();
  }
}

function emptyTotals(): Totals {
  return {
    calls: 0,
    admitted: 0,
    completed: 0,
    rejected_429: { requests: 0, tokens: 0 },
    caused_429: { own: 0, foreign: 0 },
    slow_down_429: 0,
    halted_429: 0,
    aborted: 0,
    tokens_charged: 0,
    prompt_tokens: 0,
    completion_tokens: 0,
    in_flight: 0,
    max_in_flight: 0,
  };
}

function count(counts: Record<string, number>, key: string): void {
  counts[key] = (counts[key] ?? 0) + 1;
}
