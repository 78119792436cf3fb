import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type Assembled, type AssemblerOptions, assembler } from "../../policy/completion.ts";

type Json = Record<string, unknown>;
type Plain = Json & { choices: (Json & { message: Json; logprobs: Json | null })[] };

const USAGE = { prompt_tokens: 9, completion_tokens: 12, total_tokens: 21, completion_tokens_details: { reasoning_tokens: 0 } };
const HEAD = { id: "chatcmpl-1", object: "chat.completion.chunk", created: 1_700_000_000, model: "gpt-5-mini-2025-08-07" };
const TAIL = { service_tier: "default", system_fingerprint: null };
const LAST = { ...HEAD, ...TAIL, choices: [], usage: USAGE, obfuscation: "x" };

const chunk = (...choices: unknown[]): Json => ({ ...HEAD, ...TAIL, choices, usage: null, obfuscation: "aB3" });
const piece = (delta: unknown, more: Json = {}): Json => chunk({ index: 0, delta, logprobs: null, finish_reason: null, ...more });
const end = (reason = "stop", index = 0): Json => chunk({ index, delta: {}, logprobs: null, finish_reason: reason });

function assemble(chunks: unknown[], options?: AssemblerOptions): Assembled {
  const assembling = assembler(options);
  for (const next of chunks) assembling.add(next);
  return assembling.result();
}
function completionOf(chunks: unknown[], options?: AssemblerOptions): Plain {
  const result = assemble(chunks, options);
  if (!result.complete) throw new Error(`missing ${result.missing}`);
  return result.completion as Plain;
}
const firstOf = (...chunks: unknown[]): Plain["choices"][number] => completionOf([...chunks, LAST]).choices[0]!;
const messageOf = (...deltas: unknown[]): Json => firstOf(...deltas.map((delta) => piece(delta)), end()).message;
const missingOf = (...asked: Parameters<typeof assemble>): string | null => ({ missing: null, ...assemble(...asked) }).missing;
/** The message that "Hi" becomes; the tables name only what differs. */
const MESSAGE = { role: "assistant", content: "Hi", refusal: null, annotations: [] };

describe("a whole stream", () => {
  it("becomes OpenAI's plain object, keys in its order", () => {
    const chunks = [piece({ role: "assistant", content: "" }), piece({ content: "H" }), piece({ content: "i" }), end(), LAST];
    const choices = [{ index: 0, message: MESSAGE, logprobs: null, finish_reason: "stop" }];
    const expected = { ...HEAD, object: "chat.completion", choices, usage: USAGE, ...TAIL };
    expect(JSON.stringify(completionOf(chunks))).toBe(JSON.stringify(expected));
    expect(assemble(chunks)).toMatchObject({ complete: true, usage: USAGE });
  });

  it("keeps three interleaved choices apart and sorts them", () => {
    const say = (index: number, content: string) => ({ index, delta: { content }, logprobs: null, finish_reason: null });
    const chunks = [chunk(say(2, "c")), chunk(say(0, "a"), say(1, "b")), chunk(say(2, "C")), end("stop", 1), chunk(say(0, "A"))];
    const { choices } = completionOf([...chunks, end("length", 0), end("stop", 2), LAST], { choices: 3 });
    const told = choices.map(({ index, message, finish_reason }) => `${index} ${message.content} ${finish_reason}`);
    expect(told).toEqual(["0 aA length", "1 b stop", "2 cC stop"]);
  });

  it("joins a hundred thousand pieces, and may be asked before and after the end", () => {
    const assembling = assembler();
    for (let i = 0; i < 100_000; i++) assembling.add(piece({ content: "ab" }));
    expect(assembling.result()).toEqual({ complete: false, missing: "finish_reason of choice 0" });
    for (const next of [end(), LAST]) assembling.add(next);
    expect(assembling.result()).toEqual(assembling.result());
    expect(assembling.result()).toMatchObject({ completion: { choices: [{ message: { content: "ab".repeat(100_000) } }] } });
  });
});

/** Deltas and the message they make, as JSON, because that is what comes over the wire. */
const MESSAGES: [string, string, string][] = [
  ["content never given is null", '[{"role":"assistant","content":null}]', '{"content":null}'],
  ["empty content is empty", '[{"role":"assistant","content":""}]', '{"content":""}'],
  ["refusal", '[{"content":null},{"refusal":"I am "},{"refusal":"sorry"}]', '{"content":null,"refusal":"I am sorry"}'],
  ["annotations", '[{"content":"Hi"},{"annotations":[{"a":1}]},{"annotations":[{"a":2}]}]', '{"annotations":[{"a":1},{"a":2}]}'],
  [
    "parallel tool calls are merged by index",
    `[{"tool_calls":[{"index":1,"id":"b","function":{"name":"g","arguments":""}},{"index":0,"id":"a","function":{"name":"f","arguments":"{"}}]},
      {"tool_calls":[{"index":1,"function":{"arguments":"[]"}},{"index":0,"function":{"arguments":"}"}}]}]`,
    '{"content":null,"tool_calls":[{"id":"a","function":{"name":"f","arguments":"{}"}},{"id":"b","function":{"name":"g","arguments":"[]"}}]}',
  ],
  [
    "ids and names that are repeated or blanked are set, not joined",
    `[{"tool_calls":[{"index":0,"id":"a","type":"function","function":{"name":"f","arguments":""}}]},
      {"tool_calls":[{"index":0,"id":"","type":"function","function":{"name":null,"arguments":"{}"}}]}]`,
    '{"content":null,"tool_calls":[{"id":"a","type":"function","function":{"name":"f","arguments":"{}"}}]}',
  ],
  ["no index", '[{"tool_calls":[{"id":"a"}]},{"tool_calls":[{"id":"b"},5]}]', '{"content":null,"tool_calls":[{"id":"a"},{"id":"b"}]}'],
  [
    "indexes far apart, and some that are none: no call is left out",
    '[{"tool_calls":[{"index":100000000,"id":"c"},{"index":2000,"id":"b"}]},{"tool_calls":[{"index":"0","id":"d"},{"index":0,"id":"a"},{"index":-1,"id":"e"}]}]',
    '{"content":null,"tool_calls":[{"id":"a"},{"id":"b"},{"id":"c"},{"id":"d"},{"id":"e"}]}',
  ],
  [
    "a legacy function call",
    '[{"function_call":{"name":"f","arguments":"{"}},{"function_call":{"arguments":"}"}}]',
    '{"content":null,"function_call":{"name":"f","arguments":"{}"}}',
  ],
  [
    "audio",
    '[{"audio":{"id":"a","data":"AA","transcript":"He"}},{"audio":{"id":"a","data":"BB","transcript":"y"}},{"audio":{"expires_at":5}}]',
    '{"content":null,"audio":{"id":"a","data":"AABB","transcript":"Hey","expires_at":5}}',
  ],
  ["wrong kinds", '[{"content":"H","tool_calls":5,"audio":"x"},{"content":7,"annotations":{}},{"content":"i","tool_calls":null}]', "{}"],
  ["text", '[{"content":"Hi","reasoning_content":"a"},{"reasoning_content":"b"},{"reasoning_content":null}]', '{"reasoning_content":"ab"}'],
  ["a list", '[{"content":"Hi","list":[1]},{"list":[{"a":2}]},{"list":null}]', '{"list":[1,{"a":2}]}'],
  [
    "a list with indexes",
    '[{"content":"Hi","steps":[{"index":1,"text":"x"}]},{"steps":[{"index":0,"text":"y"},{"index":1,"text":"z"}]}]',
    '{"steps":[{"index":0,"text":"y"},{"index":1,"text":"xz"}]}',
  ],
  ["an object", '[{"content":"Hi","a":{"b":{"text":"a","n":1}}},{"a":{"b":{"text":"b","n":2}}}]', '{"a":{"b":{"text":"ab","n":2}}}'],
  ["scalars", '[{"content":"Hi","n":1,"flag":true,"none":null},{"n":2,"flag":null}]', '{"n":2,"flag":null,"none":null}'],
];

describe("a message", () => {
  it.each(MESSAGES)("%s", (_, deltas, more) => expect(messageOf(...JSON.parse(deltas))).toEqual({ ...MESSAGE, ...JSON.parse(more) }));
});

describe("other fields", () => {
  it.each<[string, string, unknown]>([
    ["never given", "[null,null]", null],
    ["content", '[{"content":[1],"refusal":null},{"content":[{"token":"b"}]},null]', { content: [1, { token: "b" }], refusal: null }],
    ["refusal", '[{"content":null,"refusal":[1]},{"content":null,"refusal":[2,3]}]', { content: null, refusal: [1, 2, 3] }],
    ["nonsense", '["x",5,[]]', null],
  ])("logprobs: %s", (_, given, expected) => {
    const pieces = JSON.parse(given).map((logprobs: unknown) => piece({ content: "a" }, { logprobs }));
    expect(firstOf(...pieces, end()).logprobs).toEqual(expected);
  });

  it("takes the last value that is not null of unknown fields of the choice and of the chunk", () => {
    const first = { ...piece({}, { content_filter_results: { hate: 1 }, stop_reason: null }), nonce: 1, moderation: null };
    const next = { ...piece({}, { content_filter_results: null, message: 5 }), nonce: 2, moderation: { input: {} } };
    const completion = completionOf([first, next, end(), { ...LAST, nonce: null, system_fingerprint: "fp_1" }]);
    expect(completion).toMatchObject({ nonce: 2, moderation: { input: {} }, system_fingerprint: "fp_1" });
    expect(completion).not.toHaveProperty("obfuscation");
    expect(completion.choices[0]).toMatchObject({ content_filter_results: { hate: 1 }, stop_reason: null, message: { content: null } });
  });

  it("ends a whole audio answer that gives no reason", () => {
    const sound = piece({ audio: { id: "audio_1", data: "AA", transcript: "Hey" } });
    expect(firstOf(sound, chunk({ index: 0, delta: { audio: { expires_at: 5 } } })).finish_reason).toBe("stop");
    expect(missingOf([sound, LAST])).toBe("finish_reason of choice 0");
  });
});

describe("a truncated stream", () => {
  const text = piece({ content: "Hi" });
  it.each<[string, unknown[], AssemblerOptions, string | null]>([
    ["nothing came", [], {}, "choices"],
    ["only usage came", [LAST], {}, "choices"],
    ["cut in the text", [text], {}, "finish_reason of choice 0"],
    ["cut in the text of another choice", [text, chunk({ index: 1, delta: {} }), end()], {}, "finish_reason of choice 1"],
    ["without usage: the answer itself is whole", [text, end()], {}, null],
    ["usage that is none", [text, end(), { ...LAST, usage: {} }], {}, null],
    ["a choice that never began", [text, end(), LAST], { choices: 2 }, "choices"],
    ["a choice too many", [text, end(), end("stop", 1), LAST], { choices: 1 }, "choices"],
    ["any number of choices", [text, end(), end("stop", 1), LAST], { choices: null }, null],
    ["nonsense for an index", [-1, 0.5, 1_001, 1e300, "0", null].map((index) => chunk({ index, finish_reason: "stop" })), {}, "choices"],
  ])("%s", (_, chunks, options, missing) => expect(missingOf(chunks, options)).toBe(missing));

  it("has no usage to tell where none came", () => {
    expect(assemble([text, end()])).toMatchObject({ complete: true, usage: null });
    expect(completionOf([text, end()])).not.toHaveProperty("usage");
  });
});

/** Draws from a list of numbers, over and over: the property's source of where to cut and what comes next. */
function dice(numbers: number[]): (sides: number) => number {
  let at = 0;
  return (sides) => numbers[at++ % numbers.length]! % sides;
}
function cut<T extends string | unknown[]>(whole: T, roll: (sides: number) => number): T[] {
  if (whole.length < 2) return [whole];
  const at = roll(whole.length + 1);
  return at === 0 || at === whole.length ? [whole] : ([whole.slice(0, at), ...cut(whole.slice(at) as T, roll)] as T[]);
}
/** The deltas of one plain choice, as OpenAI would send them. */
function deltasOf({ message, logprobs, finish_reason }: Plain["choices"][number], roll: (sides: number) => number): Json[] {
  const streams: Json[][] = [];
  for (const key of ["content", "refusal"] as const) {
    const [text, logs] = [message[key] as string | null, (logprobs?.[key] ?? null) as unknown[] | null];
    if (text !== null) streams.push(cut(text, roll).map((part) => ({ delta: { [key]: part } })));
    if (logs !== null) streams.push(cut(logs, roll).map((part) => ({ delta: {}, logprobs: { content: null, [key]: part } })));
  }
  for (const [index, { id, type, ...plain }] of ((message.tool_calls ?? []) as Json[]).entries()) {
    const [kind, grows] = type === "custom" ? (["custom", "input"] as const) : (["function", "arguments"] as const);
    const { name, [grows]: whole } = plain[kind] as Record<string, string>;
    const rest = cut(whole!, roll).map((part) => ({ index, [kind]: { [grows]: part } }));
    streams.push([{ index, id, type, [kind]: { name, [grows]: "" } }, ...rest].map((call) => ({ delta: { tool_calls: [call] } })));
  }
  const first = { delta: { role: "assistant", content: null }, logprobs: logprobs === null ? null : { content: null, refusal: null } };
  return [first, ...interleave(streams, roll), { delta: {}, finish_reason }];
}
function interleave<T>(streams: T[][], roll: (sides: number) => number): T[] {
  const rest = streams.filter((stream) => stream.length > 0);
  const next = rest[roll(Math.max(1, rest.length))]?.splice(0, 1);
  return next === undefined ? [] : [...next, ...interleave(rest, roll)];
}

const words = fc.string({ unit: "grapheme", maxLength: 40 });
const maybe = <T>(value: fc.Arbitrary<T>) => fc.option(value, { nil: null });
const label = fc.string({ minLength: 1 });
const toolCall = fc.oneof(
  fc.record({ id: label, type: fc.constant("function"), function: fc.record({ name: label, arguments: words }) }),
  fc.record({ id: label, type: fc.constant("custom"), custom: fc.record({ name: label, input: words }) }),
);
const tokens = maybe(fc.array(fc.record({ token: words, logprob: fc.double({ noNaN: true }), bytes: maybe(fc.array(fc.nat(255))) })));
const texts = { role: fc.constant("assistant"), content: maybe(words), refusal: maybe(words), annotations: fc.constant([]) };
const choice = fc.record({
  message: fc.oneof(fc.record(texts), fc.record({ ...texts, tool_calls: fc.array(toolCall, { minLength: 1, maxLength: 4 }) })),
  logprobs: maybe(fc.record({ content: tokens, refusal: tokens })),
  finish_reason: fc.constantFrom("stop", "length", "tool_calls", "content_filter"),
});

/** JSON made of the assembler's own keys, so that nonsense gets past the first checks. */
const KEYS = "choices delta index content tool_calls function logprobs finish_reason usage audio id __proto__ constructor".split(" ");
const hostile = fc.letrec<{ json: unknown }>((tie) => ({
  json: fc.oneof(
    { maxDepth: 6 },
    fc.oneof(fc.constantFrom(null, -1, 0, 1, 1e9, ""), fc.jsonValue()),
    fc.array(tie("json"), { maxLength: 4 }),
    fc.array(fc.tuple(fc.constantFrom(...KEYS), tie("json")), { maxLength: 6 }).map((pairs) => Object.fromEntries(pairs)),
  ),
})).json;

describe("any stream", () => {
  const dies = fc.array(fc.nat(), { minLength: 1, maxLength: 60 });
  it("gives the plain completion back, however it was cut, and leaves the chunks as they were", () => {
    const gives = fc.property(fc.array(choice, { minLength: 1, maxLength: 4 }), dies, (drawn, numbers) => {
      const roll = dice(numbers);
      const choices = drawn.map((one, index) => ({ index, ...one }));
      const streams = choices.map((one, index) => deltasOf(one, roll).map((delta) => ({ index, ...delta })));
      const chunks = [...cut(interleave(streams, roll), roll).map((together) => chunk(...together)), LAST];
      const before = JSON.stringify(chunks);
      const expected = { ...HEAD, object: "chat.completion", choices, usage: USAGE, ...TAIL };
      expect(completionOf(chunks, { choices: choices.length })).toEqual(expected);
      expect(missingOf(chunks.slice(0, -1))).toBe(null);
      expect(JSON.stringify(chunks)).toBe(before);
    });
    fc.assert(gives);
  });

  it("never throws, nor touches a prototype, whatever JSON comes", () => {
    const survives = fc.property(fc.array(hostile), (chunks) => {
      const chosen = chunks.flatMap((json) => [piece(json), piece({}, { logprobs: json }), chunk(json)]);
      assemble(chunks);
      assemble([...chunks.flatMap((json) => [{ choices: json }, { usage: json }]), ...chosen, end()]);
      expect(Object.keys(Object.prototype)).toEqual([]);
    });
    fc.assert(survives);
  });

  it.each([
    ["nesting", `${'{"a":'.repeat(50_000)}{}${"}".repeat(50_000)}`],
    ["prototypes", '{"a":{"__proto__":{"polluted":1}},"__proto__":{"polluted":1},"constructor":{"prototype":{"polluted":1}}}'],
  ])("survives hostile %s, merged with itself", (_, json) => {
    const [message, again] = [messageOf(JSON.parse(json), JSON.parse(json)), {}] as const;
    expect(Object.getPrototypeOf(message)).toBe(Object.prototype);
    expect(message).toHaveProperty("a");
    for (const object of [message, message.a, again]) expect(object).not.toHaveProperty("polluted");
  });
});
