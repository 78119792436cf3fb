/** A limit that upstream lowers while it is fully used: what was spent of the higher limit may be owed, and no header shows whether it is. */
import { describe, expect, it } from "vitest";
import { proven } from "../../durable-objects/coordinator/condition/learn.ts";
import type { Outcome } from "../../schemas/rpc.ts";
import { COMMITTED, openDesk } from "./desk.ts";

const REFUSED: Outcome = { kind: "rate_limited", retryAfterMs: null };
const RPM = 600;
/** How long a call takes, ms. */
const CALL_MS = 1_000;

type Cut = { resource?: "requests" | "tokens"; to?: number; pool?: object; tokens?: number };

/**
 * A pool at its full rate for a minute and a half, whose limit is then cut in half. `outcome`: how each call ends that starts after the cut, given how long
 * after it started, ms.
 */
function cutByHalf(outcome: (afterMs: number) => Outcome, { resource = "requests", to = RPM / 2, pool = {}, tokens = 100 }: Cut = {}) {
  const desk = openDesk({ rpm: RPM, tpm: 6_000_000, ramp_tpm: null, ...pool });
  desk.send("a", tokens, 2_500);
  let ended = 0;
  let cutAt = Number.POSITIVE_INFINITY;
  const runs = (seconds: number) => {
    for (const until = desk.state.now + seconds * 1_000; desk.state.now < until; ) {
      desk.passes(desk.state.now + 100);
      for (; ended < desk.started.length && desk.started[ended]!.at <= desk.state.now - CALL_MS; ended++) {
        const { at, job } = desk.started[ended]!;
        desk.end(job, at > cutAt ? outcome(at - cutAt) : COMMITTED);
      }
    }
  };
  runs(90);
  cutAt = desk.state.now;
  desk.told(to, resource, 0);
  const gone = () => desk.started.flatMap(({ at }) => (at > cutAt ? (at - cutAt) / 1_000 : []));
  return { ...desk, cutAt, gone, runs };
}

describe("a limit cut by half at full use", () => {
  it.each<[string, Cut]>([
    ["requests", {}],
    ["tokens", { resource: "tokens", to: 60_000, pool: { tpm: 120_000 }, tokens: 200 }],
  ])("owed by nobody -> one call goes to see in two seconds, and the pool goes on at half of its rate: %s", (_, cut) => {
    const { gone, runs } = cutByHalf(() => COMMITTED, cut);
    runs(2.9);
    expect(gone()).toEqual([2]);
    runs(27.1);
    expect(gone().length).toBeGreaterThan(0.95 * 27 * 5);
    expect(gone().length).toBeLessThan(1.05 * 27 * 5);
  });

  it("owed -> three calls or fewer are refused until it is paid off, each later than the one before", () => {
    const { gone, runs } = cutByHalf((afterMs) => (afterMs > 57_000 ? COMMITTED : REFUSED));
    runs(57);
    expect(gone()).toEqual([2, 8, 26]);
    runs(30);
    expect(gone().length).toBeGreaterThan(0.9 * 27 * 5);
  });

  it("a call that goes to see and lasts long is known to be taken as soon as its answer begins", () => {
    const { gone, runs, started, state, turn } = cutByHalf(() => COMMITTED);
    runs(2);
    const { attempt, dispatcher, job } = started.at(-1)!;
    turn((book) => proven(book, dispatcher, job, attempt, state.now + 100));
    runs(0.9);
    expect(gone().length).toBeGreaterThan(3);
  });

  it("calls from before the cut say nothing, though they are taken", () => {
    const { gone, runs } = cutByHalf(() => COMMITTED);
    runs(1.9);
    expect(gone()).toEqual([]);
  });

  it("what was found not to be owed is not owed to a coordinator that begins anew", () => {
    const { gone, restart, runs } = cutByHalf(() => COMMITTED);
    runs(5);
    const before = gone().length;
    restart();
    runs(15);
    expect(gone().length - before).toBeGreaterThan(0.6 * 15 * 5);
  });

  it("a coordinator that begins anew does not ask any sooner", () => {
    const { gone, restart, runs } = cutByHalf(() => REFUSED);
    runs(9);
    restart();
    runs(16);
    expect(gone()).toEqual([2, 8]);
    runs(2);
    expect(gone()).toEqual([2, 8, 26]);
  });
});
