import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { estimatePromptTokens, reservedTokens } from "../../policy/estimate.ts";
import { ChatRequest } from "../../schemas/job.ts";

const request = (content: unknown, more: Record<string, unknown> = {}): ChatRequest => ({
  model: "gpt-5-mini",
  messages: [{ role: "user", content }],
  ...more,
});
const withMessage = (message: Record<string, unknown>): ChatRequest => ({
  model: "gpt-5-mini",
  messages: [{ role: "assistant", ...message }],
});
/** Tokens of a message, and of the reply it starts. */
const OVERHEAD = 4 + 3;
const text = (length: number) => "x".repeat(length);
const tool = {
  type: "function",
  function: {
    name: "weather",
    parameters: { type: "object", properties: { city: { type: "string" } }, required: ["city"], additionalProperties: false },
  },
};
const inJson = (value: unknown) => JSON.stringify(value).length;

describe("the prompt", () => {
  it.each<[string, ChatRequest, number]>([
    ["nothing", request(undefined), 0],
    ["null", request(null), 0],
    ["text: four characters a token, rounded up", request(text(401)), 101],
    ["a 2 MB text", request(text(2_000_000)), 500_000],
    [
      "text parts, summed before they are rounded",
      request([
        { type: "text", text: "ab" },
        { type: "text", text: "cd" },
        { type: "refusal", refusal: "abcd" },
      ]),
      2,
    ],
    [
      "an image of low detail",
      request([{ type: "image_url", image_url: { url: `data:image/png;base64,${text(90_000)}`, detail: "low" } }]),
      85,
    ],
    ["an image of high detail", request([{ type: "image_url", image_url: { url: "https://example.com/a.png", detail: "high" } }]), 1_105],
    ["an image of no detail", request([{ type: "image_url", image_url: { url: "https://example.com/a.png" } }]), 1_105],
    ["an image that is none", request([{ type: "image_url" }]), 1_105],
    ["ten seconds of WAV", request([{ type: "input_audio", input_audio: { data: text(426_670), format: "wav" } }]), 107],
    ["ten seconds of MP3", request([{ type: "input_audio", input_audio: { data: text(53_330), format: "mp3" } }]), 107],
    ["audio that is none", request([{ type: "input_audio", input_audio: 5 }]), 0],
    ["a file of a page", request([{ type: "file", file: { file_data: text(67_000), filename: "a.pdf" } }]), 1_675],
    ["a huge file", request([{ type: "file", file: { file_data: text(20_000_000) } }]), 170_000],
    ["a file by id", request([{ type: "file", file: { file_id: "file-1" } }]), 8_500],
    [
      "an unknown part, by its JSON",
      request([{ type: "poem", lines: ["a", "b"] }]),
      Math.ceil(inJson({ type: "poem", lines: ["a", "b"] }) / 4),
    ],
    ["parts that are no objects", request(["abcd", null, 12345678]), 3],
    ["a name", withMessage({ content: "abcd", name: "anna" }), 2],
    [
      "tool calls",
      withMessage({ content: null, tool_calls: [{ id: "call_1", type: "function", function: { name: "f", arguments: text(400) } }] }),
      Math.ceil(inJson([{ id: "call_1", type: "function", function: { name: "f", arguments: text(400) } }]) / 4),
    ],
    [
      "a function call",
      withMessage({ function_call: { name: "f", arguments: text(400) } }),
      Math.ceil(inJson({ name: "f", arguments: text(400) }) / 4),
    ],
    ["tools", request("", { tools: [tool, tool] }), Math.ceil(inJson([tool, tool]) / 4)],
    ["functions", request("", { functions: [tool.function] }), Math.ceil(inJson([tool.function]) / 4)],
    [
      "a schema to answer by",
      request("", { response_format: { type: "json_schema", json_schema: tool } }),
      Math.ceil(inJson({ type: "json_schema", json_schema: tool }) / 4),
    ],
    ["fields that are no prompt", request("", { metadata: { a: text(400) }, tools: null }), 0],
  ])("%s", (_, asked, tokens) => expect(estimatePromptTokens(asked)).toBe(OVERHEAD + tokens));

  it("adds a few tokens for each message", () => {
    const messages = Array.from({ length: 10 }, () => ({ role: "user", content: "abcd" }));
    expect(estimatePromptTokens({ model: "gpt-5-mini", messages })).toBe(10 * (1 + 4) + 3);
  });

  it("looks at each value a bounded number of times", () => {
    const looksAt = (size: number): number => {
      let looks = 0;
      const look = <T>(value: T): T => {
        looks++;
        return value;
      };
      const counted = <T extends object>(target: T): T =>
        new Proxy(target, { get: (of, key) => look(Reflect.get(of, key)), ownKeys: (of) => look(Reflect.ownKeys(of)) });
      const parts = Array.from({ length: size }, () => counted({ type: "text", text: "a" }));
      estimatePromptTokens(
        request(counted(parts), { tools: counted(Array.from({ length: size }, () => counted({ a: counted({ b: "c" }) }))) }),
      );
      return looks;
    };
    expect(looksAt(2_000) - looksAt(1_000)).toBe(looksAt(1_000) - looksAt(0));
  });

  it("survives nesting deeper than the stack", () => {
    const deep = JSON.parse(`${"[".repeat(100_000)}${"]".repeat(100_000)}`);
    expect(estimatePromptTokens(request(deep, { tools: deep }))).toBe(OVERHEAD + 2 * 50_000);
  });
});

describe("the reservation", () => {
  it.each<[string, Record<string, unknown>, number, number]>([
    ["the default output", {}, 500, 500],
    ["max_tokens", { max_tokens: 100 }, 500, 100],
    ["max_completion_tokens before max_tokens", { max_completion_tokens: 50, max_tokens: 100 }, 500, 50],
    ["nulls are absent", { max_completion_tokens: null, max_tokens: null, n: null }, 500, 500],
    ["each of n choices", { max_tokens: 5_000, n: 100 }, 500, 500_000],
    ["a default with a fraction", {}, 0.5, 1],
    ["a default that is no count", {}, Number.NaN, 0],
    ["a negative default", {}, -5, 0],
  ])("%s", (_, more, byDefault, output) => expect(reservedTokens(request("abcd", more), byDefault)).toBe(OVERHEAD + 1 + output));
});

describe("any request that passes the schema", () => {
  const part = fc.oneof(
    fc.jsonValue(),
    fc.record(
      {
        type: fc.constantFrom("text", "refusal", "image_url", "input_audio", "file", "x"),
        text: fc.jsonValue(),
        image_url: fc.jsonValue(),
        input_audio: fc.jsonValue(),
        file: fc.jsonValue(),
      },
      { requiredKeys: ["type"] },
    ),
    fc.record({ type: fc.constant("file"), file: fc.record({ file_data: fc.string() }) }),
  );
  const message = fc.record(
    { role: fc.string(), content: fc.oneof(fc.string(), fc.jsonValue(), fc.array(part)), name: fc.jsonValue(), tool_calls: fc.jsonValue() },
    { requiredKeys: ["role"] },
  );
  const count = fc.option(fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }), { nil: null });
  const requests = fc.record(
    {
      model: fc.constant("gpt-5-mini"),
      messages: fc.array(message, { minLength: 1 }),
      tools: fc.jsonValue(),
      response_format: fc.jsonValue(),
      n: fc.option(fc.integer({ min: 1, max: 128 }), { nil: null }),
      max_tokens: count,
      max_completion_tokens: count,
    },
    { requiredKeys: ["model", "messages"] },
  );

  it("reserves a positive integer, no less than the prompt, which no more content makes smaller", () => {
    fc.assert(
      fc.property(requests, message, fc.nat(), (drawn, more, byDefault) => {
        const asked = ChatRequest.parse(drawn);
        const prompt = estimatePromptTokens(asked);
        const reserved = reservedTokens(asked, byDefault);
        expect(prompt).toBeGreaterThanOrEqual(1);
        expect([prompt, reserved].every(Number.isSafeInteger)).toBe(true);
        expect(reserved).toBeGreaterThanOrEqual(prompt);
        expect(estimatePromptTokens({ ...asked, messages: [...asked.messages, more] })).toBeGreaterThan(prompt);
      }),
    );
  });

  it("counts plain JSON as JSON.stringify does", () => {
    const plain = fc.letrec<{ json: unknown }>((tie) => ({
      json: fc.oneof(
        { maxDepth: 4 },
        fc.oneof(fc.string({ unit: fc.constantFrom("a", "é", "漢") }), fc.integer(), fc.boolean(), fc.constant(null)),
        fc.array(tie("json")),
        fc.dictionary(fc.constantFrom("a", "bc", "def"), tie("json")),
      ),
    })).json;
    fc.assert(
      fc.property(plain, (tools) => {
        expect(estimatePromptTokens(request("", { tools: [tools] }))).toBe(OVERHEAD + Math.ceil(inJson([tools]) / 4));
      }),
    );
  });
});
