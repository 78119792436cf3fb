import { describe, expect, it } from "vitest";
import { z } from "zod";
import { findModel } from "../../workers/simulator/catalog.ts";
import { completion, type Envelope } from "../../workers/simulator/completion.ts";
import { valueFor } from "../../workers/simulator/json-value.ts";
import { answer } from "../../workers/simulator/model.ts";
import { dueMs } from "../../workers/simulator/pace.ts";
import { Random } from "../../workers/simulator/random.ts";
import type { ChatRequest } from "../../workers/simulator/request.ts";
import { Transcript } from "../../workers/simulator/transcript.ts";
import { assemble, type Chunk, readEvents } from "./assemble.ts";

const CARD = findModel("gpt-5-mini")!;
const ENVELOPE: Envelope = { id: "chatcmpl-1", created: 1, model: "gpt-5-mini", service_tier: "default", system_fingerprint: "fp_1" };

function ask(content: string, more: Partial<ChatRequest> = {}): ChatRequest {
  return { model: "gpt-5-mini", messages: [{ role: "user", content }], ...more };
}

function streamed(request: ChatRequest, seed = 1, includeUsage = true): Chunk[] {
  const transcript = new Transcript(answer(request, CARD, seed), ENVELOPE, includeUsage);
  return readEvents(Array.from({ length: transcript.steps }, (_, step) => transcript.step(step)).join(""));
}

type Completion = ReturnType<typeof assemble>;
function plain(request: ChatRequest, seed = 1): Completion {
  return JSON.parse(JSON.stringify(completion(answer(request, CARD, seed), ENVELOPE)));
}

const WEATHER = {
  type: "function",
  function: {
    name: "get_weather",
    parameters: {
      type: "object",
      properties: { city: { type: "string" }, days: { type: "integer", minimum: 1, maximum: 7 }, unit: { enum: ["c", "f"] } },
      required: ["city", "unit"],
    },
  },
};

describe("determinism", () => {
  it("the same seed and request give the same answer, whatever the order of fields and whether or not it streams", () => {
    const [one, two] = [ask("hello", { temperature: 1, n: 2 }), { stream: true, n: 2, temperature: 1, ...ask("hello") }];
    expect(plain(two)).toEqual(plain(one));
  });

  it("another seed or another prompt gives another answer", () => {
    const texts = [plain(ask("hello")), plain(ask("hello"), 2), plain(ask("hello!"))].map(({ choices }) => choices[0]?.message.content);
    expect(new Set(texts).size).toBe(3);
  });
});

describe("plain == what the chunks add up to", () => {
  const schema = { type: "object", properties: { a: { type: "array", items: { type: "number" } } }, required: ["a"] };
  it.each<[string, ChatRequest]>([
    ["prose", ask("hello")],
    ["three choices", ask("hello", { n: 3 })],
    ["cut by length", ask("hello", { max_completion_tokens: 5 })],
    ["logprobs", ask("hello", { logprobs: true, top_logprobs: 2, n: 2, max_tokens: 12 })],
    ["tools", ask("weather?", { tools: [WEATHER] })],
    ["two tools, several choices", ask("weather?", { tools: [WEATHER, { type: "function", function: { name: "now" } }], n: 8 })],
    ["tools cut by length", ask("weather?", { tools: [WEATHER], max_tokens: 4 })],
    ["json_schema", ask("go", { response_format: { type: "json_schema", json_schema: { name: "s", schema } } })],
    ["echo of nothing", ask("echo:")],
    ["echo of anything", ask('echo: "quotes"\n\n\tand 🦉 owls ')],
  ])("%s", (_, request) => {
    expect(assemble(streamed(request))).toEqual(plain(request));
  });

  it("usage comes once, at the end, on a chunk without choices, and is null before it", () => {
    const chunks = streamed(ask("hello"));
    expect(chunks.slice(0, -1).every(({ usage, choices }) => usage === null && choices.length === 1)).toBe(true);
    expect(chunks.at(-1)).toMatchObject({ choices: [], usage: { total_tokens: expect.any(Number) } });
    expect(streamed(ask("hello"), 1, false).every((chunk) => !("usage" in chunk))).toBe(true);
  });

  it("chunks of several choices are interleaved", () => {
    const order = streamed(ask("hello", { n: 3 })).flatMap(({ choices }) => choices.map(({ index }) => index));
    expect(order.slice(0, 9)).toEqual([0, 1, 2, 0, 1, 2, 0, 1, 2]);
  });
});

describe("what is answered", () => {
  it("echo: the answer is exactly the text", () => {
    expect(plain(ask("echo:  one\ntwo  ")).choices[0]?.message.content).toBe("one\ntwo  ");
  });

  it("max_completion_tokens caps each choice", () => {
    const answered = plain(ask("hello", { max_completion_tokens: 7, n: 2 }));
    expect(answered.choices.map((choice) => choice.finish_reason)).toEqual(["length", "length"]);
    expect(answered.usage?.completion_tokens).toBe(14);
  });

  it("lengths are spread around what a chat answer has", () => {
    const lengths = Array.from({ length: 500 }, (_, seed) => answer(ask("hello"), CARD, seed).completionTokens).sort((a, b) => a - b);
    expect(lengths[250]).toBeGreaterThan(90);
    expect(lengths[250]).toBeLessThan(150);
    expect(lengths[490]).toBeGreaterThan(300);
  });

  it("stops at a stop sequence", () => {
    const content = plain(ask("echo: one, two, END three", { stop: ["END"] })).choices[0]?.message.content;
    expect(content).toBe("one, two, ");
  });

  it("a tool is called with arguments that fit its parameters", () => {
    const { message, finish_reason } = plain(ask("weather?", { tools: [WEATHER] })).choices[0]!;
    const [call] = message.tool_calls!;
    expect([finish_reason, message.content, call?.function.name]).toEqual(["tool_calls", null, "get_weather"]);
    const shape = z.object({ city: z.string(), days: z.int().min(1).max(7), unit: z.enum(["c", "f"]) });
    expect(shape.safeParse(JSON.parse(call!.function.arguments)).success).toBe(true);
  });

  it("no tool is called when it may not be, or when its result has just come", () => {
    expect(plain(ask("hello", { tools: [WEATHER], tool_choice: "none" })).choices[0]?.finish_reason).toBe("stop");
    const request = ask("weather?", { tools: [WEATHER] });
    request.messages.push({ role: "tool", content: "20 C" });
    expect(plain(request).choices[0]?.finish_reason).toBe("stop");
  });

  it("tool_choice names the tool", () => {
    const tools = ["a", "b", "c"].map((name) => ({ type: "function", function: { name } }));
    const request = ask("go", { tools, tool_choice: { type: "function", function: { name: "b" } } });
    expect(plain(request).choices[0]?.message.tool_calls?.map((call) => call.function.name)).toEqual(["b"]);
  });

  it("json_object is an object", () => {
    const content = plain(ask("json please", { response_format: { type: "json_object" } })).choices[0]?.message.content;
    expect(JSON.parse(content!)).toEqual(expect.objectContaining({}));
  });

  it("logprobs: one entry per token, with as many alternatives as asked, whose bytes are the token's", () => {
    const choice = plain(ask("hello", { logprobs: true, top_logprobs: 3, max_tokens: 5 })).choices[0]!;
    expect(choice.logprobs?.content).toHaveLength(5);
    for (const { token, bytes, logprob, top_logprobs } of choice.logprobs!.content) {
      expect(Buffer.from(bytes).toString()).toBe(token);
      expect(logprob).toBeLessThanOrEqual(0);
      expect(top_logprobs).toHaveLength(3);
    }
  });
});

describe("json_schema", () => {
  const Node: z.ZodType = z.lazy(() => z.object({ name: z.string(), children: z.array(Node) }));
  it.each<[string, z.ZodType]>([
    [
      "scalars",
      z.object({ s: z.string(), i: z.int(), n: z.number(), b: z.boolean(), z: z.null(), c: z.literal("x"), e: z.enum(["p", "q"]) }),
    ],
    [
      "bounds",
      z.object({ low: z.number().min(-3).max(-2), i: z.int().min(5).max(6), s: z.string().min(30).max(40), f: z.number().max(0) }),
    ],
    [
      "nesting",
      z.object({ list: z.array(z.object({ tags: z.array(z.string()).min(2).max(2) })), deep: z.object({ a: z.object({ b: z.int() }) }) }),
    ],
    ["choices", z.object({ u: z.union([z.object({ kind: z.literal("a") }), z.string()]), n: z.string().nullable() })],
    ["formats", z.object({ d: z.iso.date(), t: z.iso.datetime(), m: z.email(), u: z.uuid() })],
    ["optional", z.object({ a: z.string(), b: z.int().optional() })],
    ["recursion", Node],
  ])("satisfies %s", (_, shape) => {
    const schema = z.toJSONSchema(shape);
    for (let seed = 0; seed < 50; seed++) shape.parse(valueFor(schema, new Random(seed)));
  });
});

describe("pace", () => {
  it("steps never come out of order", () => {
    const { pace, completionTokens } = answer(ask("hello"), CARD, 3);
    for (let step = 1; step <= completionTokens; step++) expect(dueMs(pace, step)).toBeGreaterThan(dueMs(pace, step - 1));
  });

  it("the first token takes about a third of a second, the others come at 80 to 120 a second", () => {
    const paces = Array.from({ length: 400 }, (_, seed) => answer(ask("hello"), CARD, seed).pace);
    const first = paces.map(({ firstMs }) => firstMs).sort((left, right) => left - right);
    expect(first[200]).toBeGreaterThan(310);
    expect(first[200]).toBeLessThan(390);
    for (const { everyMs } of paces) expect(1000 / everyMs).toSatisfy((rate: number) => rate >= 80 && rate <= 120);
  });

  it("a longer prompt takes longer to read", () => {
    const long = answer(ask("x".repeat(400_000)), CARD, 1).pace.firstMs;
    expect(long).toBeGreaterThan(2000);
  });
});
