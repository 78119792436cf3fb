import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { nesting, reach, ringWhenDeep, type Spaces } from "../../platform/nesting.ts";

type Call = { stub: number; method: string; args: unknown[] };
type Remote = Record<string, (...args: unknown[]) => Promise<unknown>>;

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

/** Bindings whose stubs note what is called over them. `answer` may refuse. */
function bindings(answer: (call: Call) => unknown = () => "answer") {
  const calls: Call[] = [];
  let stubs = 0;
  const getByName = () => {
    const stub = ++stubs;
    const method =
      (name: string) =>
      async (...args: unknown[]) => {
        const call = { stub, method: name, args };
        calls.push(call);
        return answer(call);
      };
    return new Proxy({}, { get: (_, name) => method(String(name)) });
  };
  const space = { getByName } as unknown as DurableObjectNamespace;
  const env: Spaces = { COORDINATOR: space, DISPATCHER: space, MAILBOX: space, BATCH: space, ARCHIVE: space };
  return { env, calls };
}

class Thing {
  readonly env: Spaces;
  heard: unknown[][] = [];

  constructor(_: DurableObjectState, env: Spaces) {
    this.env = env;
  }

  async told(...args: unknown[]): Promise<void> {
    this.heard.push(args);
  }

  async alarm(): Promise<void> {}

  async lasts(work: Promise<void>): Promise<void> {
    await work;
  }

  call(name: string): Promise<unknown> {
    return (reach(this.env, "MAILBOX", name) as Remote).judge!("verdict");
  }
}

const thing = (env: Spaces) => new (nesting(Thing, { told: true, lasts: true }))({} as DurableObjectState, env);
const mark = (depth: number) => ({ "~depth": depth });
const deep = mark(8);

describe("a call from a Worker", () => {
  it("-> a new stub each time, and the depth of an event that a Worker brings about", async () => {
    const { calls, env } = bindings();
    for (const channel of ["a", "a"]) await (reach(env, "MAILBOX", channel) as Remote).judge!("verdict");
    expect(calls).toEqual([1, 2].map((stub) => ({ stub, method: "judge", args: ["verdict", mark(2)] })));
  });

  it("is awaited by mistake before a method is named -> it is no promise", async () => {
    const { env } = bindings();
    const remote = (await Promise.resolve(reach(env, "MAILBOX", "a"))) as Remote;
    expect(await remote.judge!("verdict")).toBe("answer");
  });
});

describe("an event", () => {
  it("tells its depth -> the method does not see it, and what the object calls lies one deeper", async () => {
    const { calls, env } = bindings();
    const object = thing(env);
    await object.told("this", mark(3));
    await object.call("a");
    expect(object.heard).toEqual([["this"]]);
    expect(calls[0]!.args).toEqual(["verdict", mark(4)]);
  });

  it("tells none, because its caller is older -> its arguments are as they were, and what was known of the depth holds", async () => {
    const { calls, env } = bindings();
    const object = thing(env);
    await object.told("this", mark(3));
    await object.told("that", { id: 1 });
    await object.call("a");
    expect(object.heard[1]).toEqual(["that", { id: 1 }]);
    expect(calls[0]!.args[1]).toEqual(mark(4));
  });
});

describe("an event that outlasts a newer one", () => {
  it("-> what the object calls then lies one deeper than that event: the platform counts from the newest that is not over", async () => {
    const { calls, env } = bindings();
    const object = thing(env);
    const work = Promise.withResolvers<void>();
    const lasting = (object.lasts as (...args: unknown[]) => Promise<void>)(work.promise, mark(6));
    await object.told(mark(2));
    await object.call("a");
    expect(calls[0]!.args[1]).toEqual(mark(7));
    work.resolve();
    await lasting;
  });

  it("and fails -> likewise, and once it is over it counts no more", async () => {
    const { calls, env } = bindings();
    const object = thing(env);
    const work = Promise.withResolvers<void>();
    const lasting = (object.lasts as (...args: unknown[]) => Promise<void>)(work.promise, mark(6));
    work.reject(new Error("broken"));
    await expect(lasting).rejects.toThrow("broken");
    await object.told(mark(2));
    await object.call("a");
    expect(calls[0]!.args[1]).toEqual(mark(3));
  });

  it("and lies too deep -> a call that waits for the alarm goes with the alarm", async () => {
    const { calls, env } = bindings();
    const object = thing(env);
    const ring = vi.fn();
    ringWhenDeep(object.env, ring);
    const lasting = (object.lasts as (...args: unknown[]) => Promise<void>)(new Promise(() => {}), deep);
    const answer = object.call("a");
    await object.alarm();
    expect(await answer).toBe("answer");
    expect(calls[0]!.args[1]).toEqual(mark(2));
    void lasting;
  });
});

describe("the first event", () => {
  it("tells no depth, because its caller is older -> counts as one that a Worker brought about", async () => {
    const { calls, env } = bindings();
    const object = thing(env);
    const answer = object.call("a");
    await object.told("this");
    await answer;
    expect(calls[0]!.args[1]).toEqual(mark(3));
  });
});

describe("a line", () => {
  it("that answers -> is used again, at the depth that it has", async () => {
    const { calls, env } = bindings();
    const object = thing(env);
    await object.told(mark(2));
    await object.call("a");
    await object.told(mark(7));
    await object.call("a");
    await object.call("b");
    expect(calls.map(({ args, stub }) => [stub, args[1]])).toEqual([
      [1, mark(3)],
      [1, mark(3)],
      [2, mark(8)],
    ]);
  });

  it("over which a call failed -> is not used again, and the caller is told why", async () => {
    const { calls, env } = bindings(({ stub }) => (stub === 1 ? Promise.reject(new Error("reset")) : "answer"));
    const object = thing(env);
    await object.told(mark(2));
    await expect(object.call("a")).rejects.toThrow("reset");
    expect(await object.call("a")).toBe("answer");
    expect(calls.map(({ stub }) => stub)).toEqual([1, 2]);
  });

  it("over which a call failed while another was under way -> that other's answer does not bring it back", async () => {
    const under = Promise.withResolvers<string>();
    const first = ({ stub, args }: Call) =>
      args[0] === "slow" ? under.promise : stub === 1 ? Promise.reject(new Error("reset")) : "answer";
    const { calls, env } = bindings(first);
    const object = thing(env);
    await object.told(mark(2));
    const slow = (reach(object.env, "MAILBOX", "a") as Remote).judge!("slow");
    await expect(object.call("a")).rejects.toThrow("reset");
    under.resolve("late");
    expect(await slow).toBe("late");
    await object.call("a");
    expect(calls.map(({ stub }) => stub)).toEqual([1, 1, 2]);
  });

  it("that has brought no answer for ten seconds -> is not used again", async () => {
    const { calls, env } = bindings(({ stub }) => (stub === 1 ? new Promise(() => {}) : "answer"));
    const object = thing(env);
    await object.told(mark(2));
    void object.call("a");
    vi.advanceTimersByTime(9_999);
    void object.call("a");
    vi.advanceTimersByTime(1);
    expect(await object.call("a")).toBe("answer");
    expect(calls.map(({ stub }) => stub)).toEqual([1, 1, 2]);
  });

  it("is one of more than 256 -> the one unused for longest is let go", async () => {
    const { calls, env } = bindings();
    const object = thing(env);
    await object.told(mark(2));
    for (let n = 0; n < 256; n++) await object.call(`c${n}`);
    await object.call("c0");
    await object.call("one more");
    await object.call("c0");
    await object.call("c1");
    expect(calls.slice(256).map(({ stub }) => stub)).toEqual([1, 257, 1, 258]);
  });
});

describe("a new line that would lie too deep", () => {
  it("-> the object's alarm rings, and the call goes then", async () => {
    const { calls, env } = bindings();
    const object = thing(env);
    const ring = vi.fn();
    ringWhenDeep(object.env, ring);
    await object.told(deep);
    const [first, second] = [object.call("a"), object.call("a")];
    // A call goes at once or waits for an event.
    await Promise.resolve();
    expect(calls).toEqual([]);
    expect(ring).toHaveBeenCalled();
    await object.alarm();
    expect(await Promise.all([first, second])).toEqual(["answer", "answer"]);
    expect(calls.map(({ args, stub }) => [stub, args[1]])).toEqual([
      [1, mark(2)],
      [1, mark(2)],
    ]);
  });

  it("and a client's request comes before the alarm -> the call goes then", async () => {
    const { calls, env } = bindings();
    const object = thing(env);
    ringWhenDeep(object.env, () => {});
    await object.told(deep);
    const answer = object.call("a");
    await object.told(mark(2));
    await answer;
    expect(calls[0]!.args[1]).toEqual(mark(3));
  });

  it("and another deep event comes -> it goes on waiting, and the alarm is asked for again, in case that was lost", async () => {
    const { calls, env } = bindings();
    const object = thing(env);
    const ring = vi.fn();
    ringWhenDeep(object.env, ring);
    await object.told(deep);
    const answer = object.call("a");
    ring.mockClear();
    await object.told(deep);
    expect(ring).toHaveBeenCalledTimes(1);
    expect(calls).toEqual([]);
    await object.alarm();
    await answer;
  });

  it("of an object that has no alarm to ring -> goes all the same: those that call it do not lie deeper", async () => {
    const { calls, env } = bindings();
    const object = thing(env);
    await object.told(deep);
    await object.call("a");
    expect(calls[0]!.args[1]).toEqual(mark(9));
  });
});

describe("calls that wait", () => {
  it("-> go in order, and before any that come with the event that they waited for", async () => {
    const { calls, env } = bindings();
    const object = thing(env);
    const say = (word: string) => (reach(object.env, "MAILBOX", "a") as Remote)[word]!();
    const waited = [say("first"), say("second")];
    void object.told(mark(2));
    await Promise.all([...waited, say("third")]);
    await say("fourth");
    expect(calls.map(({ method, stub }) => `${method} over ${stub}`)).toEqual(
      ["first", "second", "third", "fourth"].map((word) => `${word} over 1`),
    );
  });
});

it("calls wait longer than a line without answers is kept -> those that come meanwhile wait behind them", async () => {
  const { calls, env } = bindings();
  const object = thing(env);
  ringWhenDeep(object.env, () => {});
  await object.told(deep);
  const say = (word: string) => (reach(object.env, "MAILBOX", "a") as Remote)[word]!();
  const first = say("first");
  vi.advanceTimersByTime(20_000);
  const second = say("second");
  await object.alarm();
  await Promise.all([first, second]);
  expect(calls.map(({ method, stub }) => `${method} over ${stub}`)).toEqual(["first over 1", "second over 1"]);
});

describe("a call from a constructor", () => {
  it("-> waits for the event that the object woke for, whose depth is not known yet; the alarm is not asked for", async () => {
    const { calls, env } = bindings();
    const object = thing(env);
    const ring = vi.fn();
    ringWhenDeep(object.env, ring);
    const answer = object.call("a");
    expect(calls).toEqual([]);
    await object.told(mark(4));
    await answer;
    expect(calls[0]!.args[1]).toEqual(mark(5));
    expect(ring).not.toHaveBeenCalled();
  });
});
