/** A pool that one call brought to a stop runs again: what that costs does not grow with what is scheduled for later. */
import { expect, it } from "vitest";
import { openDesk } from "./desk.ts";

const problem = { status: 403, type: "x", code: null, message: "x", param: null };

function play(scheduled: number): number {
  const desk = openDesk({ rpm: 60_000, tpm: 100_000_000, ramp_tpm: null });
  for (let sent = 0; sent < scheduled; sent += 10_000) desk.send("late", 10, 10_000, "c", { notBefore: desk.state.now + 86_400_000 });
  let spent = 0;
  for (let time = 0; time < 50; time++) {
    const [bad] = desk.send("bad", 10);
    desk.end(bad!.job, { kind: "halted", reason: "credentials", retryAfterMs: null, problem });
    const [good] = desk.send("good", 10);
    desk.state.now += 10;
    const at = performance.now();
    desk.end(good!.job);
    spent += performance.now() - at;
    desk.state.now += 60_000;
    desk.turn(() => {});
  }
  return spent / 50;
}

it("a hundred thousand jobs scheduled for tomorrow -> not a hundred times as dear", () => {
  play(0);
  const [none, many] = [play(0), play(100_000)];
  expect(many).toBeLessThan(none * 10 + 0.5);
}, 120_000);
