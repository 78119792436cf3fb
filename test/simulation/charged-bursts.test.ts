/**
 * Law: beside a flow that has a backlog, a tenant that comes with a few jobs at a time has half of what starts while it waits, each time that it comes, and no
 * more, whatever becomes of its calls.
 */
import { expect, it } from "vitest";
import type { Outcome } from "../../schemas/rpc.ts";
import { openWorld } from "./served.ts";

const R = 10_000;
/** 600 such calls a minute. */
const POOL = { rpm: 60_000, tpm: 6_000_000, burst_seconds: 1, ramp_tpm: null };
const CALL_MS = 20_000;
const TIMES = 4;
const problem = { status: 504, type: "server_error", code: "timeout", message: "late", param: null };
const UNTOLD: Outcome = { kind: "committed", usage: null };
const UNANSWERED: Outcome = { kind: "retryable", unknown: true, retryAfterMs: null, problem };

type OutcomeOf = (nth: number) => Outcome | number;
const onceLittle =
  (since: Outcome): OutcomeOf =>
  (nth) =>
    nth <= 100 ? R / 4 : since;
const KINDS: [string, OutcomeOf][] = [
  ["use all", () => R],
  ["used a quarter a hundred times, and are all cancelled since", onceLittle({ kind: "aborted" })],
  ["used a quarter a hundred times, and of which nothing is told since", onceLittle(UNTOLD)],
  ["used a quarter a hundred times, and of which none is answered since", onceLittle(UNANSWERED)],
];

/** One tenant comes with `comes` jobs at once, again and again, and one always waits. Returns what each starts while both wait. */
function startsOf(comes: number, outcomes: { bursty: OutcomeOf; steady: OutcomeOf }) {
  const bursty = { reserves: R, keeps: 20, callMs: CALL_MS, outcome: outcomes.bursty };
  const { desk, play, starts } = openWorld(POOL, { bursty, steady: { ...bursty, keeps: 100, outcome: outcomes.steady } });
  play(60_000, { tickMs: 100 });
  bursty.keeps = 0;
  play(60_000, { tickMs: 100 });
  const counts = { bursty: 0, steady: 0 };
  for (let time = 0; time < TIMES; time++) {
    const before = { ...starts };
    bursty.keeps = comes;
    play(100, { tickMs: 100 });
    bursty.keeps = 0;
    while (desk.book.pools.get("p")!.order.lanes.get("bursty")!.size > 0) play(100, { tickMs: 100 });
    counts.bursty += starts.bursty! - before.bursty!;
    counts.steady += starts.steady! - before.steady!;
    play(45_000, { tickMs: 100 });
  }
  return counts;
}

it.each(KINDS)(
  "who comes with twenty beside a backlog of calls that %s: has half while it waits",
  (_, steady) => {
    const counts = startsOf(20, { bursty: () => R, steady });
    expect(counts.steady / counts.bursty).toBeLessThanOrEqual(1.3);
  },
  30_000,
);

it.each(KINDS)(
  "who comes with a hundred calls that %s, beside a backlog of such as use all: has half while it waits",
  (_, bursty) => {
    const counts = startsOf(100, { bursty, steady: () => R });
    expect(counts.bursty / counts.steady).toBeLessThanOrEqual(1.3);
  },
  30_000,
);
