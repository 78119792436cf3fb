import { describe, expect, it } from "vitest";
import { leastJain, quietBesideNoisy } from "./fairness.ts";

const SCALE = { rpm: 3_000, tpm: 15_000_000 };

describe("tenants that all wait, with jobs of unlike sizes", () => {
  it.each([2, 4, 8].flatMap((tenants) => [1, 2].map((seed) => [tenants, seed] as const)))(
    "%i of them: in every minute Jain's index of their service in what is scarce to them is 0.9999 or more (seed %i)",
    (tenants, seed) => expect(leastJain(tenants, SCALE, seed, 2)).toBeGreaterThanOrEqual(0.9999),
  );
});

describe("a quiet tenant beside one with a thousand times its load", () => {
  it("waits no longer than alone and for one job's service", () => {
    const { aloneMs, besideMs, serviceMs } = quietBesideNoisy({ rpm: 1_200, tpm: 2_400_000 }, 1, 3);
    expect(besideMs).toBeGreaterThan(aloneMs);
    expect(besideMs).toBeLessThanOrEqual(1.05 * aloneMs + serviceMs);
  });
});
