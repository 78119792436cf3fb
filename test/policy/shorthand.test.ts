import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type Short, Shorthand } from "../../policy/shorthand.ts";
import { asMeant, textOf } from "../../policy/verbatim.ts";

type Chunk = Record<string, unknown>;
const chunk = (choices: unknown, more: Chunk = {}): Chunk => ({
  id: "chatcmpl-1",
  object: "chat.completion.chunk",
  model: "m",
  choices,
  ...more,
});
const piece = (content: unknown, more: Chunk = {}): Chunk =>
  chunk([{ index: 0, delta: { content }, logprobs: null, finish_reason: null }], more);

function write(chunks: unknown[]): unknown[] {
  const shorthand = new Shorthand();
  return chunks.map((each) => shorthand.write(asMeant(each)));
}

/** Reads back through JSON, because that is how it is stored. */
function readBack(shorts: unknown[]): string[] {
  const shorthand = new Shorthand();
  return (JSON.parse(JSON.stringify(shorts)) as never[]).map((short) => textOf(shorthand.read(short)));
}

/** Chunks that must be written in full, between pieces of content. */
const SPECIAL: [string, unknown][] = [
  ["a role", chunk([{ index: 0, delta: { role: "assistant", content: "" }, logprobs: null, finish_reason: null }])],
  ["a finish reason", chunk([{ index: 0, delta: {}, logprobs: null, finish_reason: "stop" }])],
  ["content with a finish reason", chunk([{ index: 0, delta: { content: "x" }, logprobs: null, finish_reason: "length" }])],
  ["a tool call", chunk([{ index: 0, delta: { tool_calls: [{ index: 0, function: { arguments: "{" } }] } }])],
  ["content with log probabilities", chunk([{ index: 0, delta: { content: "x" }, logprobs: { content: [] }, finish_reason: null }])],
  ["another choice", chunk([{ index: 1, delta: { content: "x" }, logprobs: null, finish_reason: null }])],
  ["two choices", chunk([{ delta: { content: "x" } }, { delta: { content: "y" } }])],
  ["usage", chunk([], { usage: { total_tokens: 3 } })],
  ["the same keys in another order", { choices: piece("x").choices, model: "m", object: "chat.completion.chunk", id: "chatcmpl-1" }],
  ["padding that is no text", piece("x", { obfuscation: null })],
  ["content that is no text", piece(null)],
  ["a choice that is null", chunk([null])],
  ["a delta that is null", chunk([{ delta: null }])],
  ["choices that are an object", chunk({ 0: "x", length: 1 })],
  ["a key named __proto__", JSON.parse('{"__proto__":{"x":1},"choices":[{"index":0,"delta":{"content":"a"}}]}')],
  ["a text", "a"],
  ["a pair of texts", ["a", "b"]],
  ["a number", 5],
  ["null", null],
];

describe("a stream of text", () => {
  it("writes the first chunk in full, of the others the words", () => {
    expect(write(["Hel", "lo", "", '"\n😀'].map((each) => piece(each)))).toEqual([piece("Hel"), "lo", "", '"\n😀']);
  });

  it("padding against eavesdroppers is a part of it", () => {
    expect(write([piece("a", { obfuscation: "x" }), piece("b", { obfuscation: "yz" })])).toEqual([
      piece("a", { obfuscation: "x" }),
      ["b", "yz"],
    ]);
  });

  it("padding that is missing, where the pattern has some, begins a new pattern", () => {
    const padded = piece("a", { obfuscation: "x" });
    expect(write([piece("a"), piece("b", { obfuscation: "y" }), piece("c")])).toEqual([piece("a"), ["b", "y"], "c"]);
    expect(write([padded, piece("b"), piece("c")])).toEqual([padded, piece("b"), "c"]);
  });

  it.each(SPECIAL)("%s, in the middle of it, is read as it came", (_, special) => {
    const chunks = [piece("a"), special, piece("b"), special, special, piece("c")];
    expect(readBack(write(chunks))).toEqual(chunks.map((each) => JSON.stringify(each)));
  });

  // Law: what is read is what was written, to the byte of its JSON.
  it("is read as it was written, whatever it holds", () => {
    const any = fc.oneof(
      { weight: 4, arbitrary: fc.string({ unit: "binary", maxLength: 4 }).map((content): unknown => piece(content)) },
      {
        weight: 2,
        arbitrary: fc.tuple(fc.string(), fc.string()).map(([content, obfuscation]): unknown => piece(content, { obfuscation })),
      },
      { weight: 1, arbitrary: fc.constantFrom(...SPECIAL.map(([, special]) => special)) },
      { weight: 1, arbitrary: fc.jsonValue() as fc.Arbitrary<unknown> },
    );
    fc.assert(
      fc.property(fc.array(any, { maxLength: 40 }), (chunks) => {
        expect(readBack(write(chunks))).toEqual(chunks.map((each) => JSON.stringify(each)));
      }),
      { numRuns: 1_000 },
    );
  });
});

describe("a stream of which each chunk's own text is kept", () => {
  const spaced = (content: string) => `{"id": "c", "choices": [{"delta": {"content": ${JSON.stringify(content)}}}], "at": 1.0}`;

  it("writes the first in full, of the others what differs from the one before", () => {
    const texts = [spaced("Hel"), spaced("lo"), spaced("lo, you")];
    const shorts = new Shorthand();
    const [first, second, third] = texts.map((text) => shorts.write(text));
    expect(first).toEqual([texts[0]]);
    expect((second as unknown[])[2]).toBe("lo");
    expect((third as unknown[])[2]).toBe(", you");
  });

  // Law: what is read is what was written, to the byte.
  it("is read as it was written, whatever it holds, between chunks that are values", () => {
    const any = fc.oneof(
      { weight: 4, arbitrary: fc.string({ unit: "binary", maxLength: 4 }).map((content): string | object => spaced(content)) },
      { weight: 2, arbitrary: fc.string({ unit: fc.constantFrom("a", "b", "\ud83d", "\ude00"), maxLength: 6 }) },
      { weight: 1, arbitrary: fc.string({ maxLength: 4 }).map((content): string | object => piece(content)) },
    );
    fc.assert(
      fc.property(fc.array(any, { maxLength: 40 }), (chunks) => {
        const [writer, reader] = [new Shorthand(), new Shorthand()];
        const stored = JSON.parse(JSON.stringify(chunks.map((each) => writer.write(each)))) as Short[];
        expect(stored.map((short) => textOf(reader.read(short)))).toEqual(chunks.map(textOf));
      }),
      { numRuns: 1_000 },
    );
  });
});
