import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { LookUp } from "../../platform/look-up.ts";

beforeEach(() => vi.useFakeTimers());
afterEach(() => vi.useRealTimers());

function looking() {
  let now = 0;
  const begun: string[] = [];
  const kept: Promise<void>[] = [];
  const lookUp = new LookUp(() => now);
  const request = (name: string) => {
    const held = Promise.withResolvers<void>();
    const work = () => {
      begun.push(name);
      return held.promise;
    };
    void lookUp.during(work, (timer) => kept.push(timer));
    return held.resolve;
  };
  const pass = (ms: number) => {
    now += ms;
  };
  return { request, pass, begun, kept };
}

test("requests one after another set no timer, and none waits", async () => {
  const { request, pass, begun, kept } = looking();
  for (const name of ["one", "two", "three"]) {
    request(name)();
    await vi.advanceTimersByTimeAsync(0);
    pass(100);
  }
  expect(begun).toEqual(["one", "two", "three"]);
  expect(kept).toEqual([]);
});

test("while timers end, requests beside each other do not wait", async () => {
  const { request, pass, begun } = looking();
  for (let n = 0; n < 5; n++) {
    request(`${n}`);
    await vi.advanceTimersByTimeAsync(0);
    pass(100);
  }
  expect(begun).toHaveLength(5);
});

test("once no timer has ended for a while, whoever comes waits until one does", async () => {
  const { request, pass, begun } = looking();
  for (const name of ["one", "two"]) request(name);
  pass(21);
  for (const name of ["three", "four"]) request(name);
  expect(begun).toEqual(["one", "two"]);
  await vi.advanceTimersByTimeAsync(0);
  expect(begun).toEqual(["one", "two", "three", "four"]);
  request("five");
  expect(begun).toHaveLength(5);
});

test("a timer that was lost with its request holds up the next request only", async () => {
  const { request, pass, begun } = looking();
  for (const name of ["one", "two"]) request(name);
  vi.clearAllTimers();
  pass(1_000);
  request("three");
  expect(begun).toEqual(["one", "two"]);
  await vi.advanceTimersByTimeAsync(0);
  request("four");
  expect(begun).toEqual(["one", "two", "three", "four"]);
});
