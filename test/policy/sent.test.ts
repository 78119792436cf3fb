/** What readers were sent for each job. */
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import fc from "fast-check";
import { expect, it, vi } from "vitest";
import { Sent, type SentTo } from "../../policy/sent.ts";
import { Seqs } from "../../policy/seqs.ts";

const READERS = 120;
const JOBS = ["a", "b", "c"];
const reader = fc.nat(READERS - 1);
const job = fc.constantFrom(...JOBS);
const seq = fc.oneof(fc.integer({ min: 0, max: 20 }), fc.nat(300));
const step = fc.oneof(
  { weight: 4, arbitrary: fc.record({ do: fc.constant("one" as const), reader, job, seq }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant("many" as const), from: reader, to: reader, job, seq }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("each" as const), from: reader, to: reader, job, seq }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("end" as const), from: reader, to: reader, job }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("leave" as const), from: reader, to: reader }) },
);

// Law: for each reader and each job, the seq put last, whoever else was sent what; a reader that takes another's place starts with nothing.
it("each reader's last seq of each job is what was put last, as if each kept it alone", () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const sent = new Sent();
      const readers: SentTo[] = Array.from({ length: READERS }, () => sent.reader());
      const alone = readers.map(() => new Map<string, number>());
      const put = (at: number, name: string, last: number, isEnd = false) => {
        readers[at]!.put(name, last, isEnd);
        alone[at]!.set(name, last);
      };
      for (const each of steps) {
        if (each.do === "one") put(each.reader, each.job, each.seq);
        else if (each.do === "many") for (let at = each.from; at <= each.to; at++) put(at, each.job, each.seq);
        else if (each.do === "each") for (let at = each.from; at <= each.to; at++) put(at, each.job, each.seq + at);
        else if (each.do === "end") for (let at = each.from; at <= each.to; at++) put(at, each.job, 1_000, true);
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
  const sent = new Sent(roomOf(3));
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

it("a job that has ended is remembered for a while, for its end may be told once more, and takes no room from those that run", () => {
  const sent = new Sent(roomOf(400));
  const [first, other] = [sent.reader(), sent.reader()];
  const jobs = Array.from({ length: 1_000 }, (_, number) => `job_${number}`);
  for (const each of [first, other]) each.put("running", 7);
  for (const name of jobs) {
    first.put(name, 1);
    first.put(name, 2, true);
    other.put(name, 2, true);
  }
  expect([first.of("running"), other.of("running")]).toEqual([7, 7]);
  const known = jobs.filter((name) => first.of(name) === 2 && other.of(name) === 2);
  expect(known.length).toBeGreaterThan(50);
  expect(known.length).toBeLessThanOrEqual(101);
  expect(known.at(-1)).toBe(jobs.at(-1));
});

it("who is told of a job after its end was told to others: is remembered with them", () => {
  const sent = new Sent();
  const [first, late] = [sent.reader(), sent.reader()];
  late.put("a", 1);
  first.put("a", 3, true);
  expect([first.of("a"), late.of("a")]).toEqual([3, 1]);
  late.put("a", 2);
  expect([first.of("a"), late.of("a")]).toEqual([3, 2]);
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
  const sent = new Sent(50_000);
  const readers = Array.from({ length: 1_000 }, () => sent.reader());
  for (let number = 0; number < 20; number++) for (const [place, each] of readers.entries()) each.put(`job_${number}`, place + 1);
  const known = Array.from({ length: 20 }, (_, number) => readers.map((each) => each.of(`job_${number}`)));
  expect(known[0]!.every((last) => last === undefined)).toBe(true);
  expect(known.at(-1)).toEqual(readers.map((_, place) => place + 1));
});

it("thousands of readers leave an object that remembers many jobs: none of these is looked at", () => {
  const sent = new Sent();
  const stays = sent.reader();
  for (let number = 0; number < 20_000; number++) stays.put(`job_${number}`, 3);
  const leaving = Array.from({ length: 9_000 }, () => sent.reader());
  for (const each of leaving) each.put("job_1", 1);
  const looks = [vi.spyOn(Seqs.prototype, "drop"), vi.spyOn(Seqs.prototype, "put"), vi.spyOn(Seqs.prototype, "of")];
  for (const each of leaving) each.leave();
  expect(looks.map((each) => each.mock.calls.length)).toEqual([0, 0, 0]);
  vi.restoreAllMocks();
  // The readers that take their places, and the one that stays.
  for (let count = 0; count < 9_000; count++) {
    const next = sent.reader();
    next.put("job_2", 1);
    expect(next.of("job_1")).toBeUndefined();
  }
  expect(stays.of("job_1")).toBe(3);
});

it("all readers have left: nothing is remembered", () => {
  const sent = new Sent();
  const readers = Array.from({ length: 3 }, () => sent.reader());
  for (const each of readers) each.put("a", 1);
  for (const each of readers) each.leave();
  expect(sent.bytes).toBe(0);
  const next = sent.reader();
  next.put("b", 2);
  expect([next.of("a"), next.of("b")]).toEqual([undefined, 2]);
});

// What the law of the bound is worth: compares the heap itself with the computed size.
it.each<{ what: string; many: number; jobs: number; last?: number; told: (n: number, reader: number, seq: number) => number | null }>([
  { what: "one reader of more jobs than have room", many: 1, jobs: 30_000, told: () => 3 },
  { what: "one reader of jobs that end", many: 1, jobs: 20_000, last: 4, told: (_, __, seq) => seq },
  { what: "eight readers, each at another seq", many: 8, jobs: 15_000, told: (_, reader) => reader },
  { what: "forty readers, each at another seq", many: 40, jobs: 5_000, told: (_, reader) => reader },
  { what: "a thousand readers, each at another seq", many: 1_000, jobs: 500, told: (_, reader) => reader },
  { what: "a thousand readers of the same", many: 1_000, jobs: 2_000, last: 3, told: (_, __, seq) => seq },
  {
    what: "a thousand readers, each of jobs of its own",
    many: 1_000,
    jobs: 15_000,
    told: (n, reader) => (n % 1_000 === reader ? 1 : null),
  },
])("$what: the heap has grown by what is reckoned at most, and that is bounded", ({ jobs, last = 1, many, told }) => {
  const limit = 4_000_000;
  const readers: SentTo[] = [];
  const before = heap();
  const sent = new Sent(limit);
  for (let count = 0; count < many; count++) readers.push(sent.reader());
  for (let n = 0; n < jobs; n++) {
    const name = `job_11ht1wn1gcmxpmo00wxh7h1_${String(n).padStart(6, "0")}`;
    for (let seq = 1; seq <= last; seq++) {
      for (let at = 0; at < many; at++) {
        const to = told(n, at, seq);
        if (to !== null) readers[at]!.put(name, to, seq === 4);
      }
    }
  }
  expect(sent.bytes).toBeLessThanOrEqual(limit);
  // Readers take some memory themselves, and so does everything else in this process.
  expect((heap() - before) / (sent.bytes + 200_000)).toBeLessThan(1.1);
  expect(readers.length).toBe(many);
});

/** Bytes taken by this many jobs that two readers were told of. */
function roomOf(jobs: number): number {
  const sent = new Sent();
  for (const each of [sent.reader(), sent.reader()]) each.put("a", 1);
  return jobs * sent.bytes;
}

function heap(): number {
  setFlagsFromString("--expose-gc");
  const gc = runInNewContext("gc") as () => void;
  gc();
  gc();
  const { arrayBuffers, heapUsed } = process.memoryUsage();
  return heapUsed + arrayBuffers;
}
