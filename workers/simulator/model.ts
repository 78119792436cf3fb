import type { ModelCard } from "./catalog.ts";
import { textOf } from "./charge.ts";
import { valueFor } from "./json-value.ts";
import { choosePace, type Pace } from "./pace.ts";
import { splitTokens, writeProse } from "./prose.ts";
import { hash, Random } from "./random.ts";
import { type ChatRequest, countPromptTokens } from "./request.ts";

export interface ToolCall {
  id: string;
  name: string;
  fragments: string[];
}

export interface Choice {
  /** Tokens; null if the model calls tools instead. */
  content: string[] | null;
  toolCalls: ToolCall[];
  finishReason: "stop" | "length" | "tool_calls";
}

export interface Answer {
  seed: number;
  choices: Choice[];
  /** How many alternatives to show beside each token; undefined if no log probabilities were asked for. */
  topLogprobs: number | undefined;
  promptTokens: number;
  completionTokens: number;
  pace: Pace;
}

// Tokens per answer: most have 60 to 250, a few are long.
const MEDIAN_LENGTH = 120;
const LENGTH_SIGMA = 0.7;
const LONGEST = 2000;

/** What the model says, and when. The same seed and request give the same answer, streamed or not. */
export function answer(request: ChatRequest, card: ModelCard, seed: number): Answer {
  const own = requestHash(request, seed);
  const random = new Random(own);
  const promptTokens = countPromptTokens(request);
  const pace = choosePace(random, promptTokens, own);
  const cap = request.max_completion_tokens ?? request.max_tokens ?? card.maxOutput;
  const choices = Array.from({ length: request.n ?? 1 }, () => choose(request, cap, random));
  const completionTokens = choices.reduce((total, choice) => total + countUnits(choice), 0);
  const topLogprobs = request.logprobs === true ? (request.top_logprobs ?? 0) : undefined;
  return { seed: own, choices, topLogprobs, promptTokens, completionTokens, pace };
}

/** Equal for requests that ask the same, whatever the order of their fields and whether or not they stream. */
export function requestHash(request: ChatRequest, seed: number): number {
  const { stream: _stream, stream_options: _options, ...asked } = request;
  return hash(JSON.stringify(Object.entries(asked).sort(([left], [right]) => (left < right ? -1 : 1))), seed);
}

/** Tokens of a choice; the head of a tool call (its id and name) is one. */
export function countUnits(choice: Choice): number {
  return (choice.content ?? []).length + choice.toolCalls.reduce((total, call) => total + 1 + call.fragments.length, 0);
}

function choose(request: ChatRequest, cap: number, random: Random): Choice {
  const echo = echoOf(request);
  if (echo !== undefined) return say(splitTokens(echo), cap, request);
  const tools = callableTools(request);
  if (tools.length > 0) return callTools(tools, request, cap, random);
  const format = request.response_format?.type ?? "text";
  if (format === "text") return say(writeProse(random, chooseLength(request, random)), cap, request);
  const value = valueFor(request.response_format?.json_schema?.schema ?? ANY_OBJECT, random);
  return say(splitTokens(JSON.stringify(value), 6), cap, request);
}

const ANY_OBJECT = { type: "object", properties: { answer: { type: "string" }, confidence: { type: "number", minimum: 0, maximum: 1 } } };

/** For tests: a last user message `echo: …` is answered with exactly what follows. */
function echoOf(request: ChatRequest): string | undefined {
  const last = request.messages.findLast(({ role }) => role === "user");
  return last === undefined ? undefined : /^echo:\s*(.*)$/s.exec(textOf(last.content))?.[1];
}

/** For tests and benchmarks: `metadata.simulate_tokens` fixes the length. */
function chooseLength(request: ChatRequest, random: Random): number {
  const drawn = Math.round(random.logNormal(MEDIAN_LENGTH, LENGTH_SIGMA));
  const fixed = Number.parseInt(request.metadata?.simulate_tokens ?? "", 10);
  return Math.max(1, Math.min(LONGEST, Number.isNaN(fixed) ? drawn : fixed));
}

function say(tokens: string[], cap: number, request: ChatRequest): Choice {
  const stopped = stopAt(tokens, request.stop);
  const cut = stopped.length > cap;
  return { content: cut ? stopped.slice(0, cap) : stopped, toolCalls: [], finishReason: cut ? "length" : "stop" };
}

function stopAt(tokens: string[], stop: ChatRequest["stop"]): string[] {
  const stops = (typeof stop === "string" ? [stop] : (stop ?? [])).filter((text) => text !== "");
  if (stops.length === 0) return tokens;
  const text = tokens.join("");
  const ends = stops.map((word) => text.indexOf(word)).filter((index) => index >= 0);
  return ends.length === 0 ? tokens : splitTokens(text.slice(0, Math.min(...ends)));
}

type FunctionTool = NonNullable<NonNullable<ChatRequest["tools"]>[number]["function"]>;

/** A model that was given a tool's result talks about it; if it always called the tool again, the conversation would never end. */
function callableTools(request: ChatRequest): FunctionTool[] {
  const choice = request.tool_choice ?? "auto";
  const functions = (request.tools ?? []).flatMap((tool) => (tool.function == null ? [] : [tool.function]));
  if (typeof choice === "object") return functions.filter(({ name }) => name === choice.function?.name);
  if (choice === "none") return [];
  return choice === "auto" && request.messages.at(-1)?.role === "tool" ? [] : functions;
}

function callTools(tools: FunctionTool[], request: ChatRequest, cap: number, random: Random): Choice {
  const parallel = tools.length > 1 && request.parallel_tool_calls !== false && random.next() < 0.25;
  const toolCalls: ToolCall[] = [];
  let left = cap;
  for (let count = parallel ? 2 : 1; count > 0 && left > 0; count--) {
    const { name, parameters } = random.pick(tools);
    const written = splitTokens(JSON.stringify(valueFor({ type: "object", ...parameters }, random)), 6);
    const fragments = written.slice(0, left - 1);
    left = fragments.length < written.length ? 0 : left - 1 - fragments.length;
    toolCalls.push({ id: `call_${random.letters(24)}`, name, fragments });
    if (fragments.length < written.length) return { content: null, toolCalls, finishReason: "length" };
  }
  return { content: null, toolCalls, finishReason: parallel && toolCalls.length < 2 ? "length" : "tool_calls" };
}
