import { describe, expect, it, vi } from "vitest";
import { Alarm, Timekeeper } from "../../platform/alarm.ts";

/** An object's context as far as its alarm is concerned; `sets` are the alarms that were set. */
async function context(standing: number | null = null) {
  const sets: number[] = [];
  let read: Promise<unknown> = Promise.resolve();
  const ctx = {
    blockConcurrencyWhile: (work: () => Promise<unknown>) => {
      read = work();
    },
    waitUntil: () => {},
    storage: { getAlarm: async () => standing, setAlarm: async (at: number) => sets.push(at) },
  } as unknown as DurableObjectState;
  return { ctx, sets, ready: () => read };
}

describe("an alarm of many wishes", () => {
  it("stands at the earliest", async () => {
    const { ctx, sets, ready } = await context();
    const alarm = new Alarm(ctx);
    await ready();
    for (const at of [50, 70, 50, 30, 40]) alarm.wakeBy(at, 0);
    expect(sets).toEqual([50, 30]);
  });

  it("is left alone where an earlier life set it soon enough, and set again once it rang", async () => {
    const { ctx, sets, ready } = await context(40);
    const alarm = new Alarm(ctx);
    await ready();
    alarm.wakeBy(60, 0);
    expect(sets).toEqual([]);
    alarm.rang();
    alarm.wakeBy(60, 0);
    expect(sets).toEqual([60]);
  });
});

describe("an alarm that is long overdue and never rang", () => {
  it("is made good at once by the next wish, however late that is for: what it stood for is due", async () => {
    const { ctx, sets, ready } = await context(20_000);
    const alarm = new Alarm(ctx);
    await ready();
    // The alarm may just be late, or be tried again.
    alarm.wakeBy(900_000, 79_000);
    expect(sets).toEqual([]);
    for (const now of [81_000, 82_000]) alarm.wakeBy(900_000, now);
    expect(sets).toEqual([81_000]);
  });
});

describe("an alarm that was long overdue when the object was made", () => {
  it("is made good by what the constructor wishes: nothing else may be wished for", async () => {
    const { ctx, sets, ready } = await context(20_000);
    const alarm = new Alarm(ctx);
    alarm.wakeBy(900_000, 81_000);
    await ready();
    expect(sets).toEqual([81_000]);
  });
});

describe("wishes while the object is made, before it is known what stands", () => {
  it.each([
    ["later than that -> nothing is set: what was due stays due", 60, [72, 80], []],
    ["earlier -> the earliest is set", 60, [72, 40, 50], [40]],
    ["none stood -> the earliest is set", null, [72, 50], [50]],
    ["none -> nothing is set", 60, [], []],
  ])("%s", async (_, standing, wishes, expected) => {
    const { ctx, sets, ready } = await context(standing);
    const alarm = new Alarm(ctx);
    for (const at of wishes) alarm.wakeBy(at, 0);
    expect(sets).toEqual([]);
    await ready();
    expect(sets).toEqual(expected);
  });
});

describe("a timekeeper", () => {
  it("an alarm that is long overdue and never rang -> is set again by whatever happens next, and but once", async () => {
    const { ctx, sets, ready } = await context();
    const timekeeper = new Timekeeper(ctx, () => {});
    await ready();
    timekeeper.wakeAt(20_000, 0);
    // The alarm may just be late, or be tried again.
    timekeeper.wakeAt(100_000, 79_000);
    expect(sets).toEqual([20_000]);
    for (const now of [81_000, 82_000]) timekeeper.wakeAt(100_000, now);
    expect(sets).toEqual([20_000, 81_000]);
  });

  it("what is far off has the alarm alone", async () => {
    vi.useFakeTimers();
    const { ctx, sets, ready } = await context();
    const due = vi.fn();
    const timekeeper = new Timekeeper(ctx, due);
    await ready();
    timekeeper.wakeAt(Number.POSITIVE_INFINITY, 0);
    timekeeper.wakeAt(20_000.5, 0);
    expect(sets).toEqual([20_001]);
    expect(vi.getTimerCount()).toBe(0);
    vi.useRealTimers();
  });

  it("what is near is timed to the millisecond, the earliest once, with the alarm behind it", async () => {
    vi.useFakeTimers();
    const { ctx, sets, ready } = await context();
    const due = vi.fn();
    const timekeeper = new Timekeeper(ctx, due);
    await ready();
    for (const at of [900, 500, 700]) timekeeper.wakeAt(at, 0);
    expect(sets).toEqual([30_000]);
    vi.advanceTimersByTime(499);
    expect(due).not.toHaveBeenCalled();
    vi.advanceTimersByTime(1);
    expect(due).toHaveBeenCalledTimes(1);
    vi.advanceTimersByTime(5_000);
    expect(due).toHaveBeenCalledTimes(1);
    vi.useRealTimers();
  });
});
