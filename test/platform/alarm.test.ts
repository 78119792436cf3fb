import { expect, it } from "vitest";
import { Alarm } from "../../platform/alarm.ts";

/** An object whose alarm stands at `set` (ms) as it is made; what is set since is in `times`. */
function made(set: number | null, wishes: number[]) {
  const times: number[] = [];
  let loaded: Promise<void> = Promise.resolve();
  const ctx = {
    storage: { getAlarm: async () => set, setAlarm: async (at: number) => void times.push(at) },
    blockConcurrencyWhile: (work: () => Promise<void>) => {
      loaded = work();
    },
    waitUntil: () => {},
  };
  const alarm = new Alarm(ctx as unknown as DurableObjectState);
  for (const at of wishes) alarm.wakeBy(at);
  return { alarm, times, loaded };
}

it.each([
  ["later than what stands -> nothing is set: what was due stays due", 60, [72, 80], []],
  ["earlier -> the earliest is set", 60, [72, 40, 50], [40]],
  ["none stood -> the earliest is set", null, [72, 50], [50]],
  ["none -> nothing is set", 60, [], []],
])("wishes while it is made, %s", async (_, set, wishes, expected) => {
  const { loaded, times } = made(set, wishes);
  expect(times).toEqual([]);
  await loaded;
  expect(times).toEqual(expected);
});

it("later wishes move it forward alone; once it went off, any is set", async () => {
  const { alarm, loaded, times } = made(60, []);
  await loaded;
  alarm.wakeBy(70);
  alarm.wakeBy(50);
  alarm.rang();
  alarm.wakeBy(90);
  expect(times).toEqual([50, 90]);
});
