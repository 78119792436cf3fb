/** One request to somebody who wants to be told: a webhook's receiver, an operator's alert URL. */
import type { DeliveryError } from "../schemas/webhook.ts";

/** What deliveries need of the outside world. */
export type Outside = {
  fetch: (request: Request) => Promise<Response>;
  /** In [0, 1). */
  random: () => number;
  /** ms for a whole request: connection, headers and body. The specification recommends 15 to 30 seconds. */
  timeoutMs: number;
  wait: (ms: number) => Promise<void>;
};

export const OUTSIDE: Outside = {
  fetch: (request) => fetch(request),
  random: () => Math.random(),
  timeoutMs: 15_000,
  wait: (ms) => scheduler.wait(ms),
};

/** How many bytes of a receiver's answer are read and dropped: the status says everything, but to the receiver a connection cut early looks like a failure. */
const DRAINED_BYTES = 16_384;

/** `retryAfter`: the header, unparsed. */
export type Posted = { status: number | null; retryAfter: string | null; error: DeliveryError | null };

/** Never throws. A redirect is an answer like any other: where it leads was not checked. */
export async function post(outside: Outside, url: string, headers: Record<string, string>, body: string): Promise<Posted> {
  const controller = new AbortController();
  const { signal } = controller;
  // Cleared in the end: a running timer keeps the object from sleeping.
  const timer = setTimeout(() => controller.abort(), outside.timeoutMs);
  try {
    const response = await outside.fetch(new Request(url, { method: "POST", headers, body, redirect: "manual", signal }));
    await drain(response, signal);
    return { status: response.status, retryAfter: response.headers.get("retry-after"), error: null };
  } catch {
    return { status: null, retryAfter: null, error: signal.aborted ? "timed_out" : "unreachable" };
  } finally {
    clearTimeout(timer);
  }
}

/** Resolves when the body ends, gets too long, or time runs out; the status counts in any case. */
async function drain(response: Response, signal: AbortSignal): Promise<void> {
  const reader = response.body?.getReader();
  if (!reader) return;
  const stop = () => {
    reader.cancel().catch(() => {});
  };
  signal.addEventListener("abort", stop);
  try {
    for (let bytes = 0; bytes < DRAINED_BYTES && !signal.aborted; ) {
      const { done, value } = await reader.read();
      if (done) return;
      bytes += (value as Uint8Array).byteLength;
    }
    stop();
  } catch {
    // Broken off: the receiver had already said what there is to say.
  } finally {
    signal.removeEventListener("abort", stop);
  }
}
