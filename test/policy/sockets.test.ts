import { describe, expect, it } from "vitest";
import { pageOf } from "../../policy/deltas.ts";
import { Manners } from "../../policy/manners.ts";
import { gapMs } from "../../policy/spacing.ts";
import { WINDOW_CHARACTERS, Window } from "../../policy/window.ts";

describe("the pace of deltas", () => {
  it("some hundred readers -> 20 a second; more -> as many sends a second, however many streams; never slower than one a second", () => {
    expect(gapMs(1, 1)).toBe(50);
    expect(gapMs(1, 200)).toBe(50);
    expect(gapMs(1, 1_000)).toBe(201);
    expect(gapMs(100, 1_000)).toBe(280);
    expect(gapMs(1, 30_000)).toBe(1_000);
    for (let readers = 250; readers < 5_000; readers += 250) expect((readers * 1_000) / gapMs(1, readers)).toBeLessThanOrEqual(5_000);
  });
});

describe("a window", () => {
  it("is full at its limit, roomy at half; acks are counted by frames", () => {
    const window = new Window();
    for (let count = 0; count < 4; count++) window.sent(WINDOW_CHARACTERS / 4);
    expect([window.full, window.roomy]).toEqual([true, false]);
    window.acked(1);
    expect([window.full, window.roomy]).toEqual([false, false]);
    window.acked(1);
    expect([window.full, window.roomy]).toEqual([false, true]);
  });

  it("acks of more than is known of (the object slept) open it, and no further", () => {
    const window = new Window();
    window.sent(10);
    window.acked(1_000_000);
    window.sent(WINDOW_CHARACTERS);
    expect(window.full).toBe(true);
  });

  it("a frame that is larger than all of it goes, and fills it", () => {
    const window = new Window();
    expect(window.full).toBe(false);
    window.sent(50 * WINDOW_CHARACTERS);
    expect(window.full).toBe(true);
    window.acked(1);
    expect(window.roomy).toBe(true);
  });
});

describe("a client's frames", () => {
  it("2,000 at once, 200 a second for good; a clock that steps back takes nothing away", () => {
    const manners = new Manners();
    for (let count = 0; count < 2_000; count++) expect(manners.mayCome(5_000)).toBe(true);
    expect(manners.mayCome(5_000)).toBe(false);
    const steady = new Manners();
    for (let at = 0; at < 60_000; at += 5) expect(steady.mayCome(at)).toBe(true);
    expect(steady.mayCome(0)).toBe(true);
  });
});

describe("deltas that were missed", () => {
  const delta = (seq: number, ...contents: string[]) => ({
    ...{ job: "j", seq, event: "delta" as const },
    data: { chunks: contents.map((content) => ({ choices: [{ index: 0, delta: { content } }] })) },
  });
  const event = (seq: number, name: "in_progress" | "retrying" | "completed") => ({ job: "j", seq, event: name, data: {} });

  it("become one between two other events, that says which it stands for; the log is left as it is", () => {
    const log = [event(2, "in_progress"), delta(3, "a", "b"), delta(4, "c"), event(5, "retrying"), delta(6, "d"), event(7, "completed")];
    const before = JSON.stringify(log);
    const events = [
      event(2, "in_progress"),
      { ...delta(4, "abc"), from: 3 },
      event(5, "retrying"),
      { ...delta(6, "d"), from: 6 },
      event(7, "completed"),
    ];
    expect(pageOf(log, 10_000, true)).toEqual({ events, more: false });
    expect(JSON.stringify(log)).toBe(before);
  });

  it("that somebody wants as they came stay apart", () => {
    const log = [delta(3, "a", "b"), delta(4, "c")];
    expect(pageOf(log, 10_000, false)).toEqual({ events: log, more: false });
  });

  const tool = (seq: number, text: string) => ({
    ...{ job: "j", seq, event: "delta" as const },
    data: { chunks: [{ choices: [{ index: 0, delta: { tool_calls: [{ index: 0, function: { arguments: text } }] } }] }] },
  });

  it.each([true, false])("a page holds as much as it has room for, and no more of the log is read (melted: %s)", (melts) => {
    let read = 0;
    const log = function* () {
      for (let seq = 1; seq <= 1_000; seq++) {
        read++;
        yield tool(seq, "x".repeat(1_000));
      }
    };
    const { events, more } = pageOf(log(), 50_000, melts);
    const size = JSON.stringify(events).length;
    expect(size).toBeGreaterThan(40_000);
    expect(size).toBeLessThan(55_000);
    expect(more).toBe(true);
    expect(read).toBeLessThan(60);
    if (melts) expect(events).toMatchObject([{ from: 1, seq: read - 1 }]);
  });

  it("pieces of text that become one take little room, and yet a page reads no more than so many", () => {
    const log = Array.from({ length: 5_000 }, (_, index) => delta(index + 1, "a"));
    const { events } = pageOf(log, 50_000, true);
    expect(JSON.stringify(events).length).toBeLessThan(5_000);
    expect(events).toHaveLength(1);
    expect(events[0]!.seq).toBeGreaterThan(500);
    expect(events[0]!.seq).toBeLessThan(5_000);
  });

  it("the last of a page is told to be the last only if nothing follows", () => {
    const log = [tool(1, "x".repeat(1_000)), event(2, "completed")];
    expect(pageOf(log, 500, true)).toMatchObject({ events: [{ seq: 1 }], more: true });
    expect(pageOf(log.slice(1), 1, true)).toMatchObject({ events: [{ seq: 2 }], more: false });
  });
});
