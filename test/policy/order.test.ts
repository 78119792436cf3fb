import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Order } from "../../policy/order.ts";
import type { Waiting } from "../../policy/queue.ts";
import { alike, always, drain, equal, even, filled, gate, job, tenants } from "./lanes.ts";

const startsOf = (tenant: string, jobs: Waiting[]): number => jobs.filter((each) => each.tenant === tenant).length;

describe("an order", () => {
  it("takes tenants in turn, however many jobs the one of them sent first", () => {
    const order = filled([..."aaaa", ..."bb"].map((tenant) => job(tenant)));
    expect(tenants(drain(order))).toBe("ababaa");
  });

  it("gives a tenant of weight 3 three starts for each of another's", () => {
    const order = filled(
      [..."aaaaaaaabbbbbbbb"].map((tenant) => job(tenant)),
      (tenant) => (tenant === "b" ? 3 : 1),
    );
    expect(startsOf("b", drain(order).slice(0, 8))).toBe(6);
  });

  it("lets a tenant of large jobs start fewer of them", () => {
    const order = filled([job("a", 4), job("a", 4), ...[..."bbbbbbbb"].map((tenant) => job(tenant))]);
    expect(tenants(drain(order))).toBe("abbbbabbbb");
  });

  it("stops at a job that must wait for the pool: nobody overtakes it", () => {
    const order = filled([..."aabb"].map((tenant) => job(tenant)));
    const asked: string[] = [];
    const full = ({ tenant }: Waiting) => {
      asked.push(tenant);
      return "pool" as const;
    };
    expect(order.next(gate(full))).toBeNull();
    expect(asked).toEqual(["a"]);
    expect(tenants(drain(order))).toBe("abab");
  });

  it("owes a returning tenant nothing for the time that it was away", () => {
    const order = filled([job("a"), ...Array.from({ length: 200 }, () => job("b"))]);
    for (let start = 0; start < 100; start++) order.next(gate(always));
    for (let index = 0; index < 50; index++) order.add(job("a"));
    expect(startsOf("a", drain(order).slice(0, 10))).toBeLessThanOrEqual(6);
  });

  it("owes nothing to a tenant that took its jobs back meanwhile", () => {
    const [first, ...rest] = Array.from({ length: 100 }, () => job("b"));
    const waiting = job("a");
    const order = filled([first!, waiting, ...rest]);
    order.remove(waiting);
    for (let start = 0; start < 50; start++) order.next(gate(always));
    for (let index = 0; index < 50; index++) order.add(job("a"));
    expect(startsOf("a", drain(order).slice(0, 10))).toBeLessThanOrEqual(6);
  });

  it("counts the cost that a job turned out not to have from the tenant's next start", () => {
    const order = filled([..."aaaaabbbbb"].map((tenant) => job(tenant, 4)));
    expect(order.next(gate(always))?.tenant).toBe("a");
    order.credit("a", 4);
    // Neither has used anything. The credit counts from a's next start: that start is charged next to nothing, so more of a's jobs follow soon.
    expect(tenants(drain(order).slice(0, 5))).toBe("babaa");
  });

  it("does not carry a credit over idleness: the charge was forgiven on return", () => {
    const order = filled([job("a", 50), ...Array.from({ length: 300 }, () => job("b"))]);
    expect(order.next(gate(always))?.tenant).toBe("a");
    for (let start = 0; start < 200; start++) order.next(gate(always));
    order.credit("a", 49);
    for (let index = 0; index < 60; index++) order.add(job("a"));
    expect(startsOf("a", drain(order).slice(0, 10))).toBeLessThanOrEqual(6);
  });

  it("lets who comes start at once, and one in nine, while others have much to get back", () => {
    const order = filled([..."aaaaaaaaaa", ..."aaaaaaaaaa"].map((tenant) => job(tenant, 4)));
    for (let start = 0; start < 10; start++) order.next(gate(always));
    const come = [job("b", 4), job("b", 4), job("b", 4)];
    for (const each of come) order.add(each);
    order.credit("a", 32);
    expect(come.map((each) => order.position(each, even(4)))).toEqual([1, 3, 12]);
    expect(tenants(drain(order).slice(0, 12))).toBe("babaaaaaaaab");
  });

  it("lets a tenant whose calls took more than they were charged for pay for it at its next start", () => {
    const jobs = [..."aaaabbbbbbbbbb"].map((tenant) => job(tenant));
    const order = filled(jobs);
    const first = order.next(gate(always));
    order.credit("a", -4);
    const told = new Map(jobs.map((each) => [each, order.position(each, even(1))]));
    const rest = drain(order);
    expect(first?.tenant + tenants(rest.slice(0, 8))).toBe("ababbbbba");
    expect(rest.map((each) => told.get(each))).toEqual(rest.map((_, index) => index + 1));
  });

  it("forgets a job that others were let ahead of when it goes to rest", () => {
    const order = new Order(equal, ({ tokens }) => (tokens > 5 ? "tokens" : "requests"));
    const [big, small] = [job("a", 9), job("a", 1)];
    for (const each of [big, small]) order.add(each);
    const lacksTokens = gate(({ tokens }) => (tokens > 5 ? "tokens" : "start"));
    expect(order.next(lacksTokens)).toBe(small);
    const run = {
      size: 1,
      first: big,
      last: big,
      firstOf: { requests: null, tokens: big },
      sizeOf: (kind: string) => (kind === "tokens" ? 1 : 0),
      before: () => 0,
    };
    order.rest("a", [big], run);
    expect(order.size).toBe(1);
    expect(order.next(gate(always))).toBeNull();
    order.wake("a", [big], run);
    expect(order.next(gate(always))).toBe(big);
  });

  // A limit changed by upstream can make another resource the scarcer one for jobs that are already waiting.
  it("starts each job once, and lets go of those that are taken back, whatever kind they have become meanwhile", () => {
    const step = fc.record({ tenant: fc.constantFrom("a", "b"), cost: fc.integer({ min: 1, max: 9 }), back: fc.boolean() });
    fc.assert(
      fc.property(
        fc.array(step, { minLength: 1, maxLength: 40 }),
        fc.integer({ min: 1, max: 9 }),
        fc.integer({ min: 1, max: 9 }),
        (steps, before, after) => {
          let most = before;
          const order = new Order(equal, ({ tokens }) => (tokens > most ? "tokens" : "requests"));
          const jobs = steps.map(({ tenant, cost }) => job(tenant, cost));
          for (const each of jobs) order.add(each);
          most = after;
          const back = jobs.filter((_, index) => steps[index]!.back);
          for (const each of back) order.remove(each);
          const started: Waiting[] = [];
          for (let next = order.next(gate(always)); next && started.length <= jobs.length; next = order.next(gate(always)))
            started.push(next);
          expect(started.map(({ arrival }) => arrival).sort((x, y) => x - y)).toEqual(
            jobs.filter((each) => !back.includes(each)).map(({ arrival }) => arrival),
          );
          expect(order.size).toBe(0);
        },
      ),
    );
  });
});

type Step =
  | { do: "add"; tenant: number; cost: number; effectiveAt: number; times: number }
  | { do: "start"; times: number }
  | { do: "take back"; which: number }
  | { do: "cap" | "uncap"; tenant: number }
  | { do: "credit"; which: number; share: number };

const TENANTS = ["a", "b", "c", "d", "e"];
const tenant = fc.nat(TENANTS.length - 1);
const weights = fc.array(fc.integer({ min: 1, max: 5 }), { minLength: TENANTS.length, maxLength: TENANTS.length });
const add = fc.record({
  do: fc.constant("add" as const),
  tenant,
  cost: fc.oneof(fc.constantFrom(1, 100), fc.double({ min: 0.01, max: 100, noNaN: true })),
  effectiveAt: fc.nat(3),
  times: fc.integer({ min: 1, max: 20 }),
});
const start = fc.record({ do: fc.constant("start" as const), times: fc.integer({ min: 1, max: 15 }) });
const takeBack = fc.record({ do: fc.constant("take back" as const), which: fc.nat(10_000) });
const cap = fc.record({ do: fc.constantFrom("cap" as const, "uncap" as const), tenant });
const credit = fc.record({ do: fc.constant("credit" as const), which: fc.nat(10_000), share: fc.double({ min: 0, max: 1, noNaN: true }) });
const anyStep: fc.Arbitrary<Step> = fc.oneof(
  { weight: 4, arbitrary: add },
  { weight: 5, arbitrary: start },
  { weight: 2, arbitrary: takeBack },
  { weight: 1, arbitrary: cap },
  { weight: 2, arbitrary: credit },
);

type Watch = {
  /** At each start: the job chosen, and the tenants that could have been. */
  started?: (tenant: string, waiting: Waiting, order: Order, mayStart: string[]) => void;
  /** After each step. */
  stepped?: (order: Order) => void;
  /** Before the remaining jobs are drained. */
  ended?: (order: Order, waiting: Waiting[]) => void;
};

/** Plays the steps against plain lists of waiting jobs, and checks that nothing is lost, doubled or taken out of its tenant's order. */
function play(weights: number[], steps: Step[], watch: Watch = {}): Waiting[] {
  const order = new Order((name) => weights[TENANTS.indexOf(name)]!, alike);
  const waiting = new Map<string, Waiting[]>(TENANTS.map((each) => [each, []]));
  const capped = new Set<string>();
  const charged: { tenant: string; left: number }[] = [];
  for (const step of steps) {
    if (step.do === "cap") capped.add(TENANTS[step.tenant]!);
    if (step.do === "uncap" && capped.delete(TENANTS[step.tenant]!)) order.readmit(TENANTS[step.tenant]!);
    if (step.do === "add") {
      for (let time = 0; time < step.times; time++) {
        const each = job(TENANTS[step.tenant]!, step.cost, step.effectiveAt);
        order.add(each);
        waiting.get(each.tenant)!.push(each);
        waiting.get(each.tenant)!.sort((a, b) => a.effectiveAt - b.effectiveAt || a.arrival - b.arrival);
      }
    }
    if (step.do === "take back") {
      const all = [...waiting.values()].flat();
      const each = all[step.which % Math.max(1, all.length)];
      if (each) {
        order.remove(each);
        waiting.set(
          each.tenant,
          waiting.get(each.tenant)!.filter((other) => other !== each),
        );
      }
    }
    if (step.do === "credit" && charged.length > 0) {
      const [from] = charged.splice(step.which % charged.length, 1);
      order.credit(from!.tenant, from!.left * step.share);
    }
    if (step.do === "start") {
      for (let time = 0; time < step.times; time++) {
        const mayStart = TENANTS.filter((each) => waiting.get(each)!.length > 0 && !capped.has(each));
        const before = new Map([...order.lanes].map(([name, lane]) => [name, lane.virtual]));
        const next = order.next(gate(({ tenant }) => (capped.has(tenant) ? "lane" : "start")));
        if (!next) {
          expect(mayStart).toEqual([]);
          break;
        }
        // The chosen tenant has the least virtual time of those that may start, and the job is its first.
        expect(mayStart).toContain(next.tenant);
        expect(before.get(next.tenant)).toBe(Math.min(...mayStart.map((each) => before.get(each)!)));
        expect(waiting.get(next.tenant)!.shift()).toBe(next);
        charged.push({ tenant: next.tenant, left: next.tokens });
        watch.started?.(next.tenant, next, order, mayStart);
      }
    }
    expect(order.size).toBe([...waiting.values()].flat().length);
    watch.stepped?.(order);
  }
  watch.ended?.(order, [...waiting.values()].flat());
  for (const each of capped) order.readmit(each);
  const rest = drain(order);
  expect(new Set(rest)).toEqual(new Set([...waiting.values()].flat()));
  expect(rest.length).toBe([...waiting.values()].flat().length);
  return rest;
}

describe("random histories", () => {
  // Law: nothing is lost, nothing starts twice, capped tenants hold nobody back, and the least served is next.
  it("start each job once, the least served tenant's first", () => {
    fc.assert(
      fc.property(weights, fc.array(anyStep, { maxLength: 60 }), (weights, steps) => {
        play(weights, steps);
      }),
      { numRuns: 1_000 },
    );
  });

  // Law (promise 5): over every stretch in which two tenants have work waiting, what each started, divided by weight, differs by at most one largest
  // job of each. Tenants that come back from idleness are held to it from their return on: no back pay.
  it("serve two tenants with work waiting alike, to a job of each", () => {
    const plain = fc.oneof({ weight: 4, arbitrary: add }, { weight: 5, arbitrary: start }, { weight: 1, arbitrary: takeBack });
    fc.assert(
      fc.property(weights, fc.array(plain, { maxLength: 60 }), (weights, steps) => {
        const served = new Map(TENANTS.map((each) => [each, 0]));
        const largest = new Map(TENANTS.map((each) => [each, 0]));
        /** For each pair: the difference at each look since both have had work waiting. */
        const stretches = new Map<string, number[]>();
        const weightOf = (each: string) => weights[TENANTS.indexOf(each)]!;
        const look = (order: Order) => {
          for (const a of TENANTS) {
            for (const b of TENANTS.filter((each) => each > a)) {
              const both = [a, b].every((each) => (order.lanes.get(each)?.size ?? 0) > 0);
              if (!both) stretches.delete(a + b);
              else stretches.set(a + b, [...(stretches.get(a + b) ?? []), served.get(a)! / weightOf(a) - served.get(b)! / weightOf(b)]);
              const stretch = stretches.get(a + b) ?? [0];
              const gap = Math.max(...stretch) - Math.min(...stretch);
              expect(gap).toBeLessThanOrEqual(largest.get(a)! / weightOf(a) + largest.get(b)! / weightOf(b) + 1e-6);
            }
          }
        };
        play(weights, steps, {
          started: (tenant, { tokens }, order) => {
            served.set(tenant, served.get(tenant)! + tokens);
            largest.set(tenant, Math.max(largest.get(tenant)!, tokens));
            look(order);
          },
          stepped: look,
        });
      }),
      { numRuns: 500 },
    );
  });

  it("serve tenants that begin together alike, to one largest job", () => {
    const costs = fc.array(fc.double({ min: 0.01, max: 100, noNaN: true }), { minLength: 1, maxLength: 60 });
    fc.assert(
      fc.property(weights, costs, costs, (weights, first, second) => {
        const order = filled(
          [...first.map((cost) => job("a", cost)), ...second.map((cost) => job("b", cost))],
          (each) => weights[TENANTS.indexOf(each)]!,
        );
        const most = Math.max(...first, ...second);
        const served = { a: 0, b: 0 } as Record<string, number>;
        while (["a", "b"].every((each) => order.lanes.get(each)!.size > 0)) {
          const next = order.next(gate(always))!;
          served[next.tenant] = served[next.tenant]! + next.tokens / weights[TENANTS.indexOf(next.tenant)]!;
          expect(Math.abs(served.a! - served.b!)).toBeLessThanOrEqual(most + 1e-9);
        }
      }),
      { numRuns: 500 },
    );
  });

  // Law: a tenant that always has work waiting is charged what it used. After a credit, it starts next only if nobody has used less by then.
  it("honour a credit to the full and no further", () => {
    const uses = fc.array(fc.tuple(fc.nat(1), fc.double({ min: 0, max: 1, noNaN: true })), { minLength: 1, maxLength: 80 });
    fc.assert(
      fc.property(uses, fc.integer({ min: 1, max: 5 }), fc.integer({ min: 1, max: 5 }), (uses, first, second) => {
        const weightOf = (each: string) => (each === "a" ? first : second);
        const order = filled(
          [..."ab"].flatMap((each) => Array.from({ length: 90 }, () => job(each, 10))),
          weightOf,
        );
        const used = { a: 0, b: 0 } as Record<string, number>;
        for (const [settles, share] of uses) {
          const next = order.next(gate(always))!;
          used[next.tenant] = used[next.tenant]! + 10 / weightOf(next.tenant);
          if (!settles) continue;
          order.credit(next.tenant, 10 * share);
          used[next.tenant] = used[next.tenant]! - (10 * share) / weightOf(next.tenant);
        }
        for (const each of ["a", "b"]) expect(order.lanes.get(each)!.virtual - order.lanes.get(each)!.credit).toBeCloseTo(used[each]!, 6);
        const [ahead, behind] = used.a! > used.b! ? ["a", "b"] : ["b", "a"];
        expect(used[ahead!]! - used[behind!]!).toBeLessThanOrEqual(10 / weightOf(ahead!) + 10 / weightOf(behind!) + 1e-9);
      }),
      { numRuns: 500 },
    );
  });
});

describe("a position", () => {
  it("tells tenants that came together one from the other", () => {
    const jobs = [..."abcde"].map((each) => job(each));
    const order = filled(jobs);
    expect(jobs.map((each) => order.position(each, even(1)))).toEqual([1, 2, 3, 4, 5]);
  });

  it("of a job that nobody holds is the first", () => {
    expect(new Order(equal, alike).position(job("a"), even(1))).toBe(1);
  });

  // Law: while jobs cost the same and nothing else comes or goes, a position is the number of starts up to and including the job's own.
  it.each([
    { name: "of equal weights", weights: fc.constant<number[]>([1, 1, 1, 1, 1]) },
    { name: "of weights whose shares are exact", weights: fc.array(fc.constantFrom(1, 2, 4), { minLength: 5, maxLength: 5 }) },
  ])("among tenants $name is the place at which the job starts", ({ weights }) => {
    const same = anyStep.map((step): Step => {
      if (step.do === "add") return { ...step, cost: 4 };
      return step.do === "credit" ? { ...step, share: Math.round(step.share * 4) / 4 } : step;
    });
    fc.assert(
      fc.property(weights, fc.array(same, { maxLength: 40 }), (weights, steps) => {
        const places = new Map<Waiting, number>();
        const rest = play(weights, steps, {
          ended: (order, waiting) => {
            for (const each of waiting) places.set(each, order.position(each, even(4)));
          },
        });
        expect(rest.map((each) => places.get(each))).toEqual(rest.map((_, index) => index + 1));
      }),
      { numRuns: 1_000 },
    );
  });
});
