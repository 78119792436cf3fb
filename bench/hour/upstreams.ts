/** The two upstreams, each by its own words: what the hour changes, and what their books say. */
import { type Bundle, launch } from "../../scripts/runtime.ts";
import { openStub, type Stats as StubStats } from "../stub/server.ts";

export type Limits = { rpm: number; tpm: number };
/** Totals so far. Calls of others are in `others` and `othersRefused` alone. */
export type Books = {
  calls: number;
  admitted: number;
  others: number;
  othersRefused: number;
  own429: number;
  foreign429: number;
  billing429: number;
  /** By job: how often the model worked for it, where it was more than once. */
  paidAgain: ReadonlyMap<string, number>;
};

export type Upstream = {
  name: string;
  url: string;
  /** Beyond rpm and tpm, what an operator sets for the pool to match how this upstream counts. */
  pool: object;
  /** What of a full minute's limit is there at the start and comes back in idle times, seconds. */
  savesSeconds: number;
  /** What a job's request carries so that the books know it. */
  label(job: string): Record<string, string>;
  limits(limits: Limits): Promise<void>;
  others(usage: Limits | null): Promise<void>;
  halt(on: boolean): Promise<void>;
  books(): Promise<Books>;
  close(): Promise<void>;
};

export const MODEL = "gpt-5-mini";
const HALT = "credit_balance_exhausted";
/** One call in a hundred fails, one breaks off half-way: outcomes that are known, and some that are not. */
const ONE_IN = 100;

/** Buckets that refill steadily and hold a minute; others call at random times. */
export async function openSimulator(bundle: Bundle, limits: Limits): Promise<Upstream> {
  const faults = ["500", "break"].map((kind) => ({ kind, probability: 1 / ONE_IN }));
  const settings = { limits: { [MODEL]: limits }, faults };
  const vars = { SIMULATOR_SETTINGS: JSON.stringify(settings) };
  const runtime = await launch({ bundle, port: 0, state: null, vars, health: null });
  const control = (change: object) => post(runtime.url, change);
  return {
    name: "simulator (buckets of a minute)",
    url: runtime.url,
    pool: {},
    savesSeconds: 60,
    label: (job) => ({ simulate_key: job, simulate_tokens: "40" }),
    limits: (changed) => control({ limits: { [MODEL]: changed } }),
    others: (usage) => control({ foreign: usage === null ? [] : [{ model: MODEL, ...usage }] }),
    halt: (on) => control({ billing_halt: on ? HALT : null }),
    books: async () => {
      const stats = await get<SimulatorStats>(runtime.url, "/stats?keys=repeated");
      const paid = Object.entries(stats.paid_by_key).filter(([, times]) => times > 1);
      return {
        ...{ calls: stats.calls, admitted: stats.admitted, others: stats.foreign.admitted, othersRefused: stats.foreign.refused },
        ...{ own429: stats.caused_429.own, foreign429: stats.caused_429.foreign, billing429: stats.halted_429 },
        paidAgain: new Map(paid),
      };
    },
    close: () => runtime.stop(),
  };
}

/** A log of the last minute; others call like a clock; refused calls count. Configured as docs/operating.md says for windows. */
export async function openSecond(limits: Limits): Promise<Upstream> {
  const stub = await openStub(limits);
  const control = (change: object) => post(stub.url, change);
  await control({ faults: ["server_error", "cut"].map((kind) => ({ kind, every: ONE_IN })) });
  return {
    name: "stub (a log of the last minute)",
    url: stub.url,
    pool: { window_seconds: 60 },
    savesSeconds: 0,
    label: (job) => ({ call: job }),
    limits: (changed) => control({ limits: changed }),
    others: (usage) => control({ others: usage }),
    halt: (on) => control({ halt: on ? HALT : null }),
    books: async () => {
      const stats = await get<StubStats>(stub.url, "/stats");
      return {
        ...{ calls: stats.calls, admitted: stats.admitted, others: stats.others_admitted, othersRefused: stats.others_refused },
        ...{ own429: stats.own_429, foreign429: stats.foreign_429, billing429: stats.halted },
        paidAgain: new Map(Object.entries(stats.paid_more_than_once)),
      };
    },
    close: async () => stub.close(),
  };
}

type SimulatorStats = {
  calls: number;
  admitted: number;
  caused_429: { own: number; foreign: number };
  halted_429: number;
  foreign: { admitted: number; refused: number };
  paid_by_key: Record<string, number>;
};

async function get<T>(url: string, path: string): Promise<T> {
  return (await fetch(url + path)).json() as Promise<T>;
}

async function post(url: string, change: object): Promise<void> {
  const answer = await fetch(`${url}/control`, { method: "POST", body: JSON.stringify(change) });
  if (answer.status !== 200) throw new Error(`${url} does not obey ${JSON.stringify(change)}: ${await answer.text()}`);
  await answer.text();
}
