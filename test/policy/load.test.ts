/** How much of one shared memory each of many takes. */
import fc from "fast-check";
import { expect, it } from "vitest";
import { Load } from "../../policy/load.ts";

const load = () => new Load({ each: 100, all: 250 });

it("who takes more than its part is named; others are not", () => {
  const all = load();
  expect(all.add("a", 100, 0)).toBeNull();
  expect(all.add("b", 20, 0)).toBeNull();
  expect(all.add("a", 1, 0)).toBe("a");
  expect(all.add("b", 20, 0)).toBeNull();
});

it("all take too much: whoever takes most is named, not who came last", () => {
  const all = load();
  for (const [who, characters] of [
    ["a", 90],
    ["b", 100],
    ["c", 50],
  ] as const)
    expect(all.add(who, characters, 0)).toBeNull();
  expect(all.add("d", 20, 0)).toBe("b");
});

it("who is let go is not named again, and what it takes counts until it is given back", () => {
  const all = load();
  for (const [who, characters] of [
    ["a", 90],
    ["b", 100],
    ["c", 60],
  ] as const)
    all.add(who, characters, 0);
  expect(all.add("d", 1, 0)).toBe("b");
  all.letGo("b");
  expect(all.add("d", 1, 0)).toBe("a");
  all.take("b", 100);
  expect(all.add("d", 1, 0)).toBeNull();
});

it("who never says that something is gone: it drains with time", () => {
  const all = load();
  expect(all.add("a", 100, 0, 10)).toBeNull();
  expect(all.add("a", 50, 5_000, 10)).toBeNull();
  expect(all.add("a", 51, 10_000, 10)).toBe("a");
  all.drop("a");
  expect(all.add("b", 100, 0, 10)).toBeNull();
  expect(all.add("c", 100, 0, 10)).toBeNull();
  expect(all.add("d", 60, 1_000)).toBeNull();
});

// Law: whoever gave everything back leaves nothing behind.
it("what was taken and given back is nothing in the end", () => {
  const step = fc.record({ who: fc.constantFrom("a", "b", "c"), characters: fc.nat(200), drains: fc.nat(5), give: fc.boolean() });
  fc.assert(
    fc.property(fc.array(step), (steps) => {
      const all = load();
      steps.forEach(({ characters, drains, give, who }, at) => {
        if (give) all.take(who, characters);
        else all.add(who, characters, at * 1_000, drains);
        expect(all.characters).toBeGreaterThanOrEqual(0);
      });
      for (const who of ["a", "b", "c"]) all.drop(who);
      expect(all.characters).toBeCloseTo(0);
    }),
  );
});
