import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { asMeant, asWritten, meaningOf, meant, textOf } from "../../policy/verbatim.ts";

/** JSON written in ways that no `JSON.stringify` writes. */
const OTHERWISE = [
  '{"a": 1}',
  '{"a":1.0}',
  '{"a":1e2}',
  '{"a":-0}',
  '{"a":12345678901234567890}',
  '{"a":"\\u00e9"}',
  '{"a":"\\/"}',
  '{"2":1,"1":2}',
  '{"a":1,"a":2}',
  '{\n"a":1\n}',
  "[1]",
  '"text"',
  "null",
  "5",
];

describe("a chunk that is wanted as upstream wrote it", () => {
  it.each(OTHERWISE)("%s travels as its text", (text) => {
    expect(asWritten(JSON.parse(text), text)).toBe(text);
  });

  // Law: the text survives to the byte.
  it("is read as it was written, and means what it meant", () => {
    const any = fc.oneof(
      fc.constantFrom(...OTHERWISE),
      fc.json(),
      fc.jsonValue().map((value) => JSON.stringify(value, null, 1)),
    );
    fc.assert(
      fc.property(any, (text) => {
        const chunk = structuredClone(asWritten(JSON.parse(text), text));
        expect(textOf(chunk)).toBe(text);
        expect(meaningOf(chunk)).toEqual(JSON.parse(text));
      }),
    );
  });

  it("as JSON.stringify writes it -> travels as a value", () => {
    expect(asWritten({ a: "é😀", b: [1.5, null] }, '{"a":"é😀","b":[1.5,null]}')).toEqual({ a: "é😀", b: [1.5, null] });
  });
});

describe("clients are told values", () => {
  it("of chunks that travel as texts as well", () => {
    const chunks = [asWritten({ a: 1 }, '{"a": 1}'), { b: 2 }, asMeant("text"), asMeant(null)];
    const event = { job: "j", seq: 3, event: "delta" as const, data: { chunks } };
    expect(meant(event)).toEqual({ ...event, data: { chunks: [{ a: 1 }, { b: 2 }, "text", null] } });
  });

  it("other events are left as they are, whatever their data", () => {
    const event = { job: "j", seq: 1, event: "retrying" as const, data: { chunks: ["{}"] } };
    expect(meant(event)).toBe(event);
  });
});
