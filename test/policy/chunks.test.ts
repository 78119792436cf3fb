import { describe, expect, it } from "vitest";
import { chunksOf, Ending, withoutUsage } from "../../policy/chunks.ts";
import { assembler } from "../../policy/completion.ts";

const top = { id: "c", object: "chat.completion.chunk", created: 1, model: "m" };
const usage = { prompt_tokens: 1, completion_tokens: 2, total_tokens: 3 };

describe("a chunk for who did not ask for usage", () => {
  it("loses its null, and nothing else", () => {
    const choices = [{ index: 0, delta: { content: "a" }, finish_reason: null }];
    expect(withoutUsage({ ...top, choices, usage: null, novel: 1 })).toBe(JSON.stringify({ ...top, choices, novel: 1 }));
    expect(withoutUsage({ ...top, choices })).toBe(JSON.stringify({ ...top, choices }));
  });

  it("that holds usage alone -> none", () => {
    expect(withoutUsage({ ...top, choices: [], usage })).toBeNull();
  });

  it("an upstream that sends usage along with a choice -> the choice stays", () => {
    const choices = [{ index: 0, delta: {}, finish_reason: "stop" }];
    expect(withoutUsage({ ...top, choices, usage })).toBe(JSON.stringify({ ...top, choices }));
  });

  it("without choices and usage (a filter's verdict on the prompt) -> stays", () => {
    expect(withoutUsage({ ...top, choices: [], usage: null, prompt_filter_results: [] })).toBe(
      JSON.stringify({ ...top, choices: [], prompt_filter_results: [] }),
    );
  });
});

describe("a chunk that travels as upstream's text, for who did not ask for usage", () => {
  it.each([
    ['{"a": 1.0, "usage": null}', '{"a": 1.0}'],
    ['{"usage" : null , "a": 1.0}', '{"a": 1.0}'],
    ['{"a": 1.0, "usage": null, "b": 2}', '{"a": 1.0, "b": 2}'],
    ['{"a": {"b": 1.0, "usage": null}, "usage": null}', '{"a": {"b": 1.0, "usage": null}}'],
    ['{"a": "\\"usage\\": null, ", "usage": null}', '{"a": "\\"usage\\": null, "}'],
    ['{"usage": null }', "{}"],
    ['{"a": 1.0, "usage": null, "usage": null}', '{"a":1}'],
    ['{"a": 1.0, "choices": [1], "usage": {"total_tokens": 1}}', '{"a":1,"choices":[1]}'],
    ['{"a": 1.0}', '{"a": 1.0}'],
    ["null", "null"],
    ["[1.0]", "[1.0]"],
  ])("%s -> %s", (text, expected) => expect(withoutUsage(text)).toBe(expected));
});

describe("the end of an answer", () => {
  const finish = (index: number) => ({ ...top, choices: [{ index, delta: {}, finish_reason: "stop" }] });

  it("is reached when each of its choices has finished, however they interleave", () => {
    const ending = new Ending(2);
    for (const chunk of [finish(1), finish(1), { ...top, choices: [] }, top, null, "text", { choices: 1 }, { choices: [null, 1] }])
      ending.add(chunk);
    expect(ending.reached).toBe(false);
    ending.add(finish(0));
    expect(ending.reached).toBe(true);
  });
});

describe("an audio answer without a reason why it ended", () => {
  const heard = (audio: object) => ({ ...top, choices: [{ index: 0, delta: { audio }, finish_reason: null }] });

  it("has ended once all of the audio was told", () => {
    const ending = new Ending(1);
    for (const audio of [{ id: "audio_1", transcript: "hi", expires_at: null }, { data: "AAAA" }]) ending.add(heard(audio));
    expect(ending.reached).toBe(false);
    ending.add(heard({ expires_at: 1 }));
    expect(ending.reached).toBe(true);
  });
});

describe("a completion as a stream", () => {
  const completion = {
    id: "c",
    object: "chat.completion",
    created: 1,
    model: "m",
    choices: [
      { index: 0, message: { role: "assistant", content: "hello", refusal: null }, logprobs: null, finish_reason: "stop" },
      {
        index: 1,
        message: {
          role: "assistant",
          content: null,
          tool_calls: [{ id: "t", type: "function", function: { name: "f", arguments: "{}" } }],
        },
        logprobs: null,
        finish_reason: "tool_calls",
      },
    ],
    usage,
    system_fingerprint: "fp",
  };

  it("put together again is the completion", () => {
    const pieces = assembler({ choices: 2 });
    for (const chunk of chunksOf(completion, true)) pieces.add(chunk);
    const result = pieces.result();
    expect(result.complete && result.completion).toMatchObject({
      ...completion,
      choices: completion.choices.map((choice) => ({ ...choice, message: expect.objectContaining(choice.message) })),
    });
  });

  it("usage is there if it was asked for", () => {
    expect(chunksOf(completion, false).some((chunk) => "usage" in chunk)).toBe(false);
    expect(chunksOf(completion, true).at(-1)).toMatchObject({ choices: [], usage });
  });
});
