/** Whose turn it is among receivers of webhooks. */
import fc from "fast-check";
import { expect, it } from "vitest";
import { type Pace, Receivers } from "../../policy/webhook/receivers.ts";

/** Events per host by due time, as a mailbox has them, and requests that are answered when the test says so. */
function stage(events: Record<string, number[]> = {}) {
  const receivers = new Receivers();
  const waiting = new Map(Object.entries(events).map(([host, due]) => [host, [...due].sort((a, b) => a - b)]));
  const underway: string[] = [];
  const served: string[] = [];
  const next = (host: string) => receivers.set(host, waiting.get(host)?.[0] ?? null);
  for (const host of waiting.keys()) next(host);
  return {
    receivers,
    underway,
    served,
    add(host: string, at: number) {
      waiting.set(
        host,
        [...(waiting.get(host) ?? []), at].sort((a, b) => a - b),
      );
      receivers.expect(host, at);
    },
    pump(now: number) {
      for (let turn = receivers.pick(now); turn; turn = receivers.pick(now)) {
        const { host, room } = turn;
        const all = waiting.get(host) ?? [];
        const due = all.filter((at) => at <= now).slice(0, room);
        waiting.set(host, all.slice(due.length));
        for (const _ of due) {
          receivers.began(host);
          underway.push(host);
          served.push(host);
        }
        next(host);
      }
    },
    answer(host: string, pace: Pace | null) {
      underway.splice(underway.indexOf(host), 1);
      receivers.ended(host, pace);
      next(host);
    },
    left: () => [...waiting.values()].flat().length,
  };
}

it("what is not due yet waits, and it is known until when", () => {
  const { pump, receivers, served } = stage({ a: [50], b: [20, 30] });
  expect([receivers.next, receivers.busy]).toEqual([20, false]);
  pump(10);
  expect(served).toEqual([]);
  pump(25);
  expect(served).toEqual(["b"]);
  expect([receivers.next, receivers.busy]).toEqual([30, true]);
});

it("hosts with long queues take turns", () => {
  const { answer, pump, served, underway } = stage({ a: Array(20).fill(1), b: Array(20).fill(2), c: [3] });
  for (let n = 0; n < 6; n++) {
    pump(10);
    answer(underway[0]!, "quick");
  }
  expect(served.slice(0, 8)).toContain("c");
});

it("slow ones have two requests together, one each, and a quick one as many as are free", () => {
  const { add, answer, pump, underway } = stage();
  for (const host of ["a", "b", "c", "well"]) {
    add(host, 0);
    pump(0);
    answer(host, host === "well" ? "quick" : "slow");
  }
  for (const [at, host] of ["a", "b", "c", "well"].entries()) for (let n = 0; n < 5; n++) add(host, at + 1);
  pump(9);
  expect([...underway].sort()).toEqual(["a", "b", "well", "well"]);
  answer("a", "slow");
  pump(9);
  expect([...underway].sort()).toEqual(["b", "c", "well", "well"]);
});

it("those of which nothing is known leave one for the quick", () => {
  const { add, answer, pump, underway } = stage();
  add("well", 0);
  pump(0);
  answer("well", "quick");
  for (const host of ["a", "b", "c", "d"]) add(host, 1);
  pump(1);
  expect(underway).toHaveLength(3);
  add("well", 2);
  pump(2);
  expect(underway).toContain("well");
});

it("nothing is open: nobody has a turn, and nothing is ahead", () => {
  const { answer, pump, receivers } = stage({ a: [1] });
  pump(1);
  answer("a", "quick");
  expect([receivers.pick(9), receivers.next, receivers.busy]).toEqual([null, Number.POSITIVE_INFINITY, false]);
});

// Law: whatever comes and however it is answered, nothing stays unsent.
it("everything is sent in the end, never more than four at once, two to a host", () => {
  const host = fc.constantFrom("a", "b", "c", "d", "e", "f");
  const step = fc.oneof(
    fc.record({ do: fc.constant("add" as const), host, delay: fc.nat(5) }),
    fc.record({ do: fc.constant("answer" as const), at: fc.nat(3), pace: fc.constantFrom("quick" as const, "slow" as const, null) }),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const { add, answer, left, pump, served, underway } = stage();
      let now = 0;
      let added = 0;
      const go = () => {
        pump(now);
        const count = (like: (host: string) => boolean) => underway.filter(like).length;
        expect(underway.length).toBeLessThanOrEqual(4);
        for (const each of underway) expect(count((other) => other === each)).toBeLessThanOrEqual(2);
      };
      const reply = (at: number, pace: Pace | null) => {
        const who = underway[at % underway.length];
        if (who === undefined) return;
        answer(who, pace);
      };
      for (const each of steps) {
        now++;
        if (each.do === "add") {
          add(each.host, now + each.delay);
          added++;
        } else reply(each.at, each.pace);
        go();
      }
      now += 10;
      for (let n = 0; n < added * 2 + 8; n++) {
        go();
        reply(0, n % 3 === 0 ? "slow" : "quick");
      }
      expect([left(), served.length]).toEqual([0, added]);
    }),
  );
});
