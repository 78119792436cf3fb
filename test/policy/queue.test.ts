import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Queue, type Waiting } from "../../policy/queue.ts";

let arrivals = 0;
const waiting = (effectiveAt: number, arrival = arrivals++): Waiting => ({
  job: `job_${arrival}`,
  tenant: "t",
  flow: "t",
  tokens: 1,
  priority: 0,
  effectiveAt,
  since: effectiveAt,
  arrival,
});

type Step =
  | { do: "add"; at: number }
  | { do: "back"; which: number }
  | { do: "takeFirst"; times: number }
  | { do: "remove" | "rank"; which: number }
  | { do: "removeAll"; which: number; count: number; apart: number };
const which = fc.nat(1_000_000);
/** Few distinct instants, so that ties are common. */
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 6, arbitrary: fc.record({ do: fc.constant("add" as const), at: fc.oneof(fc.nat(5), fc.nat(1_000), fc.constant(500)) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("back" as const), which }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant("takeFirst" as const), times: fc.nat(5) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("remove" as const), which }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("rank" as const), which }) },
  {
    weight: 1,
    arbitrary: fc.record({ do: fc.constant("removeAll" as const), which, count: fc.nat(9), apart: fc.integer({ min: 1, max: 3 }) }),
  },
);

/** The law spelt out: a plain array, sorted by effective time, then by arrival. */
class Model {
  items: Waiting[] = [];
  add(item: Waiting): void {
    const later = this.items.findIndex(
      (each) => each.effectiveAt > item.effectiveAt || (each.effectiveAt === item.effectiveAt && each.arrival > item.arrival),
    );
    this.items.splice(later < 0 ? this.items.length : later, 0, item);
  }
  remove(item: Waiting): boolean {
    const known = this.items.includes(item);
    this.items = this.items.filter((each) => each !== item);
    return known;
  }
}

describe("a queue", () => {
  it("starts jobs in the order of their effective times, and of their arrival where those tie", () => {
    const queue = new Queue();
    const [late, early, tied] = [waiting(20), waiting(10), waiting(10)];
    for (const each of [late, tied, early]) queue.add(each);
    expect([...queue]).toEqual([early, tied, late]);
    expect(queue.first()).toBe(early);
  });

  it("gives a job that comes back its old place", () => {
    const queue = new Queue();
    const [first, second] = [waiting(1), waiting(2)];
    queue.add(first);
    queue.add(second);
    expect(queue.takeFirst()).toBe(first);
    queue.add(first);
    expect(queue.rank(first)).toBe(0);
  });

  it("has nothing to give when it is empty, and can be filled again", () => {
    const queue = new Queue();
    expect([queue.first(), queue.takeFirst(), queue.size]).toEqual([undefined, undefined, 0]);
    const [late, early] = [waiting(9), waiting(1)];
    queue.add(late);
    queue.takeFirst();
    queue.add(early);
    expect([...queue]).toEqual([early]);
  });

  it("does not mistake another job of the same place for the one to remove", () => {
    const queue = new Queue();
    queue.add(waiting(5, 7));
    expect(queue.remove(waiting(5, 7))).toBe(false);
    expect(queue.remove(waiting(6, 8))).toBe(false);
    expect(queue.size).toBe(1);
  });

  // Law: whatever is added and removed, the queue is the sorted array of what waits.
  it("is a sorted array, whatever is added, taken and removed", () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 200 }), (steps) => agree(steps)),
      { numRuns: 500 },
    );
  });

  it("is a sorted array after thousands were taken", () => {
    const many = Array.from({ length: 3_000 }, (_, index): Step => ({ do: "add", at: index - (index % 7) }));
    const drain = Array.from({ length: 280 }, (): Step => ({ do: "takeFirst", times: 5 }));
    fc.assert(
      fc.property(fc.array(step, { maxLength: 50 }), fc.array(step, { maxLength: 50 }), (between, after) => {
        agree([...many, ...drain, ...between, ...drain, ...after]);
      }),
      { numRuns: 20 },
    );
  });
});

function agree(steps: Step[]): void {
  const queue = new Queue();
  const model = new Model();
  const gone: Waiting[] = [];
  for (const step of steps) {
    if (step.do === "add") {
      const item = waiting(step.at);
      queue.add(item);
      model.add(item);
    } else if (step.do === "takeFirst") {
      for (let time = 0; time < step.times; time++) {
        const taken = queue.takeFirst();
        expect(taken).toBe(model.items.shift());
        if (taken) gone.push(taken);
      }
    } else if (step.do === "back") {
      const item = gone.splice(step.which % Math.max(1, gone.length), 1)[0];
      if (!item) continue;
      queue.add(item);
      model.add(item);
    } else if (step.do === "removeAll") {
      // Some that wait, adjacent or not, and one that was taken before.
      const from = step.which % Math.max(1, model.items.length);
      const some = model.items.slice(from).filter((_, index) => index % step.apart === 0);
      const items = [...some.slice(0, step.count), ...gone.slice(0, 1)];
      queue.removeAll(items);
      for (const item of items) model.remove(item);
    } else {
      // One that waits, or one that was taken before.
      const item = [...model.items, ...gone.slice(0, 3)][step.which % Math.max(1, model.items.length + Math.min(3, gone.length))];
      if (!item) continue;
      const rank = model.items.indexOf(item);
      if (rank >= 0) expect(queue.rank(item)).toBe(rank);
      if (step.do === "remove") expect(queue.remove(item)).toBe(model.remove(item));
    }
    expect(queue.size).toBe(model.items.length);
    expect(queue.first()).toBe(model.items[0]);
  }
  expect([...queue]).toEqual(model.items);
}
