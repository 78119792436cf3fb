import type { ModelCard } from "./catalog.ts";
import type { Problem } from "./errors.ts";
import type { Fault } from "./faults.ts";
import type { Call } from "./ledger.ts";
import type { ChatRequest } from "./request.ts";
import { commonHeaders, respondProblem } from "./respond.ts";
import { waitUntil } from "./wait.ts";
import type { World } from "./world.ts";

// Late headers that still come within most clients' time-outs.
const SLOW_HEADERS_MS = 20_000;

/** One call under way, passed from step to step. */
export interface Turn {
  world: World;
  chat: ChatRequest;
  card: ModelCard;
  call: Call;
  /** Equal for a call and its repetition. */
  key: string;
  fault: Fault | undefined;
  startedAt: number;
  signal: AbortSignal;
  /** Set at admission: OpenAI reports what was left at that moment. */
  limitHeaders: Record<string, string>;
}

/** Waits until `milliseconds` of simulated time after the request; resolves to false if the client has left. */
export function pause({ world, fault, startedAt, signal }: Turn, milliseconds: number): Promise<boolean> {
  const late = fault?.kind === "slow_headers" ? (fault.delayMs ?? SLOW_HEADERS_MS) : 0;
  const due = world.settings.speed === 0 ? late : Math.max(late, milliseconds / world.settings.speed);
  return due === 0 ? Promise.resolve(true) : waitUntil(world.ticker, startedAt + due, signal);
}

export function headersFor({ world, startedAt, limitHeaders }: Turn): Record<string, string> {
  return { ...commonHeaders(world, startedAt), ...limitHeaders };
}

export function end(turn: Turn, problem: Problem): Response {
  turn.call.answered(problem.status);
  turn.call.end("failed");
  if (problem.status !== 429 || turn.world.settings.rate_headers === "all") return respondProblem(problem, headersFor(turn));
  const { retryAfterMs: _, ...silent } = problem;
  return respondProblem(silent, commonHeaders(turn.world, turn.startedAt));
}

/** Nobody reads this response; 499 is what nginx logs for it. */
export function aborted({ call }: Turn): Response {
  call.end("aborted");
  return new Response(null, { status: 499 });
}
