import { describe, expect, it } from "vitest";
import { LOADS, POOL } from "./loads.ts";
import { runSluice, type Scene } from "./run.ts";

const SCALE = { rpm: 3_000, tpm: 6_000_000 };
const scene = (more: Partial<Scene> & Pick<Scene, "rule" | "load" | "headers">): Scene => ({
  ...{ scale: SCALE, minutes: 5, seed: 1, learns: true },
  ...more,
});
const run = (more: Parameters<typeof scene>[0]) => {
  const { report, sluice, world } = runSluice(scene(more));
  const { bursts } = sluice.book.limits.of(POOL)!;
  return { report, learned: sluice.bursts, burst: [bursts.seconds("requests"), bursts.seconds("tokens")], world };
};

describe("a pool that was not told how much may be spent at once", () => {
  it.each(LOADS)("%s, a minute's bucket whose headers show it: learned, nothing is refused, drained as soon as the sums allow", (load) => {
    const { burst, report } = run({ rule: "bucket 60 s", load, headers: "true", minutes: 10 });
    expect(report).toMatchObject({ refused: 0, done: report.jobs, twice: 0 });
    expect(Math.max(...burst)).toBe(60);
    // The quiet tenant's jobs keep coming until the end of the ten minutes, whatever went before.
    if (load !== "noisy neighbour") expect(report.drain).toBeLessThan(1.02);
  });

  it.each(
    (["bucket 10 s", "bucket 1 s"] as const).flatMap((rule) => (["true", "none"] as const).map((headers) => [rule, headers] as const)),
  )("%s, headers: %s -> stays at a second, and nothing is refused", (rule, headers) => {
    for (const load of ["big first", "shuffled"] as const) {
      const { burst, report } = run({ rule, load, headers });
      expect(report).toMatchObject({ refused: 0, done: report.jobs });
      expect(burst).toEqual([1, 1]);
      expect(report.utilisation).toBeGreaterThan(0.995);
    }
  });

  it("a minute's bucket that no header shows: a second, at the whole rate", () => {
    const { burst, report } = run({ rule: "bucket 60 s", load: "shuffled", headers: "none" });
    expect(report).toMatchObject({ refused: 0, done: report.jobs });
    expect(report.utilisation).toBeGreaterThan(0.995);
    expect(burst).toEqual([1, 1]);
  });
});

describe("headers of a minute's bucket, of an upstream that has a shorter one", () => {
  it.each([
    ["bucket 1 s", 50],
    ["bucket 10 s", 500],
  ] as const)("%s: a part of what it holds, of %i calls, is refused, and then it goes on at the whole rate", (rule, size) => {
    for (const load of ["big first", "shuffled", "steady"] as const) {
      const { report } = run({ rule, load, headers: "minute" });
      expect(report.refused).toBeGreaterThan(0);
      expect(report.refused).toBeLessThan(size * 0.4);
      expect(report).toMatchObject({ done: report.jobs, twice: 0 });
      expect(report.utilisation).toBeGreaterThan(0.99);
    }
  });

  it("for half a day, a minute's work each five minutes: it is tried six times more, ever more seldom", () => {
    const half = { load: "in bursts", scale: { rpm: 600, tpm: 1_200_000 }, minutes: 720 } as const;
    const { learned, report } = run({ rule: "bucket 1 s", headers: "minute", ...half });
    const cuts = learned.filter(({ level, resource }) => level === "warn" && resource === "requests").map(({ at }) => at / 60_000);
    expect(cuts.map(Math.round)).toEqual([0, 10, 30, 70, 150, 310, 630]);
    expect(report.refused).toBeLessThan(5 * cuts.length);
    expect(report.done).toBe(report.jobs);
  });

  it("written, a minute: the first refusals cut it, where they went on for ever", () => {
    const half = { load: "in bursts", scale: { rpm: 600, tpm: 1_200_000 }, minutes: 120, learns: { burst_seconds: 60 } } as const;
    const [told, untold] = (["minute", "none"] as const).map((headers) => run({ rule: "bucket 1 s", headers, ...half }));
    expect(told!.report).toMatchObject({ done: told!.report.jobs });
    // No headers: nothing shows why calls are refused.
    expect(untold!.burst).toEqual([60, 60]);
    expect(told!.report.refused).toBeLessThan(untold!.report.refused / 5);
    expect(told!.burst[0]).toBe(1);
  });
});
