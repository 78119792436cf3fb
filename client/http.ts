/** One HTTP call, repeated where that is safe. */
import { type Backoff, backoffMs, pause, retryAfterSeconds } from "./backoff.ts";
import { ConnectionError, errorFrom, SluiceError, TimeoutError } from "./errors.ts";

/** What every part of the client works with. */
export type Wire = {
  /** Without a trailing slash. */
  url: string;
  token: () => string | Promise<string>;
  fetch: (url: string, init: RequestInit) => Promise<Response>;
  openSocket: (url: string, protocols: string[]) => WebSocket;
  /** For one try, until the answer's headers and, for a short answer, its body. */
  timeoutMs: number;
  /** Tries after the first. */
  retries: number;
  random: () => number;
};

export type Call = {
  method: "GET" | "POST";
  path: string;
  headers?: Record<string, string>;
  body?: string;
  /** Whether a call that may have arrived can be made again. */
  repeatable: boolean;
  signal?: AbortSignal | undefined;
  /** On top of the wire's time-out: a long-poll waits on purpose. */
  extraMs?: number;
};

const RETRY: Backoff = { baseMs: 500, capMs: 8_000 };
/** If the service asks for more patience than this, there is no retry: the caller gets the error, and decides. */
const LONGEST_RETRY_AFTER_SECONDS = 60;

/** The answer's body, parsed. @throws SluiceError; the signal's reason. */
export async function callJson<T>(wire: Wire, call: Call): Promise<T> {
  return repeat(wire, call, async (signal) => (await send(wire, call, signal)).json() as Promise<T>);
}

/**
 * Runs `attempt` until it succeeds or its failure is not worth another try. The attempt's signal is aborted when the caller's is, and when the try has taken
 * too long.
 */
export async function repeat<T>(wire: Wire, call: Call, attempt: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const outer = call.signal ?? new AbortController().signal;
  for (let tries = 1; ; tries++) {
    outer.throwIfAborted();
    try {
      return await timed(wire.timeoutMs + (call.extraMs ?? 0), outer, attempt);
    } catch (error) {
      outer.throwIfAborted();
      const wait = error instanceof SluiceError && call.repeatable && tries <= wire.retries ? waitMs(error, tries, wire.random()) : null;
      if (wait === null) throw error;
      await pause(wait, outer);
    }
  }
}

/** Null: not worth another try. */
function waitMs(error: SluiceError, tries: number, random: number): number | null {
  const again = error.status === null ? isLost(error) : error.status === 429 || error.status === 408 || error.status >= 500;
  const asked = error.retryAfter ?? 0;
  if (!again || asked > LONGEST_RETRY_AFTER_SECONDS) return null;
  return asked * 1_000 + backoffMs(RETRY, tries, random);
}

function isLost(error: SluiceError): boolean {
  return error instanceof ConnectionError || error instanceof TimeoutError;
}

/**
 * Runs `attempt` for at most `limitMs`. Its signal is aborted when `outer` is, or when the time is up; whether or not it heeds that, nothing more is awaited.
 * @throws SluiceError; the reason of `outer`.
 */
export async function timed<T>(limitMs: number, outer: AbortSignal, attempt: (signal: AbortSignal) => Promise<T>): Promise<T> {
  outer.throwIfAborted();
  const own = new AbortController();
  const late = new TimeoutError(`The service did not answer within ${limitMs / 1_000} seconds.`);
  const timer = setTimeout(() => own.abort(late), limitMs);
  const pass = () => own.abort(outer.reason);
  outer.addEventListener("abort", pass, { once: true });
  const stopped = new Promise<never>((_, fail) => own.signal.addEventListener("abort", () => fail(own.signal.reason), { once: true }));
  try {
    return await Promise.race([attempt(own.signal), stopped]);
  } catch (error) {
    if (own.signal.aborted) throw own.signal.reason;
    // Anything that `fetch` itself throws, at the start or in the middle of a body, is a lost connection.
    throw error instanceof SluiceError ? error : new ConnectionError("The service cannot be reached.", { cause: error });
  } finally {
    clearTimeout(timer);
    outer.removeEventListener("abort", pass);
  }
}

/** One try. @throws SluiceError if the answer is not a success. */
export async function send(wire: Wire, call: Call, signal: AbortSignal): Promise<Response> {
  const token = await tokenOf(wire);
  signal.throwIfAborted();
  const headers = { authorization: `Bearer ${token}`, ...call.headers };
  const init: RequestInit = { method: call.method, headers, signal, ...(call.body !== undefined && { body: call.body }) };
  const response = await wire.fetch(wire.url + call.path, init);
  if (response.ok) return response;
  const text = await response.text();
  const retryAfter = retryAfterSeconds(response.headers.get("retry-after"), Date.now());
  throw errorFrom(errorIn(text), { status: response.status, requestId: response.headers.get("x-request-id"), retryAfter });
}

/** If a token function fails, the cause is most likely a lost connection too. @throws SluiceError */
export async function tokenOf(wire: Wire): Promise<string> {
  try {
    return await wire.token();
  } catch (error) {
    throw error instanceof SluiceError ? error : new ConnectionError("The token function failed.", { cause: error });
  }
}

function errorIn(text: string): unknown {
  try {
    return (JSON.parse(text) as { error?: unknown } | null)?.error;
  } catch {
    return null;
  }
}
