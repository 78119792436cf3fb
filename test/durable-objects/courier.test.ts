/** How events go to one lobby elsewhere. */
import { beforeEach, describe, expect, it } from "vitest";
import { Courier, type Outage, type Route } from "../../durable-objects/mailbox/courier.ts";
import type { JobEvent } from "../../schemas/event.ts";

let clock = 0;
beforeEach(() => {
  clock = 0;
});

const delta = (n: number, seq: number, text = ""): JobEvent => ({ job: `job_${n}`, seq, event: "delta", data: { chunks: [{ text }] } });

/** A courier whose lobby answers, or fails, when the test says so. */
function courier(
  newest: (n: number) => JobEvent | null = () => null,
  outages: number[] = [],
  open: Route["open"] = () => ({ jobs: [], below: null }),
) {
  const messages: string[][] = [];
  const arrived: string[] = [];
  const wakes: number[] = [];
  const held = { characters: 0, most: Number.POSITIVE_INFINITY };
  const answers: { ok: () => void; fail: () => void }[] = [];
  const made = new Courier({
    relay: (events) => {
      messages.push(events.map(({ job, seq }) => `${job} ${seq}`));
      return new Promise((resolve, reject) => {
        answers.push({ ok: () => resolve(1), fail: () => reject(new Error("deaf")) });
      });
    },
    newest,
    open,
    firstSince: () => Number.POSITIVE_INFINITY,
    arrived: (n, { seq }) => arrived.push(`${n} ${seq}`),
    failed: ({ since }) => outages.push(since),
    recovered: () => {},
    holds: (more) => {
      held.characters += more;
    },
    room: () => held.most - held.characters,
    now: () => clock,
    background: () => {},
    wakeBy: (at) => wakes.push(at),
  });
  /** Answers the message that is in flight, and lets the courier act on the answer. */
  const answer = async (how: "ok" | "fail") => {
    answers.shift()![how]();
    for (let turn = 0; turn < 5; turn++) await Promise.resolve();
  };
  return { made, messages, arrived, wakes, answer, held };
}

it("an event that comes alone goes at once; what comes while it is under way goes together after it, in order", async () => {
  const { made, messages, arrived, answer } = courier();
  const told = [made.bring(1, delta(1, 1)), made.bring(2, delta(2, 1)), made.bring(1, delta(1, 2))];
  expect(messages).toEqual([["job_1 1"]]);
  await answer("ok");
  expect(messages).toEqual([["job_1 1"], ["job_2 1", "job_1 2"]]);
  expect(arrived).toEqual(["1 1"]);
  await answer("ok");
  expect(await Promise.all(told)).toEqual([1, 1, 1]);
  expect(arrived).toEqual(["1 1", "2 1", "1 2"]);
  expect(made.idle).toBe(true);
});

it("a lobby that does not take events -> tried again after growing pauses, with the newest of each job, and nothing goes meanwhile", async () => {
  const last = new Map([
    [1, delta(1, 1)],
    [2, delta(2, 1)],
  ]);
  const { made, messages, wakes, answer } = courier((n) => last.get(n) ?? null);
  const told = [made.bring(1, last.get(1)!), made.bring(2, last.get(2)!)];
  await answer("fail");
  expect(await Promise.all(told)).toEqual([0, 0]);
  last.set(1, delta(1, 2));
  expect(await made.bring(1, last.get(1)!)).toBe(0);
  for (const [count, pause] of [1_000, 2_000, 4_000, 8_000].entries()) {
    expect(made.resumesAt).toBe(clock + pause);
    expect(wakes).toContain(clock + pause);
    clock += pause - 1;
    made.go();
    expect(messages).toHaveLength(count + 1);
    clock++;
    made.go();
    expect(messages.at(-1)!.sort()).toEqual(["job_1 2", "job_2 1"]);
    await answer("fail");
  }
  clock += 16_000;
  made.go();
  await answer("ok");
  expect(made.idle).toBe(true);
});

it("pauses grow no longer than five minutes", async () => {
  const { made, answer } = courier(() => delta(1, 1));
  made.bring(1, delta(1, 1));
  for (let count = 0; count < 30; count++) {
    await answer("fail");
    clock = made.resumesAt!;
    made.go();
  }
  await answer("fail");
  expect(made.resumesAt).toBe(clock + 300_000);
});

it("what sleep must not forget: since when the lobby may lack events, and how long it is left alone; until it was told everything", async () => {
  const kept: (Outage | null)[] = [];
  let reached = false;
  const route = {
    relay: async () => {
      if (!reached) throw new Error("deaf");
      return 1;
    },
    newest: (n: number) => (n === 1 ? delta(1, 5) : null),
    firstSince: () => 5,
    open: () => ({ jobs: [], below: null }),
    ...{ arrived: () => {}, holds: () => {}, room: () => Number.POSITIVE_INFINITY, background: () => {}, wakeBy: () => {} },
    failed: (outage: Outage) => kept.push(outage),
    recovered: () => kept.push(null),
    now: () => clock,
  };
  const settled = async () => {
    for (let turn = 0; turn < 10; turn++) await Promise.resolve();
  };
  clock = 10;
  const made = new Courier(route);
  void made.bring(1, delta(1, 5));
  await settled();
  clock += 1_000;
  made.go();
  await settled();
  expect(kept).toEqual([
    { since: 10, failures: 1, until: 1_010 },
    { since: 10, failures: 2, until: 3_010 },
  ]);
  const next = new Courier(route, kept[1]);
  next.bringNewest([1]);
  expect(next.resumesAt).toBe(3_010);
  clock = 3_010;
  next.go();
  await settled();
  expect(kept[2]).toEqual({ since: 10, failures: 3, until: 7_010 });
  clock = 7_010;
  reached = true;
  next.go();
  await settled();
  expect(kept[3]).toBe(null);
  const idle = new Courier(route, kept[2]);
  idle.bringNewest([]);
  expect(kept[4]).toBe(null);
});

it("what sleep must not forget: since when the lobby may lack events that were let go before a message failed", async () => {
  const since: number[] = [];
  const { made, answer } = courier((n) => delta(n, 99), since);
  void made.bring(9, delta(9, 1));
  clock = 100;
  void made.bring(1, delta(1, 2));
  for (let seq = 1; seq <= 9; seq++) void made.bring(2, delta(2, seq, "x".repeat(1_000_000)));
  clock = 5_000;
  await answer("ok");
  await answer("fail");
  clock = made.resumesAt!;
  made.go();
  await answer("fail");
  expect(since).toEqual([100, 100]);
});

it("more than a message holds -> the next brings it", async () => {
  const { made, messages, answer } = courier();
  for (let seq = 1; seq <= 7; seq++) made.bring(1, delta(1, seq, "x".repeat(1_000_000)));
  for (let count = 0; count < 3; count++) await answer("ok");
  expect(messages).toEqual([["job_1 1"], ["job_1 2", "job_1 3", "job_1 4", "job_1 5"], ["job_1 6", "job_1 7"]]);
  expect(made.idle).toBe(true);
});

it("more than may wait for a lobby is held no longer: it is told the newest of each job", async () => {
  const text = "x".repeat(1_000_000);
  const { made, messages, answer } = courier((n) => delta(n, 9_999));
  made.bring(1, delta(1, 1));
  made.bring(3, delta(3, 1, text));
  for (let seq = 1; seq <= 7; seq++) made.bring(2, delta(2, seq, text));
  made.bring(2, delta(2, 8));
  await answer("ok");
  expect(messages[1]!.sort()).toEqual(["job_2 9999", "job_3 9999"]);
});

it("many jobs of which much is to be told: a message holds a part of them, the next the rest", async () => {
  const { made, messages, answer, held } = courier((n) => delta(n, 1, "x".repeat(1_500_000)));
  made.bringNewest([1, 2, 3, 4]);
  expect(held.characters).toBeGreaterThan(4_500_000);
  await answer("ok");
  await answer("ok");
  expect(held.characters).toBe(0);
  expect(messages).toEqual([["job_1 1", "job_2 1", "job_3 1"], ["job_4 1"]]);
  expect(made.idle).toBe(true);
});

it("very many jobs: a message looks up some of them, the next the rest, and those that are followed no more count for nothing", async () => {
  const { made, messages, answer } = courier((n) => (n > 300 ? delta(n, 1) : null));
  made.bringNewest(Array.from({ length: 900 }, (_, index) => index + 1));
  for (let count = 0; count < 3; count++) await answer("ok");
  expect(messages.map(({ length }) => length)).toEqual([250, 250, 100]);
  expect(made.idle).toBe(true);
});

it("a job that the lobby follows no more is left out", async () => {
  const { made, messages } = courier((n) => (n === 2 ? delta(2, 1) : null));
  made.bringNewest([1, 2]);
  expect(messages).toEqual([["job_2 1"]]);
});

it("what stands for events that were let go says since when: a lobby that slept knows nothing else of it", async () => {
  let last = delta(1, 1);
  const since: (number | undefined)[] = [];
  const made = new Courier({
    relay: async (events) => {
      since.push(...events.map((event) => event.since));
      if (since.length < 4) throw new Error("deaf");
      return 1;
    },
    newest: () => last,
    open: () => ({ jobs: [], below: null }),
    firstSince: () => Number.POSITIVE_INFINITY,
    arrived: () => {},
    failed: () => {},
    recovered: () => {},
    holds: () => {},
    room: () => Number.POSITIVE_INFINITY,
    now: () => clock,
    background: () => {},
    wakeBy: () => {},
  });
  const settled = async () => {
    for (let turn = 0; turn < 10; turn++) await Promise.resolve();
  };
  for (const seq of [5, 6, 7]) {
    last = delta(1, seq);
    void made.bring(1, last);
    await settled();
    clock += 60_000;
    made.go();
    await settled();
  }
  expect(since).toEqual([undefined, 4, 4, 4]);
});

it("little room is left for all lobbies -> smaller messages, of one event at least", async () => {
  const { made, messages, answer, held } = courier((n) => delta(n, 1, "x".repeat(1_500_000)));
  held.most = 1_000_000;
  made.bringNewest([1, 2]);
  expect(messages).toEqual([["job_1 1"]]);
  await answer("ok");
  held.characters = 2_000_000;
  await answer("ok");
  expect(messages).toEqual([["job_1 1"], ["job_2 1"]]);
});

it.each(["ok", "fail"] as const)("what is held is given back when the message is over (%s)", async (how) => {
  const { made, answer, held } = courier(() => null);
  for (let seq = 1; seq <= 3; seq++) made.bring(1, delta(1, seq, "x".repeat(1_000)));
  expect(held.characters).toBeGreaterThan(2_000);
  await answer(how);
  if (how === "ok") await answer("ok");
  expect(held.characters).toBe(0);
});

describe("what a lobby may lack of any job is looked for as it is told", () => {
  /** A mailbox of this many jobs, all of which the lobby may lack; a stretch is ten jobs. */
  function search(jobs: number, outages: number[] = [], followed = (_: number) => true) {
    const stretches: number[] = [];
    const open = (since: number, before: number) => {
      stretches.push(before);
      expect(since).toBe(5);
      const below = Math.max(1, before - 10);
      return { jobs: Array.from({ length: before - below }, (_, index) => before - 1 - index), below: below === 1 ? null : below };
    };
    const stage = courier((n) => (followed(n) ? delta(n, 9) : null), outages, open);
    clock = 100;
    stage.made.search(5, jobs + 1);
    return { ...stage, stretches };
  }
  /** Waits for `count` messages. Each stretch takes a turn of its own. */
  const sent = async (messages: string[][], count: number) => {
    // Waits for turns of the event loop, not for time: their number is under test.
    for (let turn = 0; turn < 1_000 && messages.length < count; turn++) await new Promise((done) => setTimeout(done, 0));
    expect(messages).toHaveLength(count);
  };

  it("the newest first, as many as a message holds; and the next once it has arrived, to the first of all", async () => {
    const { made, messages, answer, stretches } = search(1_000);
    expect(messages).toEqual([]);
    await sent(messages, 1);
    expect(messages[0]).toHaveLength(250);
    expect(messages[0]!.slice(0, 2)).toEqual(["job_1000 9", "job_999 9"]);
    expect(stretches).toHaveLength(25);
    expect(made.settled).toBe(false);
    for (let count = 1; count < 4; count++) {
      await answer("ok");
      await sent(messages, count + 1);
    }
    await answer("ok");
    expect(messages.flat()).toHaveLength(1_000);
    expect(messages.at(-1)!.at(-1)).toBe("job_1 9");
    expect(made.idle).toBe(true);
  });

  it("of a job that it has not come to, what happens meanwhile is told by its newest event; of one that came later, as it comes", async () => {
    const { made, messages, answer } = search(1_000);
    await sent(messages, 1);
    void made.bring(1, delta(1, 9));
    void made.bring(1_001, delta(1_001, 1));
    await answer("ok");
    await sent(messages, 2);
    expect(messages[1]!.slice(0, 2)).toEqual(["job_1001 1", "job_1 9"]);
  });

  it("which are many that it does not follow: those that it does are found behind them", async () => {
    const { made, messages, answer } = search(1_000, [], (n) => n < 10);
    await sent(messages, 1);
    expect(messages[0]!.at(-1)).toBe("job_1 9");
    await answer("ok");
    expect(made.idle).toBe(true);
  });

  it("what happens meanwhile does not wait for the end of the search", async () => {
    const { made, messages, stretches } = search(100_000, [], () => false);
    void made.bring(100_001, delta(100_001, 1));
    await sent(messages, 1);
    expect(messages).toEqual([["job_100001 1"]]);
    expect(stretches.length).toBeLessThan(50);
  });

  it.each([100, 1_000])("it cannot be told: it lacks all from then on, however far the search came (%s jobs)", async (jobs) => {
    const outages: number[] = [];
    const { made, messages, answer } = search(jobs, outages);
    await sent(messages, 1);
    await answer("fail");
    expect(outages).toEqual([5]);
    expect(made.settled).toBe(true);
    expect(made.idle).toBe(false);
  });
});
