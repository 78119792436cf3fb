import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { keep } from "../../policy/deltas.ts";
import { asMeant, meaningOf } from "../../policy/verbatim.ts";
import type { Chunk as Kept } from "../../schemas/event.ts";

type Chunk = Record<string, unknown>;
const chunk = (choices: unknown[], more: Chunk = {}): Chunk => ({
  id: "chatcmpl-1",
  object: "chat.completion.chunk",
  created: 1,
  model: "m",
  choices,
  ...more,
});
const piece = (content: unknown, index = 0, more: Chunk = {}): Chunk => chunk([{ index, delta: { content }, ...more }]);

function keepAll(chunks: unknown[]): unknown[] {
  const kept: Kept[] = [];
  for (const each of chunks) keep(kept, asMeant(each));
  return kept.map(meaningOf);
}

/** Chunks that carry more than a piece of content and must be kept as they came. */
const SPECIAL: [string, unknown][] = [
  ["a role", chunk([{ index: 0, delta: { role: "assistant", content: "" } }])],
  ["a tool call", chunk([{ index: 0, delta: { tool_calls: [{ index: 0, function: { arguments: "{" } }] } }])],
  ["content with a tool call", chunk([{ index: 0, delta: { content: "x", tool_calls: [] } }])],
  ["a refusal", chunk([{ index: 0, delta: { refusal: "no" } }])],
  ["content with a delta key that nobody knows", chunk([{ index: 0, delta: { content: "x", reasoning_content: "y" } }])],
  ["a finish reason", chunk([{ index: 0, delta: {}, finish_reason: "stop" }])],
  ["content with a finish reason", piece("x", 0, { finish_reason: "length" })],
  ["logprobs", piece("x", 0, { logprobs: { content: [] } })],
  ["content with a choice key that nobody knows", piece("x", 0, { content_filter_results: { hate: { filtered: false } } })],
  ["usage", chunk([], { usage: { total_tokens: 3 } })],
  ["content with usage", { ...piece("x"), usage: { total_tokens: 3 } }],
  ["content with a chunk key that nobody knows", { ...piece("x"), citations: ["https://example.com"] }],
  ["two choices", chunk([...(piece("x").choices as []), ...(piece("y", 1).choices as [])])],
  ["no choices", chunk([])],
  ["content null", piece(null)],
  ["a choice without a delta", chunk([{ index: 0 }])],
  ["a choice that is null", chunk([null])],
  ["a number", 5],
  ["null", null],
];

describe("chunks kept for a late watcher", () => {
  it("melt into one while they carry nothing but a choice's content", () => {
    expect(keepAll(["Hel", "lo", "", " you"].map((each) => piece(each, 0, { logprobs: null, finish_reason: null })))).toEqual([
      piece("Hello you", 0, { logprobs: null, finish_reason: null }),
    ]);
  });

  it("melt although each is padded against eavesdroppers by its own length", () => {
    const padded = ["Hel", "lo"].map((each) => ({ ...piece(each), obfuscation: "x".repeat(each.length) }));
    expect(keepAll(padded).length).toBe(1);
  });

  it("stay apart by choice", () => {
    expect(keepAll([piece("a"), piece("b", 1), piece("c", 1), piece("d")])).toEqual([piece("a"), piece("bc", 1), piece("d")]);
  });

  it.each(SPECIAL)("keep %s as it came, between pieces of content", (_, special) => {
    const before = structuredClone(special);
    expect(keepAll([piece("a"), special, piece("b")])).toEqual([piece("a"), before, piece("b")]);
    expect(keepAll([special, special])).toEqual([before, before]);
  });

  it("leave the chunks themselves unchanged", () => {
    const chunks = [piece("a"), piece("b")];
    keepAll(chunks);
    expect(chunks).toEqual([piece("a"), piece("b")]);
  });

  // Law: read choice by choice, the kept content is the content that came; every chunk that is not plain content is kept, in order.
  it("say what the stream said, choice by choice", () => {
    const plain = fc.record({ index: fc.nat(2), content: fc.string({ unit: "binary", maxLength: 5 }) });
    const any = fc.oneof(
      { weight: 5, arbitrary: plain.map(({ index, content }): unknown => piece(content, index)) },
      { weight: 1, arbitrary: fc.constantFrom(...SPECIAL.map(([, special]) => special)) },
    );
    fc.assert(
      fc.property(fc.array(any, { maxLength: 60 }), (chunks) => {
        const kept = keepAll(chunks);
        for (const index of [0, 1, 2]) expect(contentOf(kept, index)).toBe(contentOf(chunks, index));
        const special = (all: unknown[]) => all.filter((each) => SPECIAL.some(([, known]) => known === each));
        expect(special(kept)).toEqual(special(chunks));
        // As short as possible: no two neighbours are plain content of the same choice.
        const plainIndex = (each: unknown) =>
          special([each]).length > 0 ? null : (each as { choices: [{ index: number }] }).choices[0].index;
        for (const [at, each] of kept.entries()) {
          if (at > 0 && plainIndex(each) !== null) expect(plainIndex(each)).not.toBe(plainIndex(kept[at - 1]));
        }
      }),
      { numRuns: 500 },
    );
  });
});

function contentOf(chunks: unknown[], index: number): string {
  return chunks
    .flatMap((each) => (each as { choices?: unknown[] } | null)?.choices ?? [])
    .filter((each) => (each as { index: number } | null)?.index === index)
    .map((each) => (each as { delta?: { content?: string | null } }).delta?.content ?? "")
    .join("");
}
