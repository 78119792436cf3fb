/** The two upstreams, each by its own words: what the hour changes, and what their books say. */
import { type Bundle, launch } from "../../scripts/runtime.ts";
import { type Fault, openStub, type Stats as StubStats } from "../stub/server.ts";

export type Limits = { rpm: number; tpm: number };
/** Totals so far. Calls of others are in `others`, `othersTokens` and `othersRefused` alone. */
export type Books = {
  calls: number;
  admitted: number;
  /** Of what was admitted, ours and others'. */
  tokens: number;
  others: number;
  othersTokens: number;
  othersRefused: number;
  own429: number;
  foreign429: number;
  billing429: number;
  slowDown429: number;
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
  /** `day`: requests that are left of a day; null: there is no such limit. */
  limits(limits: Limits, day: number | null): Promise<void>;
  others(usage: Limits | null): Promise<void>;
  halt(on: boolean): Promise<void>;
  /** Whether answers tell of the limits. */
  headers(on: boolean): Promise<void>;
  /** Beyond those that there always are: a share of calls that are paid for and whose gateway gives up, and so many that are told to slow down. */
  faults(gateway: number, slowDown: number): Promise<void>;
  books(): Promise<Books>;
  close(): Promise<void>;
};

export const MODEL = "gpt-5-mini";
const HALT = "credit_balance_exhausted";
/** One call in a hundred fails, one breaks off half-way: outcomes that are known, and some that are not. */
const ONE_IN = 100;

/** Buckets that refill steadily and hold a minute; others call at random times. */
export async function openSimulator(bundle: Bundle, limits: Limits): Promise<Upstream> {
  const faults: object[] = ["500", "break"].map((kind) => ({ kind, probability: 1 / ONE_IN }));
  const settings = { limits: { [MODEL]: limits }, faults };
  const vars = { SIMULATOR_SETTINGS: JSON.stringify(settings) };
  const runtime = await launch({ bundle, port: 0, state: null, vars, health: null });
  const control = (change: object) => post(runtime.url, change);
  return {
    name: "simulator (buckets of a minute)",
    url: runtime.url,
    pool: { burst_seconds: 60 },
    savesSeconds: 60,
    label: (job) => ({ simulate_key: job, simulate_tokens: "40" }),
    limits: (changed, rpd) => control({ limits: { [MODEL]: { ...changed, ...(rpd !== null && { rpd }) } } }),
    others: (usage) => control({ foreign: usage === null ? [] : [{ model: MODEL, ...usage }] }),
    halt: (on) => control({ billing_halt: on ? HALT : null }),
    headers: (on) => control({ rate_headers: on ? "all" : "none" }),
    faults: (gateway, slowDown) =>
      control({ faults: [{ kind: "slow_down", remaining: slowDown }, ...faults, { kind: "504_paid", probability: gateway }] }),
    books: async () => {
      const stats = await get<SimulatorStats>(runtime.url, "/stats?keys=repeated");
      const paid = Object.entries(stats.paid_by_key).filter(([, times]) => times > 1);
      return {
        ...{ calls: stats.calls, admitted: stats.admitted, tokens: stats.tokens_charged },
        ...{ others: stats.foreign.admitted, othersTokens: stats.foreign.tokens_charged, othersRefused: stats.foreign.refused },
        ...{
          own429: stats.caused_429.own,
          foreign429: stats.caused_429.foreign,
          billing429: stats.halted_429,
          slowDown429: stats.by_fault.slow_down ?? 0,
        },
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
  const faults: Fault[] = ["server_error", "cut"].map((kind) => ({ kind, every: ONE_IN }));
  await control({ faults });
  return {
    name: "stub (a log of the last minute)",
    url: stub.url,
    pool: { window_seconds: 60 },
    savesSeconds: 0,
    label: (job) => ({ call: job }),
    limits: (changed, day) => control({ limits: changed, day }),
    others: (usage) => control({ others: usage }),
    halt: (on) => control({ halt: on ? HALT : null }),
    headers: (on) => control({ headers: on }),
    faults: (gateway, slowDown) => {
      const timeouts = gateway > 0 ? [{ kind: "gateway_timeout", every: Math.round(1 / gateway) }] : [];
      return control({ faults: [...faults, ...timeouts, { kind: "slow_down", every: 1, times: slowDown }] });
    },
    books: async () => {
      const stats = await get<StubStats>(stub.url, "/stats");
      return {
        ...{ calls: stats.calls, admitted: stats.admitted, tokens: stats.tokens },
        ...{ others: stats.others_admitted, othersTokens: stats.others_tokens, othersRefused: stats.others_refused },
        ...{ own429: stats.own_429, foreign429: stats.foreign_429, billing429: stats.halted, slowDown429: stats.slowed },
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
  tokens_charged: number;
  by_fault: Record<string, number>;
  foreign: { admitted: number; refused: number; tokens_charged: number };
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
