import fc from "fast-check";
import { expect, it } from "vitest";
import { RankedHeap } from "../../policy/heap.ts";

type Item = { value: number; place: number };
const open = () =>
  new RankedHeap<Item>(
    ({ value }) => value,
    ({ place }) => place,
    (item, place) => {
      item.place = place;
    },
  );

const value = fc.integer({ min: 0, max: 20 });
const which = fc.nat(1_000);
const step = fc.oneof(
  { weight: 4, arbitrary: fc.record({ do: fc.constant("place" as const), value }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("pop" as const) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("remove" as const), which }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("change" as const), which, value }) },
);

// Law: what comes out is always the least of what is in, whatever was removed or changed meanwhile. Each item knows its place, and a walk sees all items in
// order.
it("a heap gives back the least of what it holds, among equals too", () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
      const heap = open();
      const items: Item[] = [];
      const least = () => Math.min(...items.map((item) => item.value));
      for (const step of steps) {
        const item = "which" in step ? items[step.which % items.length] : undefined;
        if (step.do === "place") {
          const fresh = { value: step.value, place: -1 };
          items.push(fresh);
          heap.place(fresh);
        } else if (step.do === "pop") {
          const expected = least();
          const popped = heap.pop();
          if (!popped) expect(items).toEqual([]);
          else expect(items.splice(items.indexOf(popped), 1)[0]!.value).toBe(expected);
        } else if (item && step.do === "remove") {
          heap.remove(item);
          items.splice(items.indexOf(item), 1);
          heap.remove(item);
        } else if (item && step.do === "change") {
          item.value = step.value;
          heap.place(item);
        }
        expect(heap.size).toBe(items.length);
        expect(new Set(heap)).toEqual(new Set(items));
        if (items.length > 0) expect(heap.peek()!.value).toBe(least());
        expect(items.map(({ place }) => place).sort((a, b) => a - b)).toEqual(items.map((_, index) => index));
        const inOrder = items.map((each) => each.value).sort((a, b) => a - b);
        expect(heap.second()?.value).toBe(inOrder[1]);
        const walk = heap.walk();
        for (const expected of [...inOrder, undefined]) {
          expect(walk.next()?.value).toBe(expected);
        }
      }
    }),
    { numRuns: 500 },
  );
});
