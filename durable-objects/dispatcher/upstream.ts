/** The one importer of `openai`, and the one reader of the OpenAI key. */
import OpenAI, { APIConnectionTimeoutError, APIError, APIUserAbortError } from "openai";
import type { Env } from "../../platform/objects.ts";
import { text } from "../../platform/settings.ts";
import { chunksIn } from "../../policy/chunks.ts";
import { readRates, readRetryAfter } from "../../policy/rate-headers.ts";
import { excerptOf, wordOf } from "../../policy/upstream-errors.ts";
import { cutDeeper, isNestedDeeper, NESTING_LIMIT } from "../../schemas/nesting.ts";
import type { RateReading } from "../../schemas/rate.ts";
import type { Leave } from "./leave.ts";
import { AT_ONCE, Line, SENDING, Sending } from "./sending.ts";
import { messagesOf, wholeOf } from "./sse.ts";

const SECRET_CHARACTERS = 6;
/** A page where an answer should be: a portal that asks to log in, or the front page of another service. */
const PAGE = {
  message: "Upstream answered with a web page: set OPENAI_BASE_URL to the right address.",
  type: "invalid_request_error",
  code: "unknown_url",
};

/** A call that upstream refused or that broke, in plain words. */
export type UpstreamFailure = {
  /** HTTP status; null when there was no response, or the stream broke. */
  status: number | null;
  code: string | null;
  type: string | null;
  message: string;
  param: string | null;
  /** How long upstream asks us to wait, ms. */
  retryAfterMs: number | null;
  /** Upstream's word on whether another try could help; null if it says nothing. */
  shouldRetry: boolean | null;
  /** `abort`: we broke it off. `unsent`: nothing left for upstream. */
  cause: "response" | "network" | "stream" | "abort" | "unsent";
  /** It is certain that upstream has not taken the request, whatever the cause. */
  untaken?: true;
};

/**
 * `rates`: what the answer's headers say about upstream's limits. `requestId`: upstream's id of the call. Each is null if there is no answer, or it does
 * not say.
 */
export type Stream = { rates: RateReading | null; requestId: string | null } & (
  | { ok: true; pieces: AsyncIterable<Piece> }
  | { ok: false; failure: UpstreamFailure }
);

/** A chunk of an answer: what it means, and how upstream wrote it. */
export type Piece = { value: unknown; text: string };

export type Upstream = {
  /**
   * Calls with `stream: true` and usage; resolves when the response headers are there. Never throws. `timeoutMs`: the SDK's own timeout. `alive`:
   * part of the answer's body has come. `leave`: asked before the request is sent, or its end, as late as that can be told.
   */
  call(body: Record<string, unknown>, signal: AbortSignal, timeoutMs: number, alive: () => void, leave?: Leave): Promise<Stream>;
  /** Describes what a stream broke with. */
  broken(error: unknown, signal: AbortSignal): UpstreamFailure;
};

/** Upstream's answers that are not errors, by the empty response that the SDK gets instead. */
const answers = new WeakMap<Response, Response>();

/**
 * What the SDK gets of an answer. It needs nothing of one that is not an error, but would write out its URL and every header for a log that nobody reads: a
 * twentieth of a lone job's time.
 */
function shown(answer: Response): Response {
  if (!answer.ok) return answer;
  const bare = new Response(null);
  answers.set(bare, answer);
  return bare;
}

/** A key that a header can hold (RFC 9110, 5.5). */
const SENDABLE = /^[\x21-\x7e]+$/;

/**
 * With neither a key nor an endpoint, calls go to the simulator, but only where it was asked for. Otherwise a deployment whose key was deleted or misnamed
 * would answer with invented text. Instead it calls nobody, as if its key were refused, so that its jobs wait for one; likewise with a key that no header can
 * hold, because it was pasted with a line break.
 */
export function openUpstream(env: Env, now: () => number): Upstream {
  const apiKey = text(env.OPENAI_API_KEY);
  const baseURL = text(env.OPENAI_BASE_URL);
  const simulated = env.SLUICE_LOCAL === "1" || env.SLUICE_SIMULATOR === "1";
  const malformed = apiKey !== null && !SENDABLE.test(apiKey);
  const elsewhere = simulated
    ? (request: Request) => env.SIMULATOR.getByName("openai").fetch(request)
    : async () => keyless("OPENAI_API_KEY is not set.", "key_missing");
  const line = new Line(now);
  const client = new OpenAI({
    apiKey: malformed ? "none" : (apiKey ?? "none"),
    baseURL: baseURL ?? "https://api.openai.com/v1",
    maxRetries: 0,
    fetch: async (input, init) => {
      if (malformed) return keyless("OPENAI_API_KEY holds a character that no header can: a line break or a space, say.", "key_malformed");
      const { [SENDING]: sending, ...given } = init as RequestInit & { [SENDING]: Sending };
      // A prompt goes only where the operator said: redirects are not followed.
      const request = { ...given, redirect: "manual" as const };
      const unconfigured = apiKey === null && baseURL === null;
      // In a deployment Cloudflare's network makes the connection, and takes the body whether or not upstream can be reached. So there the call leaves before
      // `fetch`. On one machine it leaves with the end of its body, except where time is not short and upstream is known to be reachable.
      if (!unconfigured && env.SLUICE_LOCAL === "1" && (!line.stands || sending.isPressed))
        request.body = sending.inPieces(request.body as string);
      else await sending.whole();
      if (unconfigured) return shown(await elsewhere(new Request(input as string, request)));
      return shown(await sending.heard(await line.over(fetch(input as string, request))));
    },
  });
  const secrets = secretsIn(apiKey, baseURL);
  return {
    call: (body, signal, timeout, alive, leave = AT_ONCE) => call(client, body, { signal, timeout, secrets }, alive, new Sending(leave)),
    broken: (error, signal) => describe(error, signal, "stream", secrets),
  };
}

/** What is sent to upstream and must never come back in what it says. A shorter text would be found in any message. */
function secretsIn(apiKey: string | null, baseURL: string | null): string[] {
  const { password } = new URL(baseURL ?? "https://api.openai.com");
  return [apiKey, password, decoded(password)].filter((secret): secret is string => (secret?.length ?? 0) >= SECRET_CHARACTERS);
}

/** A percent sign may stand for itself. */
function decoded(password: string): string {
  try {
    return decodeURIComponent(password);
  } catch {
    return password;
  }
}

async function call(
  client: OpenAI,
  body: Record<string, unknown>,
  { secrets, signal, timeout }: { secrets: readonly string[]; signal: AbortSignal; timeout: number },
  alive: () => void,
  sending: Sending,
): Promise<Stream> {
  const options = (body.stream_options ?? {}) as Record<string, unknown>;
  const streamed = { ...body, stream: true, stream_options: { ...options, include_usage: true } };
  try {
    // The raw response: the SDK's own stream keeps what chunks mean, not how they were written.
    const given = await client.chat.completions
      .create(streamed as never, { signal, timeout, fetchOptions: { [SENDING]: sending } as object })
      .asResponse();
    const response = answers.get(given) ?? given;
    return { ok: true, pieces: piecesOf(response, signal, alive), ...told(response.headers, secrets) };
  } catch (error) {
    // The SDK wraps whatever `fetch` throws: any other error came before anything was sent, and would come again.
    if (!(error instanceof APIError) && !signal.aborted) return { ok: false, failure: unsendable(error), ...told(undefined, secrets) };
    const failure = untaken(describe(error, signal, "network", secrets), sending);
    return { ok: false, failure, ...told(error instanceof APIError ? error.headers : undefined, secrets) };
  }
}

/**
 * Ends at `[DONE]`, with the body, or when the call is broken off. A plain answer comes as the chunks of one. @throws APIError for an error that upstream sends in its stream; SyntaxError for a chunk
 * that is not JSON; what the body breaks with.
 */
async function* piecesOf({ body, headers }: Response, signal: AbortSignal, alive: () => void): AsyncGenerator<Piece> {
  try {
    const type = headers.get("content-type") ?? "";
    if (/^text\/html\b/i.test(type)) throw new APIError(undefined, PAGE, undefined, headers);
    if (/^application\/json\b/i.test(type)) {
      const answer = parse(await wholeOf(body ?? new Blob().stream(), signal, alive)) as { error?: object } | null;
      if (answer?.error) throw new APIError(undefined, answer.error, undefined, headers);
      for (const value of chunksIn(cutDeeper(answer, NESTING_LIMIT))) yield { value, text: JSON.stringify(value) };
      return;
    }
    for await (const { data: text, event } of messagesOf(body ?? new Blob().stream(), signal, alive)) {
      if (text.startsWith("[DONE]")) return;
      if (text === "") continue;
      const value = parse(text) as { error?: object } | null;
      const error = event === "error" ? (value?.error ?? value ?? {}) : value?.error;
      if (error) throw new APIError(undefined, error, undefined, headers);
      yield pieceOf(value, text);
    }
  } catch (error) {
    if (!signal.aborted) throw error;
  }
}

/** Nobody could write out a chunk that is nested thousands of levels deep, nor list its job. */
function pieceOf(value: unknown, text: string): Piece {
  // Each level takes two characters.
  if (text.length <= 2 * NESTING_LIMIT || !isNestedDeeper(value, NESTING_LIMIT)) return { value, text };
  const cut = cutDeeper(value, NESTING_LIMIT);
  return { value: cut, text: JSON.stringify(cut) };
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new SyntaxError("Upstream sent a chunk that is not JSON.");
  }
}

/** Describes whatever the SDK threw. `broken`: the cause if the error carries no response. */
function describe(error: unknown, signal: AbortSignal, broken: "network" | "stream", secrets: readonly string[]): UpstreamFailure {
  const empty = { status: null, code: null, type: null, param: null, retryAfterMs: null, shouldRetry: null };
  if (error instanceof APIUserAbortError || signal.aborted)
    return { ...empty, message: String(signal.reason ?? "aborted"), cause: "abort" };
  if (error instanceof APIConnectionTimeoutError) return { ...empty, message: "Upstream did not answer in time.", cause: "network" };
  if (error instanceof APIError) {
    const { status, code, type, param, headers } = error;
    const elsewhere = status !== undefined && status >= 300 && status < 400 ? headers?.get("location") : null;
    const message = messageOf(error);
    const details = {
      code: isNowhere(status, message) ? "unknown_url" : wordOf(code, secrets),
      type: wordOf(type, secrets),
      param: wordOf(param, secrets),
      message: excerptOf(elsewhere ? redirected(elsewhere) : message, secrets),
    };
    if (typeof status !== "number") return { ...empty, ...details, cause: broken };
    return {
      ...details,
      status,
      shouldRetry: shouldRetryIn(headers),
      retryAfterMs: headers ? readRetryAfter((name) => headers.get(name), Date.parse, Date.now()) : null,
      cause: "response",
    };
  }
  return { ...empty, message: excerptOf(error instanceof Error ? error.message : "The connection broke.", secrets), cause: broken };
}

/** Upstream's own words, in OpenAI's shape or another. The SDK puts the status before them, or before the whole body if it knows no better. */
function messageOf({ error, message, status }: APIError): string {
  const body = message.startsWith(`${status} `) ? message.slice(`${status} `.length) : message;
  const said = (error ?? jsonIn(body)) as { message?: unknown; detail?: unknown } | string | null;
  const own = typeof said === "string" ? said : (said?.message ?? said?.detail);
  return typeof own === "string" ? own : body;
}

function jsonIn(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

function untaken(failure: UpstreamFailure, { untaken: why }: Sending): UpstreamFailure {
  if (why === null) return failure;
  return { ...failure, code: "upstream_unreachable", message: `Upstream could not be reached: ${why}.`, untaken: true };
}

function keyless(message: string, code: string): Response {
  const error = { message, type: "invalid_request_error", code, param: null };
  return Response.json({ error }, { status: 401 });
}

/** Whether nothing is at this address: OpenAI says so only in its message, others with an HTML page. */
function isNowhere(status: number | undefined, message: string): boolean {
  return status === 404 && /^(Invalid URL\b|<)/.test(message);
}

function redirected(location: string): string {
  return `Upstream redirects to ${location}, but redirects are not followed: set OPENAI_BASE_URL to the right address.`;
}

function unsendable(error: unknown): UpstreamFailure {
  const message = `The request could not be written: ${error instanceof Error ? error.message : "unknown reason"}.`;
  const words = { code: "request_unsendable", type: "invalid_request_error", param: null };
  return { ...words, status: 400, message, retryAfterMs: null, shouldRetry: null, cause: "unsent" };
}

function shouldRetryIn(headers: Headers | undefined): boolean | null {
  const word = headers?.get("x-should-retry");
  return word === "true" || (word === "false" ? false : null);
}

function told(headers: Headers | undefined, secrets: readonly string[]): Pick<Stream, "rates" | "requestId"> {
  const requestId = wordOf(headers?.get("x-request-id"), secrets);
  return { rates: headers ? readRates((name) => headers.get(name)) : null, requestId };
}
