import fc from "fast-check";
import { expect, it } from "vitest";
import { connectionView, refusalOf } from "../../dashboard/shown/connection.ts";
import { letterView, redriven } from "../../dashboard/shown/letters.ts";
import { count, counted, duration, listed, name } from "../../dashboard/shown/words.ts";
import { NOW } from "./states.ts";

it("numbers and times are as people read them", () => {
  expect([0, 0.25, 9.95, 491.7, 1_234_567].map(count)).toEqual(["0", "0.3", "10", "492", "1,234,567"]);
  expect([counted(1, "job"), counted(0, "job")]).toEqual(["1 job", "0 jobs"]);
  expect([-1, 0.9, 59, 60, 125, 3_600, 3_604, 90_061, 86_400].map(duration)).toEqual([
    ...["0 s", "0 s", "59 s", "1 min", "2 min 5 s", "1 h", "1 h", "1 d 1 h", "1 d"],
  ]);
  expect([listed([]), listed(["a"]), listed(["a", "b", "c"])]).toEqual(["", "a", "a, b and c"]);
});

it("a name does nothing to the text around it, and no two names look alike for what they hide", () => {
  expect(name("gpt-5-mini")).toBe("gpt-5-mini");
  expect(name("<b>é 漢字</b>")).toBe("<b>é 漢字</b>");
  expect(name("a\u202eb")).toBe("a\\u{202e}b");
  expect(name("a\u200b")).toBe("a\\u{200b}");
  expect(name("a\nb")).toBe("a\\u{a}b");
  expect([name(" "), name("")]).toEqual(['" "', '""']);
});

it("whatever a name is -> it is shown without control characters", () => {
  fc.assert(fc.property(fc.string({ unit: "binary" }), (given) => !/[\p{Cc}\p{Cf}\p{Cs}]/u.test(name(given))));
});

it("how the page stands to the service: what is read aloud does not change with each second", () => {
  const lost = { state: "reconnecting", why: "the service cannot be reached" } as const;
  expect(connectionView(lost, NOW - 65_000, NOW)).toEqual({
    ...{ tone: "bad", said: "Reconnecting: the service cannot be reached", age: "figures are 1 min 5 s old" },
  });
  expect(connectionView(lost, NOW, NOW).said).toBe(connectionView(lost, NOW - 5_000, NOW).said);
  expect(connectionView({ state: "connecting" }, null, NOW)).toMatchObject({ tone: "warn", age: "no figures yet" });
  expect(connectionView({ state: "live" }, NOW, NOW)).toEqual({ tone: "calm", said: "Live", age: "" });
  expect(connectionView({ state: "resting" }, NOW, NOW).said).toMatch(/^Resting/);
});

it("a key that does not do -> says plainly why", () => {
  expect(refusalOf({ status: 401, message: "Incorrect API key provided." })).toBe("The service does not know this key.");
  expect(refusalOf({ status: 403, message: "" })).toMatch(/does not have the role operate/);
  expect(refusalOf({ status: 404, message: "Unknown request URL" })).toBe("Unknown request URL");
});

it("a dead letter says whose job failed, when and of what", () => {
  const letter = { id: "7", job: "job_1", tenant: "alice", pool: "p", attempts: 1, failed_at: NOW / 1_000 - 90 };
  const view = letterView({ ...letter, error: { code: "boom", message: "<b>no</b>" } }, NOW);
  expect(view).toEqual({ id: "7", job: "job_1", of: "alice · p", when: "1 min 30 s ago, after 1 attempt", why: "boom: <b>no</b>" });
  expect(letterView({ ...letter, error: { code: null, message: "no" } }, NOW).why).toBe("no");
  expect(letterView({ ...letter, error: { code: null, message: "a\u202eb" } }, NOW).why).toBe("a\\u{202e}b");
});

it("a redrive of one job is answered well, and yet may have failed", () => {
  expect(redriven({ data: [{ id: "job_2", error: null }] })).toEqual({ ok: true, words: "The new job is job_2." });
  expect(redriven({ data: [{ error: { message: "Send a batch." } }] })).toEqual({ ok: false, words: "Send a batch." });
  expect(redriven({}).ok).toBe(false);
});
