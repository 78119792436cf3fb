/** Return addresses and their numbers, on Node's SQLite. */
import { expect, it } from "vitest";
import { Addresses } from "../../durable-objects/coordinator/addresses.ts";
import { CoordinatorStore } from "../../durable-objects/coordinator/store/store.ts";
import { openStorage } from "./storage.ts";

const address = (channel: string, tenant = "a") => ({ tenant, channel });

/** Keeps three in memory at a time. */
function open(storage: ReturnType<typeof openStorage>) {
  const store = new CoordinatorStore(storage.open());
  const addresses = new Addresses(store, 3);
  return { addresses, write: () => addresses.write(store) };
}

// Law: a number stands for one address forever, whatever was forgotten or restarted meanwhile.
it("each address has one number, and each number its address, though memory holds only some", () => {
  const storage = openStorage();
  const first = open(storage);
  const all = Array.from({ length: 20 }, (_, index) => address(`c${index % 10}`, index < 10 ? "a" : "b"));
  const numbers = all.map((each) => {
    const number = first.addresses.numberOf(each);
    first.write();
    return number;
  });
  expect(new Set(numbers).size).toBe(20);
  for (const { addresses, write } of [first, open(storage)]) {
    for (const [index, each] of all.entries()) {
      expect(addresses.numberOf(each)).toBe(numbers[index]);
      expect(addresses.of(numbers[index]!)).toEqual(each);
      write();
    }
    expect(numbers).not.toContain(addresses.numberOf(address(`new ${numbers.length}`)));
  }
});

it("several new ones in one turn are all written, and known before that", () => {
  const storage = openStorage();
  const { addresses, write } = open(storage);
  const all = Array.from({ length: 8 }, (_, index) => address(`c${index}`));
  const numbers = all.map((each) => addresses.numberOf(each));
  expect(numbers.map((number) => addresses.of(number))).toEqual(all);
  write();
  expect(numbers.map((number) => open(storage).addresses.of(number))).toEqual(all);
});

it("what a turn that failed had given is given again", () => {
  const storage = openStorage();
  const number = open(storage).addresses.numberOf(address("lost"));
  const { addresses, write } = open(storage);
  expect(addresses.numberOf(address("kept"))).toBe(number);
  write();
  expect(() => addresses.of(number + 1)).toThrow("no mailbox");
});
