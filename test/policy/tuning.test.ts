import { describe, expect, it } from "vitest";
import { neverFits, wholeTokens } from "../../policy/budget.ts";
import { greatestBudget, poolBudget } from "../../policy/pools.ts";
import { retuned, tunedPools, UNTUNED } from "../../policy/tuning.ts";
import { PoolsConfig } from "../../schemas/settings.ts";

const pools = PoolsConfig.parse({ mini: { rpm: 60, tpm: 6_000, burst_seconds: 60 }, default: { rpm: 10, tpm: 1_000 } });
let wishes = 0;
const pool = (id: string, set: object, reset = false) => ({ wish: `${wishes++}`, kind: "pool", id, set, reset }) as const;

describe("what operators set", () => {
  it("adds up, wish by wish; what is set of others stays", () => {
    const first = retuned(UNTUNED, pool("mini", { rpm: 30 }));
    const second = retuned(first, pool("default", { tpd: 5 }));
    expect(retuned(second, pool("mini", { rpm: 20, concurrency: null }))).toEqual({
      pools: { mini: { rpm: 20, concurrency: null }, default: { tpd: 5 } },
      tenants: {},
      wishes: [expect.anything(), expect.anything(), expect.anything()],
    });
  });

  it("is set once, however often its wish is repeated, and nothing is where nothing changes", () => {
    const wish = pool("mini", { rpm: 30 });
    const once = retuned(UNTUNED, wish);
    expect(retuned(once, wish)).toBe(once);
    const since = retuned(once, pool("mini", { rpm: 40 }));
    expect(retuned(since, wish)).toBe(since);
    expect(retuned(since, pool("mini", { rpm: 40 }))).toBe(since);
    const later = Array.from({ length: 100 }, (_, rpm) => pool("mini", { rpm: rpm + 1 })).reduce(retuned, since);
    expect(later.wishes.length).toBeLessThan(50);
  });

  it("is gone with a reset, but for what comes with it", () => {
    const set = retuned(UNTUNED, pool("mini", { rpm: 30, rpd: 5 }));
    expect(retuned(set, pool("mini", { tpm: 9 }, true)).pools).toEqual({ mini: { tpm: 9 } });
    expect(retuned(set, pool("mini", {}, true))).toMatchObject({ pools: {}, tenants: {} });
  });

  it("of a tenant and of a pool of one name are two things", () => {
    const set = retuned(retuned(UNTUNED, pool("x", { rpm: 1 })), {
      wish: "own",
      kind: "tenant",
      id: "x",
      set: { weight: 2 },
      reset: false,
    });
    expect(retuned(set, pool("x", {}, true))).toMatchObject({ pools: {}, tenants: { x: { weight: 2 } } });
  });

  it("stands over what is configured, of pools that are", () => {
    const tuned = tunedPools(pools, { pools: { mini: { rpm: 1, rpd: 7 }, gone: { rpm: 1 } } });
    expect(tuned).toEqual({ mini: { ...pools.mini, rpm: 1, rpd: 7 }, default: pools.default });
  });
});

describe("the most that a pool may ever hold", () => {
  const [configured, lowered] = [pools.mini!, { ...pools.mini!, tpm: 600, tpd: 50 }];

  it.each([
    ["lowered", lowered, configured],
    ["raised", configured, lowered],
  ])("%s -> what fits the greater of both", (_, tuned, before) => {
    expect(wholeTokens(greatestBudget(tuned, before))).toBe(wholeTokens(poolBudget(configured)));
    expect(neverFits(greatestBudget(tuned, before), 6_001)?.resource).toBe("tpm");
  });

  it("of one configuration alone -> all of its limits, a day's among them", () => {
    expect(neverFits(greatestBudget(lowered), 51)?.resource).toBe("tpd");
  });
});
