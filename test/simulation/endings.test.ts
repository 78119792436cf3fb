/** Ends that a mailbox does not confirm are reported again, a few at a time. */
import { expect, it } from "vitest";
import { openDesk, START } from "./desk.ts";

const SLOW = { rpm: 1, tpm: 1_000_000, burst_seconds: 1, ramp_tpm: null };
const END = START + 60_000;

/** `count` jobs are past their deadline, and nobody confirms that they have ended. */
function overdue(count: number) {
  const desk = openDesk(SLOW);
  for (let sent = 0; sent < count; sent += 500) desk.send("a", 100, 500, "c", { deadline: END });
  desk.passes(END + 1_000);
  const expired = () => desk.verdicts.filter(({ kind }) => kind === "expired");
  return { ...desk, expired };
}

it("each is told again after five seconds, five hundred in a turn at the most", () => {
  const { expired, state, turn, verdicts } = overdue(3_000);
  const first = expired().length;
  expect(first).toBeGreaterThan(2_990);
  const perTurn: number[] = [];
  for (let step = 0; step < 100; step++) {
    const before = verdicts.length;
    state.now += 100;
    turn(() => {});
    perTurn.push(verdicts.length - before);
  }
  expect(Math.max(...perTurn)).toBeLessThanOrEqual(500);
  const times = Map.groupBy(expired(), ({ job }) => job);
  for (const told of times.values()) expect([2, 3]).toContain(told.length);
});

it("one that is confirmed is not told again; the others are, after a restart at once", () => {
  const { book, expired, passes, restart, state, turn } = overdue(1_000);
  const [confirmed, ...others] = new Set(expired().map(({ job }) => job));
  turn((book, now) => book.remove(book.entries.get(confirmed!)!, now));
  const before = expired().length;
  expect(book.endings.size).toBe(others.length);
  restart();
  passes(state.now + 500);
  const again = expired()
    .slice(before)
    .map(({ job }) => job);
  expect(new Set(again)).toEqual(new Set(others));
  expect(again.length).toBe(others.length);
});
