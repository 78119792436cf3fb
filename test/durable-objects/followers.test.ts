/** Who is told of a mailbox's events when many follow it. */
import { beforeEach, describe, expect, it } from "vitest";
import { Followers, WHOLE_CHANNEL } from "../../durable-objects/mailbox/followers.ts";
import type { MailboxStore } from "../../durable-objects/mailbox/store/store.ts";
import { jobId } from "../../platform/ids.ts";
import type { JobEvent } from "../../schemas/event.ts";

let clock = 0;
beforeEach(() => {
  clock = 0;
});

const delta = (n: number, seq: number, text = ""): JobEvent => ({ job: `job_${n}`, seq, event: "delta", data: { chunks: [{ text }] } });
const marks = { mark: () => 0, putMark: () => {} };

it("a mailbox that wakes while lobbies are left alone looks no job up; which events each may lack is found when it is told", async () => {
  const read: number[] = [];
  const told: Record<string, string[]> = {};
  const outages = [10, 20].map((since) => ({ lobby: `alice/since-${since}`, since, failures: 1, until: 1_000 }));
  const open = [
    { n: 3, at: 5, streams: true },
    { n: 2, at: 30, streams: false },
    { n: 1, at: 10, streams: false },
  ];
  const asked: number[] = [];
  const store = {
    ...{ followers: () => [], owed: () => [], putFollower: () => {}, ...marks, newest: () => ({ n: 3, accepted_at: 0 }) },
    outages: {
      ...{ all: () => outages, put: () => {}, drop: () => {} },
      openJobs: (since: number) => {
        asked.push(since);
        return { jobs: open.flatMap(({ at, n, streams }) => (at >= since || streams ? n : [])), below: null };
      },
    },
    job: (n: number) => {
      read.push(n);
      return {
        accepted_at: -60_000,
        log: JSON.stringify([
          [2, "in_progress", 15, {}],
          [4, "retrying", 25, {}],
        ]),
      };
    },
  } as unknown as MailboxStore;
  const followers = new Followers(
    store,
    { tenant: "alice", channel: "c" },
    {
      ...{ deliver: () => 0, now: () => clock, background: () => {}, rest: () => new Promise<void>(() => {}), wakeBy: () => {} },
      newest: (n) => delta(n, 9),
      relay: async (lobby, events) => {
        told[lobby] = events.map(({ job, since }) => `${job} ${since}`);
        return 1;
      },
    },
  );
  for (const { lobby } of outages) followers.add(WHOLE_CHANNEL, lobby, true);
  followers.tellOwed();
  expect([asked, read]).toEqual([[], []]);
  clock = 1_000;
  followers.resume();
  // Waits for turns of the event loop, not for time: each stretch of jobs takes one.
  for (let turn = 0; turn < 100 && Object.keys(told).length < 2; turn++) await new Promise((done) => setTimeout(done, 0));
  expect(asked).toEqual([10, 20]);
  expect(told).toEqual({ "alice/since-10": ["job_3 1", "job_2 1", "job_1 1"], "alice/since-20": ["job_3 3", "job_2 3"] });
});

describe("a lobby that nobody follows the channel from any more", () => {
  const id = (n: number) => jobId("alice", { channel: "c", at: 1, nonce: "abcdef", number: n });
  /** Jobs end one after another, each while the previous job's message is in flight, which is then answered. */
  async function busy(jobs: number, ended: (followers: Followers, n: number) => void) {
    const answers: (() => void)[] = [];
    let relays = 0;
    const store = { followers: () => [], putFollower: () => {}, dropFollower: () => {}, ...marks } as unknown as MailboxStore;
    const followers = new Followers(
      store,
      { tenant: "alice", channel: "c" },
      {
        ...{
          deliver: () => 0,
          now: () => clock,
          background: () => {},
          rest: () => new Promise<void>(() => {}),
          wakeBy: () => {},
          newest: () => null,
        },
        relay: () => {
          relays++;
          return new Promise((done) => answers.push(() => done(-1)));
        },
      },
    );
    followers.add(WHOLE_CHANNEL, "alice/ghost", false);
    for (let n = 1; n <= jobs; n++) {
      followers.owe(n);
      void followers.tell(n, { job: id(n), seq: 3, event: "completed", data: {} });
      ended(followers, n);
      if (n > 1) answers.shift()?.();
      for (let turn = 0; turn < 6; turn++) await Promise.resolve();
    }
    return { relays, ghost: followers.has(WHOLE_CHANNEL, "alice/ghost") };
  }

  it("says so once, however many jobs end meanwhile", async () => {
    expect(await busy(50, () => {})).toEqual({ relays: 2, ghost: false });
  });

  it("and somebody elsewhere begins to follow: says so once", async () => {
    const newcomer = (followers: Followers, n: number) => void followers.add(n + 100, "alice/other", false);
    expect((await busy(50, newcomer)).ghost).toBe(false);
  });

  it("and somebody there begins to follow before it answers: is told on", async () => {
    const newcomer = (followers: Followers, n: number) => void followers.add(n + 100, "alice/ghost", false);
    expect((await busy(3, newcomer)).ghost).toBe(true);
  });
});

describe("many lobbies that do not answer", () => {
  it("what is held for all together is bounded: where most waits, it is told later; who answers is told all", async () => {
    const text = "x".repeat(1_000_000);
    const messages = new Map<string, number[]>();
    const hung: (() => void)[] = [];
    const swift = "alice/swift";
    const store = { followers: () => [], putFollower: () => {}, dropFollower: () => {}, ...marks } as unknown as MailboxStore;
    const followers = new Followers(
      store,
      { tenant: "alice", channel: "c" },
      {
        ...{ deliver: () => 0, now: () => clock, background: () => {}, rest: () => new Promise<void>(() => {}), wakeBy: () => {} },
        newest: () => delta(1, 8, text),
        relay: (lobby, events) => {
          messages.set(lobby, [...(messages.get(lobby) ?? []), ...events.map(({ seq }) => seq)]);
          return lobby === swift ? Promise.resolve(1) : new Promise((done) => hung.push(() => done(1)));
        },
      },
    );
    const lobbies = Array.from({ length: 10 }, (_, index) => `alice/lobby-${index}`);
    for (const lobby of [swift, ...lobbies]) followers.add(WHOLE_CHANNEL, lobby, true);
    for (let seq = 1; seq <= 8; seq++) {
      void followers.tell(1, delta(1, seq, text));
      for (let turn = 0; turn < 5; turn++) await Promise.resolve();
    }
    expect(messages.get(swift)).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
    while (hung.length > 0) {
      hung.shift()!();
      for (let turn = 0; turn < 5; turn++) await Promise.resolve();
    }
    const all = lobbies.map((lobby) => messages.get(lobby)!);
    for (const told of all) expect(told.at(-1)).toBe(8);
    const whole = all.filter((told) => told.length === 8).length;
    expect(whole).toBeGreaterThan(0);
    expect(whole).toBeLessThan(5);
  });
});
