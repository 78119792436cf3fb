/** What readers were sent of jobs. */
import fc from "fast-check";
import { expect, it } from "vitest";
import { Sent, type SentTo } from "../../policy/sent.ts";

const READERS = 120;
const JOBS = ["a", "b", "c"];
const reader = fc.nat(READERS - 1);
const job = fc.constantFrom(...JOBS);
const seq = fc.integer({ min: 1, max: 20 });
const step = fc.oneof(
  { weight: 4, arbitrary: fc.record({ do: fc.constant("one" as const), reader, job, seq }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant("many" as const), from: reader, to: reader, job, seq }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("leave" as const), from: reader, to: reader }) },
);

// Law: for each reader and each job what was put last, whoever else was sent what, and nothing for who comes in the place of another.
it("each reader's last seq of each job is what was put last, as if each kept it alone", () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const sent = new Sent();
      const readers: SentTo[] = Array.from({ length: READERS }, () => sent.reader());
      const alone = readers.map(() => new Map<string, number>());
      const put = (at: number, name: string, last: number) => {
        readers[at]!.put(name, last);
        alone[at]!.set(name, last);
      };
      for (const each of steps) {
        if (each.do === "one") put(each.reader, each.job, each.seq);
        else if (each.do === "many") for (let at = each.from; at <= each.to; at++) put(at, each.job, each.seq);
        else {
          for (let at = each.from; at <= each.to; at++) {
            readers[at]!.leave();
            readers[at] = sent.reader();
            alone[at] = new Map();
          }
        }
      }
      for (const name of JOBS) expect(readers.map((each) => each.of(name))).toEqual(alone.map((each) => each.get(name)));
    }),
  );
});

it("a reader that has left is sent nothing more, and leaves nothing to whoever comes next", () => {
  const sent = new Sent();
  const [first, other] = [sent.reader(), sent.reader()];
  first.put("a", 1);
  first.leave();
  first.put("a", 2);
  expect(first.of("a")).toBeUndefined();
  other.put("a", 3);
  for (let count = 0; count < 1_000; count++) {
    const next = sent.reader();
    next.put("b", 1);
    expect(next.of("a")).toBeUndefined();
    next.leave();
  }
  expect(other.of("a")).toBe(3);
});

it("beyond the bound of all readers together: the job longest unheard of is forgotten, for all of them", () => {
  const sent = new Sent(3 * 70);
  const [first, other] = [sent.reader(), sent.reader()];
  for (const name of ["a", "b", "c"]) for (const each of [first, other]) each.put(name, 1);
  other.put("a", 2);
  first.put("d", 1);
  expect(["a", "b", "c", "d"].map((name) => [first.of(name), other.of(name)])).toEqual([
    [1, 2],
    [undefined, undefined],
    [1, 1],
    [1, undefined],
  ]);
});

it("nine thousand readers of one channel: two thousand jobs are remembered for each of them", () => {
  const sent = new Sent();
  const readers = Array.from({ length: 9_000 }, () => sent.reader());
  const jobs = Array.from({ length: 2_000 }, (_, number) => `job_${number}`);
  for (const name of jobs) for (const each of readers) each.put(name, 1);
  expect(readers[0]!.of(jobs[0]!)).toBe(1);
  expect(readers.at(-1)!.of(jobs[0]!)).toBe(1);
});

it("readers of a channel each of which lags at a place of its own are bounded too", () => {
  const sent = new Sent(100_000);
  const readers = Array.from({ length: 1_000 }, () => sent.reader());
  for (let number = 0; number < 20; number++) for (const [place, each] of readers.entries()) each.put(`job_${number}`, place + 1);
  const known = Array.from({ length: 20 }, (_, number) => readers.map((each) => each.of(`job_${number}`)));
  expect(known[0]!.every((last) => last === undefined)).toBe(true);
  expect(known.at(-1)).toEqual(readers.map((_, place) => place + 1));
});
