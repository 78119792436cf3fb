import { expect, it } from "vitest";
import { excessOf } from "../../workers/ingress/measure-json.ts";

const MANY = 31 * 1024 * 1024;

it.each([
  ["brackets", "[".repeat(MANY)],
  ["nested lists", "[".repeat(MANY / 2) + "]".repeat(MANY / 2)],
  ["nested objects", `${'{"a":'.repeat(MANY / 6)}1${"}".repeat(MANY / 6)}`],
  ["small objects", `{"jobs":[${"{},".repeat(MANY / 3)}{}]}`],
  ["numbers", `[${"1,".repeat(MANY / 2)}1]`],
])("31 MB of %s are too much", (_, text) => expect(excessOf(text)).not.toBeNull());

it.each([
  ["a prompt of brackets and quotes", JSON.stringify({ content: '["{\\\\",'.repeat(3_000_000) })],
  ["a prompt that ends with a backslash", JSON.stringify([`${"x".repeat(300_000)}\\`, "[".repeat(2_000_000)])],
  [
    "ten thousand jobs",
    JSON.stringify({
      jobs: Array.from({ length: 10_000 }, () => ({ request: { messages: [{ role: "user", content: "x".repeat(100) }] } })),
    }),
  ],
  ["a short text, however deep", "[".repeat(100_000)],
  ["a string without an end", `"${"[".repeat(1_000_000)}`],
])("%s: not too much", (_, text) => expect(excessOf(text)).toBeNull());
