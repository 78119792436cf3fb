import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { matches, poolOf } from "../../policy/pools.ts";
import { PoolsConfig } from "../../schemas/settings.ts";

const pools = (models: Record<string, string[]>): PoolsConfig =>
  PoolsConfig.parse(Object.fromEntries(Object.entries(models).map(([pool, models]) => [pool, { models, rpm: 1, tpm: 1 }])));

describe("the pool of a model", () => {
  it.each<[string, Record<string, string[]>, string, string | null]>([
    ["named outright", { a: ["gpt-5"], b: ["gpt-4"] }, "gpt-5", "a"],
    ["by a pattern", { a: ["gpt-5*"] }, "gpt-5-mini-2025", "a"],
    ["by a pattern with nothing left to stand for", { a: ["gpt-5*"] }, "gpt-5", "a"],
    ["by the longer pattern, whichever comes first", { a: ["gpt-5*"], b: ["gpt-5-mini*"] }, "gpt-5-mini-2025", "b"],
    ["by the longer pattern, whichever comes first", { b: ["gpt-5-mini*"], a: ["gpt-5*"] }, "gpt-5-mini-2025", "b"],
    ["by its very name before a pattern of the same letters", { b: ["gpt-5*"], a: ["gpt-5"] }, "gpt-5", "a"],
    ["by its very name before a pattern of the same letters", { a: ["gpt-5"], b: ["gpt-5*"] }, "gpt-5", "a"],
    ["by a pattern for all, before the default", { all: ["*"], default: [] }, "o9", "all"],
    ["default, where no pattern fits", { a: ["gpt-5"], default: [] }, "gpt-4", "default"],
    ["default by its own pattern", { a: ["gpt*"], default: ["gpt-4"] }, "gpt-4", "default"],
    ["none, where no pattern fits and there is no default", { a: ["gpt-5"] }, "gpt-5-mini", null],
    ["none for a model named like a property of objects", { a: ["gpt-5"] }, "toString", null],
    ["by case", { a: ["gpt-5"] }, "GPT-5", null],
  ])("is found %s (%o, %s)", (_, models, model, pool) => {
    expect(poolOf(pools(models), model)).toBe(pool);
  });

  // Law: no pool is chosen while another has a more specific pattern that fits.
  it("has the most specific of all patterns that fit", () => {
    const name = fc.string({ unit: fc.constantFrom("a", "b", "-"), minLength: 1, maxLength: 4 });
    const pattern = fc.tuple(name, fc.constantFrom("", "*")).map((parts) => parts.join(""));
    const config = fc.dictionary(fc.constantFrom("p", "q", "r"), fc.array(pattern, { maxLength: 4 }), { minKeys: 1 });
    fc.assert(
      fc.property(config, name, (written, model) => {
        // A pattern belongs to one pool only.
        const seen = new Set<string>();
        const fresh = (each: string) => !seen.has(each) && seen.add(each);
        const models = Object.fromEntries(Object.entries(written).map(([pool, patterns]) => [pool, patterns.filter(fresh)]));
        // The fewer names a pattern allows, the more specific it is: the exact name first, then by the length of the fixed part.
        const says = (each: string) => (each === model ? Number.POSITIVE_INFINITY : each.length - 1);
        const fits = Object.entries(models).flatMap(([pool, patterns]) =>
          patterns.filter((each) => matches(each, model)).map((each) => ({ pool, each })),
        );
        const most = Math.max(...fits.map(({ each }) => says(each)));
        const chosen = poolOf(pools(models), model);
        if (fits.length === 0) expect(chosen).toBeNull();
        else expect(fits.filter(({ each }) => says(each) === most).map(({ pool }) => pool)).toContain(chosen);
      }),
      { numRuns: 500 },
    );
  });
});
