/** What a caller's headers say about the call: OpenAI's SDKs send their time-out and retry count, and `x-sluice-…` headers carry the rest. */
import type { Key } from "../../platform/settings.ts";
import type { Problem } from "../../schemas/problem.ts";
import type { Call } from "../../schemas/rpc.ts";
import { badParameter } from "../ingress/respond.ts";

/** How long SDKs wait for an answer by default. */
const DEFAULT_PATIENCE_S = 600;
/** OpenAI's JavaScript SDK would wait at least as long, but the `fetch` under it does not: undici, in Node, gives up on headers after 300 s. */
const FETCH_PATIENCE_S = 300;
/** An answer must be on its way before the caller gives up: earlier by a tenth of its time, within these bounds. */
const MARGIN_S = { least: 0.3, most: 5 };

export type Caller = {
  /** This repeats a call that broke; its job may already exist. */
  retried: boolean;
  /** The caller must have an answer by `until`, and gives up at `givesUpAt`; both Unix ms. */
  until: number;
  givesUpAt: number;
  /** How long the caller waits in all, as it said, ms. */
  patienceMs: number;
  onDisconnect: Call["onDisconnect"];
  /** Fields of the job as a client submits it; texts that are not numbers are refused with it. */
  job: { channel?: string; priority?: number | string; deadline?: number | string };
};

/** `came`, `read`: when the call arrived and when its body was complete, Unix ms. */
export function callerOf(
  headers: Headers,
  key: Key,
  { came, read }: { came: number; read: number },
): { ok: true; caller: Caller } | { ok: false; problem: Problem } {
  const named = (name: string) => headers.get(`x-sluice-${name}`) ?? undefined;
  // A caller that names its call with an Idempotency-Key comes back for it under that name, however late.
  const onDisconnect = named("on-disconnect") ?? (headers.has("idempotency-key") ? "keep" : key.onDisconnect);
  if (onDisconnect !== "cancel" && onDisconnect !== "keep")
    return { ok: false, problem: badParameter("x-sluice-on-disconnect must be cancel or keep.", "x-sluice-on-disconnect") };
  const [channel, priority, deadline] = [named("channel"), numeric(named("priority")), numeric(named("deadline"))];
  const { patience, ofRead } = patienceOf(headers);
  const since = ofRead ? read : came;
  const caller: Caller = {
    retried: isRetry(headers),
    until: since + (patience - Math.min(MARGIN_S.most, Math.max(MARGIN_S.least, patience / 10))) * 1_000,
    givesUpAt: since + patience * 1_000,
    patienceMs: patience * 1_000,
    onDisconnect,
    job: {
      ...(channel !== undefined && { channel }),
      ...(priority !== undefined && { priority }),
      ...(deadline !== undefined && { deadline }),
    },
  };
  return { ok: true, caller };
}

/** OpenAI's SDKs count their tries; not every library does. */
export function isRetry(headers: Headers): boolean {
  return Number(headers.get("x-stainless-retry-count") ?? 0) >= 1;
}

/**
 * Seconds. `X-Stainless-Timeout` comes from the JavaScript SDK and covers the whole call. `x-stainless-read-timeout` comes from the Python SDK and starts once
 * the request has been sent (`ofRead`).
 */
function patienceOf(headers: Headers): { patience: number; ofRead: boolean } {
  const whole = headers.get("x-stainless-timeout");
  const told = Number(whole ?? headers.get("x-stainless-read-timeout") ?? Number.NaN);
  const most = headers.get("x-stainless-lang") === "js" ? FETCH_PATIENCE_S : Number.POSITIVE_INFINITY;
  return { patience: Math.min(told >= 0 ? Math.max(told, 1) : DEFAULT_PATIENCE_S, most), ofRead: whole === null && told >= 0 };
}

/** Text that is not a number stays as it came, and is refused with the rest of the job. */
function numeric(text: string | undefined): number | string | undefined {
  if (text === undefined) return undefined;
  const number = Number(text);
  return text.trim() === "" || Number.isNaN(number) ? text : number;
}
