/** Which mailboxes a reader asks for the events that it lacks. */
import { expect, it } from "vitest";
import { Arrears } from "../../durable-objects/mailbox/arrears.ts";
import { jobId, siteOf } from "../../platform/ids.ts";

const TENANT = "alice";
const jobOf = (channel: string, number = 1) => jobId(TENANT, { channel, at: 1, nonce: "abcdef", number });
const sitesOf = (...channels: string[]) => channels.map((channel) => siteOf(TENANT, channel));
const lacking = (...channels: string[]) => {
  const made = new Arrears();
  for (const channel of channels) made.add(jobOf(channel), { after: 0, newest: 1, had: 0 });
  return made;
};

it("some mailboxes are asked at once, each by one question, and the next when one has answered", () => {
  const made = lacking("a", "b", "c", "d", "e");
  made.add(jobOf("a", 2), { after: 0, newest: 1, had: 0 });
  expect(made.ask(0)).toEqual(sitesOf("a", "b", "c", "d"));
  expect(made.ask(0)).toEqual([]);
  made.delete(jobOf("b"));
  made.answered(siteOf(TENANT, "b"));
  expect(made.ask(0)).toEqual(sitesOf("e"));
});

it("those that did not answer are asked again when it is time, and take nobody's turn meanwhile", () => {
  const made = lacking("a", "b", "c", "d", "e", "f");
  for (const site of made.ask(0)) made.silent(site, 100);
  expect(made.ask(0)).toEqual(sitesOf("e", "f"));
  for (const site of sitesOf("e", "f")) made.silent(site, 100);
  expect(made.ask(99)).toEqual([]);
  expect(made.ask(100)).toEqual(sitesOf("a", "b", "c", "d"));
  made.add(jobOf("g"), { after: 0, newest: 1, had: 0 });
  expect(made.ask(100)).toEqual(sitesOf("g"));
});

it("out of reach: nothing is lacked but of those that did not answer, though they are being asked again", () => {
  const made = lacking("a", "b");
  expect(made.outOfReach).toBe(false);
  const [a, b] = made.ask(0);
  made.silent(a!, 100);
  expect(made.outOfReach).toBe(false);
  made.delete(jobOf("b"));
  made.answered(b!);
  expect(made.outOfReach).toBe(true);
  made.retry();
  expect(made.ask(0)).toEqual([a]);
  expect(made.outOfReach).toBe(true);
  made.answered(a!);
  expect(made.outOfReach).toBe(false);
  made.delete(jobOf("a"));
  expect(made.outOfReach).toBe(true);
});
