import { describe, expect, it } from "vitest";
import { openBudget, reserve } from "../../policy/budget.ts";
import { durationText } from "../../policy/duration.ts";
import { shareOf } from "../../policy/share.ts";

const NOW = 4_000_000_000_000;
const limits = { rpm: 60, tpm: 6_000, rpd: null, tpd: null, concurrency: null, burstSeconds: 60, transitMs: 0 };
const none = openBudget({ ...limits, rpm: null, tpm: null });

describe("a tenant's share", () => {
  it("of a full pool is all of it", () => {
    const share = shareOf(openBudget(limits), none, NOW);
    expect(share.requests).toEqual({ limit: 60, remaining: 60, resetMs: 0 });
    expect(share.tokens).toEqual({ limit: 6_000, remaining: 6_000, resetMs: 0 });
  });

  it("falls with what was reserved, comes back with time, and is never below nothing", () => {
    const pool = openBudget(limits);
    reserve(pool, 3_000, NOW);
    expect(shareOf(pool, none, NOW)).toEqual({
      requests: { limit: 60, remaining: 59, resetMs: 1_000 },
      tokens: { limit: 6_000, remaining: 3_000, resetMs: 30_000 },
    });
    expect(shareOf(pool, none, NOW + 15_000).tokens).toEqual({ limit: 6_000, remaining: 4_500, resetMs: 15_000 });
    reserve(pool, 5_000, NOW + 15_000);
    expect(shareOf(pool, none, NOW + 15_000).tokens!.remaining).toBe(0);
  });

  it("is the tenant's own limit where that is less", () => {
    const own = openBudget({ ...limits, rpm: 6, tpm: null });
    expect(shareOf(openBudget(limits), own, NOW)).toMatchObject({ requests: { limit: 6, remaining: 6 }, tokens: { limit: 6_000 } });
  });

  it("no limit -> nothing to tell", () => {
    expect(shareOf(none, none, NOW)).toEqual({ requests: null, tokens: null });
  });
});

it.each([
  [0, "0s"],
  [9, "9ms"],
  [1_200, "1.2s"],
  [60_000, "1m0s"],
  [360_000, "6m0s"],
  [3_600_000, "1h0m0s"],
  [86_399_999, "23h59m59.999s"],
])("%i ms are written %s, as OpenAI does", (ms, text) => {
  expect(durationText(ms)).toBe(text);
});
