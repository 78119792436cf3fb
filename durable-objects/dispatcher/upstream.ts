/** The one importer of `openai`, and the one reader of the OpenAI key. */
import OpenAI, { APIConnectionTimeoutError, APIError, APIUserAbortError } from "openai";
import type { Env } from "../../platform/objects.ts";
import { text } from "../../platform/settings.ts";

/** A call that upstream refused or that broke, in plain words. */
export type UpstreamFailure = {
  /** HTTP status; null when there was no response, or the stream broke. */
  status: number | null;
  code: string | null;
  type: string | null;
  message: string;
  param: string | null;
  /** Upstream's wish, ms. */
  retryAfterMs: number | null;
  /** `abort`: we broke it off. */
  cause: "response" | "network" | "stream" | "abort";
};

export type Stream = { ok: true; chunks: AsyncIterable<unknown> } | { ok: false; failure: UpstreamFailure };

export type Upstream = {
  /** Calls with `stream: true` and usage; resolves when the response headers are there. Never throws. */
  call(body: Record<string, unknown>, signal: AbortSignal): Promise<Stream>;
};

/** The simulator if neither a key nor an endpoint is set. */
export function openUpstream(env: Env, timeoutMs: number): Upstream {
  const apiKey = text(env.OPENAI_API_KEY);
  const baseURL = text(env.OPENAI_BASE_URL);
  const simulated = apiKey === null && baseURL === null;
  const client = new OpenAI({
    apiKey: apiKey ?? "none",
    baseURL: baseURL ?? "https://api.openai.com/v1",
    maxRetries: 0,
    timeout: timeoutMs,
    fetch: simulated
      ? (input, init) => env.SIMULATOR.getByName("openai").fetch(new Request(input as string, init as RequestInit))
      : (input, init) => fetch(input as string, init as RequestInit),
  });
  return { call: (body, signal) => call(client, body, signal) };
}

async function call(client: OpenAI, body: Record<string, unknown>, signal: AbortSignal): Promise<Stream> {
  const options = (body.stream_options ?? {}) as Record<string, unknown>;
  const streamed = { ...body, stream: true, stream_options: { ...options, include_usage: true } };
  try {
    const stream = await client.chat.completions.create(streamed as never, { signal });
    return { ok: true, chunks: stream as unknown as AsyncIterable<unknown> };
  } catch (error) {
    return { ok: false, failure: describe(error, signal, "network") };
  }
}

/** Describes whatever the SDK threw. `broken`: what it means if the error carries no response. */
export function describe(error: unknown, signal: AbortSignal, broken: "network" | "stream"): UpstreamFailure {
  const empty = { status: null, code: null, type: null, param: null, retryAfterMs: null };
  if (error instanceof APIUserAbortError || signal.aborted)
    return { ...empty, message: String(signal.reason ?? "aborted"), cause: "abort" };
  if (error instanceof APIConnectionTimeoutError) return { ...empty, message: "Upstream did not answer in time.", cause: "network" };
  if (error instanceof APIError) {
    const { status, code, type, param, headers } = error;
    // The SDK puts the status before upstream's own words.
    const message = (error.error as { message?: unknown } | undefined)?.message;
    const details = {
      code: code ?? null,
      type: type ?? null,
      param: param ?? null,
      message: typeof message === "string" ? message : error.message,
    };
    if (typeof status !== "number") return { ...empty, ...details, cause: broken };
    return { ...details, status, retryAfterMs: retryAfterMs(headers), cause: "response" };
  }
  return { ...empty, message: error instanceof Error ? error.message : "The connection broke.", cause: broken };
}

/** `retry-after-ms`, or `retry-after` in seconds or as an HTTP date. */
function retryAfterMs(headers: Headers | undefined): number | null {
  const ms = Number(headers?.get("retry-after-ms") ?? Number.NaN);
  if (ms >= 0) return ms;
  const after = headers?.get("retry-after");
  if (!after) return null;
  const seconds = Number(after);
  if (seconds >= 0) return seconds * 1_000;
  const date = Date.parse(after);
  return Number.isNaN(date) ? null : Math.max(0, date - Date.now());
}
