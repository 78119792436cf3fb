/** Upstream is down or back again, and answers begin soon and take long: how many calls are made, and when everything runs again. */
import { expect, it } from "vitest";
import { afterBeginning, afterCall, probeAt, type Sign, type Stop } from "../../policy/stop.ts";
import { START } from "./intervals.ts";

const BEGINS_MS = 400;
const HOUR_MS = 3_600_000;
const WHOLE: Sign = { kind: "success" };
const BROKEN: Sign = { kind: "failure", down: true, code: "broken" };

/** Plays an hour, or until the pool runs. `endOf`: how an answer ends, given when it was asked for. */
function play(lastsMs: number, endOf: (askedAt: number) => Sign) {
  let stop: Stop | null = { reason: "failures", code: "500", since: START, failedProbes: 0, nextProbeAt: START, probe: null };
  let begun: { job: string; at: number }[] = [];
  let probe: { job: string; at: number } | null = null;
  let [calls, most, now] = [0, 0, START];
  for (; now < START + HOUR_MS && stop; now += 100) {
    if (probe && now - probe.at >= BEGINS_MS) {
      stop = afterBeginning(stop, probe.job, now);
      begun.push(probe);
      probe = null;
    }
    most = Math.max(most, begun.length);
    for (const { at, job } of begun.filter(({ at }) => now - at >= lastsMs)) stop = stop && afterCall(stop, endOf(at), job, now);
    begun = begun.filter(({ at }) => now - at < lastsMs);
    if (stop && !probe && probeAt(stop) <= now) {
      probe = { job: `j${calls++}`, at: now };
      stop = { ...stop, probe: probe.job };
    }
  }
  return { calls, most, open: stop !== null, seconds: (now - START) / 1_000 };
}

it.each([5_000, 20_000, 60_000, 600_000])("upstream is back, answers take %i ms: the first that is whole lets all run", (lastsMs) => {
  const { open, seconds } = play(lastsMs, () => WHOLE);
  expect(open).toBe(false);
  expect(seconds).toBeLessThan((lastsMs + BEGINS_MS) / 1_000 + 1);
});

it("while the first answer goes on for minutes, others do: more of them the longer none breaks", () => {
  expect(play(60_000, () => WHOLE).calls).toBeGreaterThan(16);
});

it.each([1_000, 5_000, 20_000, 60_000, 300_000])(
  "answers begin and break after %i ms: in an hour a hundred and fifty calls at the most",
  (lastsMs) => {
    const { calls, most, open } = play(lastsMs, () => BROKEN);
    expect(open).toBe(true);
    expect(calls).toBeLessThan(150);
    expect(most).toBeLessThanOrEqual(64);
  },
);

it("answers broke for half an hour: the first that is whole after that lets all run", () => {
  const { open, seconds } = play(60_000, (askedAt) => (askedAt < START + HOUR_MS / 2 ? BROKEN : WHOLE));
  expect(open).toBe(false);
  expect(seconds).toBeLessThan(1_800 + 300);
});
