/** What is let go to find out whether a lowered limit is back must not stop what fits. */
import { describe, expect, it } from "vitest";
import { openDesk, START } from "./desk.ts";

const MINUTE = 60_000;

describe("a job too large for a lowered limit was let go to see, and refused", () => {
  it("where upstream counts in windows what fits starts within minutes", () => {
    const desk = openDesk({ rpm: 600, tpm: 1_000_000, window_seconds: 60, ramp_tpm: null });
    desk.told(10_000);
    const [large] = desk.send("a", 600_000);
    desk.state.now += 500;
    desk.end(large!.job, { kind: "rate_limited", retryAfterMs: null });
    const [small] = desk.send("b", 100);
    const from = desk.state.now;
    desk.passes(from + 180 * MINUTE);
    const at = desk.started.find(({ job }) => job === small!.job)?.at ?? Number.POSITIVE_INFINITY;
    expect((at - from) / MINUTE).toBeLessThan(5);
  });
});

describe("a job that is larger than a limit that was lowered waits, and is refused each time that it is let go to see", () => {
  it.each([2, 4, 10])("to a %i th: small jobs of others, one in ten seconds, start within seconds", (part) => {
    const desk = openDesk({ rpm: 600, tpm: 1_000_000, ramp_tpm: null });
    const waits: number[] = [];
    const sent = new Map<string, number>();
    let seen = 0;
    let large = "";
    const hear = () => {
      for (; seen < desk.started.length; seen++) {
        const { at, job } = desk.started[seen]!;
        if (job !== large) waits.push((at - sent.get(job)!) / 1_000);
        desk.end(job, job === large ? { kind: "rate_limited", retryAfterMs: null } : undefined);
      }
    };
    desk.told(1_000_000 / part);
    for (let second = 0; second < 3_600; second += 10) {
      desk.passes(START + second * 1_000);
      if (second === 60) large = desk.send("a", 600_000)[0]!.job;
      hear();
      const [small] = desk.send("b", 1_000);
      sent.set(small!.job, desk.state.now);
      hear();
      // Answers keep reporting the limit.
      desk.told(1_000_000 / part);
    }
    waits.sort((a, b) => a - b);
    expect(waits[Math.floor(waits.length * 0.9)]).toBeLessThan(20);
  });
});
