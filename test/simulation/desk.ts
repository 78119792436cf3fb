/** A coordinator without its shell: its own code on Node's SQLite, with a clock that the test sets. */
import type { Book } from "../../durable-objects/coordinator/book.ts";
import { enqueue } from "../../durable-objects/coordinator/enqueue.ts";
import { inspect, placeOf } from "../../durable-objects/coordinator/inspect.ts";
import { noLetters } from "../../durable-objects/coordinator/letters.ts";
import { read } from "../../durable-objects/coordinator/limits.ts";
import { openBook } from "../../durable-objects/coordinator/opening.ts";
import { settle } from "../../durable-objects/coordinator/settle.ts";
import { CoordinatorStore } from "../../durable-objects/coordinator/store/store.ts";
import { decide, record } from "../../durable-objects/coordinator/turn.ts";
import { standingOf } from "../../durable-objects/coordinator/why.ts";
import { jobId } from "../../platform/ids.ts";
import { readSettings } from "../../platform/settings.ts";
import { reasonOf } from "../../policy/why.ts";
import type { Problem } from "../../schemas/problem.ts";
import type { Outcome, Ticket, Verdict } from "../../schemas/rpc.ts";
import { openStorage } from "./storage.ts";

export const START = 1_700_000_000_000;
export const BATCH = "~batch-x";
export const COMMITTED: Outcome = { kind: "committed", usage: null };
export const POOL = { rpm: 600, tpm: 100_000, ramp_tpm: null };

export type Started = { job: string; attempt: number; dispatcher: string; at: number };
export type Sent = { job: string; problem: Problem | null };

export function keyOf(tenant: string, more: object = {}): object {
  return { key_sha256: Buffer.from(tenant).toString("hex").padStart(64, "0"), tenant, ...more };
}

/** One pool, `p`, and perhaps others. `p` may spend a minute's rate at once, unless `pool` says otherwise. */
export function openDesk(pool: object = POOL, keys: object[] = [], others: Record<string, object> = {}) {
  const storage = openStorage();
  const state = { now: START, pool, keys, awakeMost: 20_000 };
  let numbers = 0;
  const open = () => {
    const settings = readSettings({
      SLUICE_POOLS: JSON.stringify({ p: { burst_seconds: 60, ...state.pool }, ...others }),
      SLUICE_KEYS: JSON.stringify(state.keys),
    });
    const store = new CoordinatorStore(storage.open());
    const book = openBook(settings, store, state.now);
    book.resting.awakeMost = state.awakeMost;
    return { store, book };
  };
  let { store, book } = open();
  const started: Started[] = [];
  const verdicts: Verdict[] = [];
  const notices: object[] = [];
  const turn = <T>(step: (book: Book, now: number) => T): T => {
    const result = decide(
      book,
      state.now,
      () => 0.5,
      (now) => step(book, now),
    );
    record(book, store, state.now);
    for (const letters of [book.letters.ahead, book.letters.starts])
      for (const [dispatcher, leases] of letters)
        started.push(...leases.map(({ job, attempt }) => ({ job, attempt, dispatcher, at: state.now })));
    for (const letters of book.letters.verdicts.values()) verdicts.push(...letters);
    book.letters = noLetters();
    notices.push(...book.conditions.notices.splice(0), ...book.limits.notices.splice(0));
    return result;
  };
  const nameOf = (tenant: string, channel: string) => jobId(tenant, { channel, number: ++numbers, nonce: "000000", at: START });
  /** Sends `count` jobs at once. */
  const send = (tenant: string, tokens: number, count = 1, channel = "c", more: Partial<Ticket> = {}): Sent[] => {
    const tickets = Array.from(
      { length: count },
      (): Ticket => ({
        ...{ job: nameOf(tenant, channel), pool: "p", priority: 0, tokens, acceptedAt: state.now, notBefore: null, deadline: null },
        ...more,
      }),
    );
    const problems = turn((book, now) => enqueue(book, { tenant, channel }, tickets, now));
    return tickets.map(({ job }, index) => ({ job, problem: problems[index]! }));
  };
  return {
    state,
    started,
    verdicts,
    notices,
    turn,
    send,
    /** An answer's headers report this limit, with `left` hundredths of it left. */
    told(limit: number, resource: "requests" | "tokens" = "tokens", left = 99) {
      const told = { limit, remaining: Math.floor((limit * left) / 100), resetMs: 600 * (100 - left) };
      const reading = { pool: "p", job: "none", sentAt: state.now - 50, at: state.now, requests: null, tokens: null, [resource]: told };
      turn((book, now) => read(book, [reading], now));
    },
    /** Ends the job's last call. */
    end(job: string, outcome: Outcome = COMMITTED) {
      const { attempt, dispatcher } = started.filter((each) => each.job === job).at(-1)!;
      const settlements = [{ job, attempt, outcome, headersMs: null }];
      turn((book, now) => settle(book, { dispatcher, boot: "b", settlements }, now, () => 0.5));
    },
    /** Takes turns whenever the coordinator would. */
    passes(until: number) {
      while (state.now < until) {
        state.now = Math.min(until, Math.max(state.now + 1, Math.ceil(book.nextWake())));
        turn(() => {});
      }
    },
    restart() {
      ({ store, book } = open());
    },
    queue: () => inspect(book, state.now).pools[0]!,
    place: (job: string) => placeOf(book, job, state.now),
    standing: (job: string) => standingOf(book, job, state.now),
    why: (job: string) => reasonOf(standingOf(book, job, state.now)!),
    get book() {
      return book;
    },
  };
}
