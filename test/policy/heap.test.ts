import fc from "fast-check";
import { expect, it } from "vitest";
import { MinHeap } from "../../policy/heap.ts";

// Law: what comes out is always the least of what is in.
it("a heap gives back the least of what it holds, among equals too", () => {
  const push = fc.record({ do: fc.constant("push" as const), value: fc.integer({ min: 0, max: 20 }) });
  const pop = fc.record({ do: fc.constant("pop" as const) });
  fc.assert(
    fc.property(fc.array(fc.oneof({ weight: 3, arbitrary: push }, { weight: 2, arbitrary: pop }), { maxLength: 200 }), (steps) => {
      const heap = new MinHeap<{ value: number }>((a, b) => a.value < b.value);
      let model: number[] = [];
      for (const step of steps) {
        if (step.do === "push") {
          heap.push({ value: step.value });
          model = [...model, step.value].sort((a, b) => a - b);
        } else {
          expect(heap.pop()?.value).toBe(model.shift());
        }
        expect(heap.size).toBe(model.length);
        expect(heap.peek()?.value).toBe(model[0]);
      }
      while (heap.size > 0) expect(heap.pop()?.value).toBe(model.shift());
      expect(heap.pop()).toBeUndefined();
    }),
    { numRuns: 500 },
  );
});
