import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { pack, unpack } from "../../platform/table.ts";

/** The list as it arrives at another object. */
const sent = <T>(list: T[]): T[] => unpack(structuredClone(pack(list)));
/** Everything there is to a value, including the order of its fields, which equality ignores. */
const spelt = (value: unknown): unknown => {
  if (typeof value !== "object" || value === null) return [typeof value, Object.is(value, -0) ? "-0" : String(value)];
  return [Array.isArray(value), ...Object.entries(value).map(([field, each]) => [field, spelt(each)])];
};
const asCloned = (list: unknown[]): void => {
  expect(spelt(sent(list))).toEqual(spelt(structuredClone(list)));
};

const value = fc.oneof(fc.constantFrom(null, undefined, true, 0, -0, Number.NaN, "", "a"), fc.integer(), fc.string());
const field = fc.oneof(fc.constantFrom("a", "b", "1", "0", "__proto__", "constructor", "one", "each", "fields"), fc.string());
const tree = fc.letrec((tie) => ({
  any: fc.oneof({ depthSize: "small", withCrossShrink: true }, value, fc.array(tie("any"), { maxLength: 3 }), tie("object")),
  object: fc.dictionary(field, tie("any"), { maxKeys: 4, noNullPrototype: true }),
}));

describe("a table of like objects", () => {
  it("is unpacked as what structured clone makes of the list, whatever is in it", () => {
    fc.assert(fc.property(fc.array(tree.any!), asCloned));
  });

  it("so too where all have the same fields, with the same or other values", () => {
    const shape = fc.tuple(
      fc.uniqueArray(field, { minLength: 1, maxLength: 5 }),
      fc.array(fc.array(tree.any!, { minLength: 5, maxLength: 5 })),
    );
    const listOf = ([fields, rows]: [string[], unknown[][]]) =>
      rows.map((row) => Object.fromEntries(fields.map((each, at) => [each, row[at]])));
    fc.assert(fc.property(shape.map(listOf), asCloned));
  });

  it("one object that lacks a field, or has one more, stays as it is", () => {
    asCloned([{ a: 1, b: 2 }, { a: 1 }, { a: 1, b: 2, c: 3 }, { b: 2, a: 1 }]);
  });

  it("names each field once, however many objects", () => {
    const text = JSON.stringify(pack(Array.from({ length: 100 }, (_, n) => ({ same: "x", other: n, inner: { deep: n } }))));
    for (const name of ["same", "other", "inner", "deep"]) expect(text.split(`"${name}"`)).toHaveLength(2);
  });

  it("two rows do not share what was two objects", () => {
    const [one, two] = sent([{ inner: { a: 1 } }, { inner: { a: 1 } }]);
    expect(one!.inner).not.toBe(two!.inner);
  });
});
