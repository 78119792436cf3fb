/**
 * Tokens to reserve when a call is admitted, before upstream has counted them. OpenAI's limiter does not tokenise
 * either: it estimates the prompt from its number of characters and adds the most that the answer may take, for each
 * of `n` choices. The exact rule is unpublished, so guesses lean upward; what a call really used is settled afterwards.
 */
import type { ChatRequest } from "../schemas/job.ts";

const CHARACTERS_PER_TOKEN = 4;
/** Role and delimiters of a message, and the start of the reply (OpenAI Cookbook, "How to count tokens with tiktoken": 3 + 1, and 3). */
const MESSAGE_TOKENS = 4;
const REPLY_TOKENS = 3;

/**
 * Images are charged by size, which cannot be seen here. OpenAI's published tile formula is 85 tokens, plus 170 for
 * each tile of 512 px unless `detail` is low: 765 for 1024×1024 (4 tiles), 1,105 for 2048×4096 (6 tiles). The larger
 * of these two published examples also covers the 1,024 patches that a 1024×1024 image costs with GPT-4.1.
 */
const LOW_DETAIL_IMAGE_TOKENS = 85;
const IMAGE_TOKENS = 1_105;

/**
 * A guess: audio costs about 10 tokens a second. WAV at 16 kHz and 16 bits has 42,667 base64 characters a second;
 * MP3 at 32 kbit/s, the lowest usual rate for speech, has 5,333. Richer audio is overestimated.
 */
const WAV_CHARACTERS_PER_TOKEN = 4_000;
const AUDIO_CHARACTERS_PER_TOKEN = 500;

/**
 * A guess: a PDF page costs an image and its text, 1,700 tokens together, and takes 50 kB (67,000 base64 characters).
 * At most a hundred pages count, so that a heavy scan does not exceed every limit. A file known only by id counts as five.
 */
const FILE_CHARACTERS_PER_TOKEN = 40;
const PAGE_TOKENS = 1_700;
const FILE_TOKENS_LIMIT = 100 * PAGE_TOKENS;
const UNSEEN_FILE_TOKENS = 5 * PAGE_TOKENS;

/** Characters are summed before they are divided: rounding each piece up would charge a token for every short one. */
type Sum = { characters: number; tokens: number };

/**
 * The tokens that upstream will count for the prompt: an integer ≥ 1. Takes time linear in the number of JSON values,
 * not of characters. Never throws for a request that passed the schema.
 */
export function estimatePromptTokens(request: ChatRequest): number {
  const sum: Sum = { characters: 0, tokens: REPLY_TOKENS };
  for (const message of request.messages) addMessage(sum, message);
  for (const field of [request.tools, request.functions, request.response_format]) {
    if (field !== undefined && field !== null) sum.characters += jsonLength(field);
  }
  return Math.ceil(sum.characters / CHARACTERS_PER_TOKEN) + sum.tokens;
}

/**
 * The tokens to reserve for a call: the prompt's, and for each of `n` choices the most it may produce, which is
 * `defaultOutputTokens` where the request sets no bound. An integer ≥ 1; never throws for a request that passed the schema.
 */
export function reservedTokens(request: ChatRequest, defaultOutputTokens: number, prompt = estimatePromptTokens(request)): number {
  const output = request.max_completion_tokens ?? request.max_tokens ?? defaultOutputTokens;
  // A default of NaN or Infinity must not make a sum that no bucket can compare.
  const whole = Number.isFinite(output) ? Math.max(0, Math.ceil(output)) : 0;
  return Math.min(Number.MAX_SAFE_INTEGER, prompt + (request.n ?? 1) * whole);
}

function addMessage(sum: Sum, message: Record<string, unknown>): void {
  sum.tokens += MESSAGE_TOKENS;
  for (const field of ["name", "refusal", "tool_calls", "function_call"]) addText(sum, message[field]);
  const content = message.content;
  if (!Array.isArray(content)) addText(sum, content);
  else for (const part of content) addPart(sum, part);
}

/** Text counts by its length, null and undefined not at all, anything else by the length of its JSON. */
function addText(sum: Sum, value: unknown): void {
  if (typeof value === "string") sum.characters += value.length;
  else if (value !== undefined && value !== null) sum.characters += jsonLength(value);
}

function addPart(sum: Sum, part: unknown): void {
  if (!isObject(part)) addText(sum, part);
  else if (part.type === "text") addText(sum, part.text);
  else if (part.type === "refusal") addText(sum, part.refusal);
  else if (part.type === "image_url") sum.tokens += imageTokens(part.image_url);
  else if (part.type === "input_audio") sum.tokens += audioTokens(part.input_audio);
  else if (part.type === "file") sum.tokens += fileTokens(part.file);
  else addText(sum, part);
}

function imageTokens(image: unknown): number {
  return isObject(image) && image.detail === "low" ? LOW_DETAIL_IMAGE_TOKENS : IMAGE_TOKENS;
}

function audioTokens(audio: unknown): number {
  if (!isObject(audio) || typeof audio.data !== "string") return 0;
  return Math.ceil(audio.data.length / (audio.format === "wav" ? WAV_CHARACTERS_PER_TOKEN : AUDIO_CHARACTERS_PER_TOKEN));
}

function fileTokens(file: unknown): number {
  if (!isObject(file) || typeof file.file_data !== "string") return UNSEEN_FILE_TOKENS;
  return Math.min(FILE_TOKENS_LIMIT, Math.ceil(file.file_data.length / FILE_CHARACTERS_PER_TOKEN));
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/**
 * The length of the `JSON.stringify` text, escapes not counted, without building it. The stack is explicit, because
 * a client may nest deeper than recursion can go.
 */
function jsonLength(root: unknown): number {
  let length = 0;
  const rest: unknown[] = [root];
  while (rest.length > 0) {
    const value = rest.pop();
    if (typeof value === "string") length += value.length + 2;
    else if (Array.isArray(value)) {
      length += 2 + Math.max(0, value.length - 1);
      for (const element of value) rest.push(element);
    } else if (isObject(value)) {
      const entries = Object.entries(value);
      length += 2 + Math.max(0, entries.length - 1);
      for (const [key, member] of entries) {
        length += key.length + 3;
        rest.push(member);
      }
    } else length += String(value).length;
  }
  return length;
}
