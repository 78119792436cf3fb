import { findModel, type ModelCard, unknownModel } from "./catalog.ts";
import { charge, estimatePrompt } from "./charge.ts";
import { invalidRequest, type Problem, refuseKey } from "./errors.ts";
import { type Fault, isFaultKind, refusalFor, worded } from "./faults.ts";
import { requestHash } from "./model.ts";
import { perform } from "./perform.ts";
import { billingProblem } from "./problems.ts";
import { type ChatRequest, parseBody, parseChat } from "./request.ts";
import { commonHeaders, respondProblem } from "./respond.ts";
import { end, type Turn } from "./turn.ts";
import { advance, type World } from "./world.ts";

/** `POST /v1/chat/completions`. @throws if the connection should break before there are headers. */
export async function chatCompletions(request: Request, world: World): Promise<Response> {
  const startedAt = Date.now();
  const read = readRequest(request, await request.text());
  if (!read.ok) {
    world.ledger.turnedAway(read.problem.status);
    return respondProblem(read.problem, commonHeaders(world, startedAt));
  }
  const { chat, card } = read;
  advance(world, startedAt);
  const call = world.ledger.begin(chat.model, chat.metadata?.simulate_key);
  const key = chat.metadata?.simulate_key ?? String(requestHash(chat, 0));
  const fault = chooseFault(request, chat, key, world, startedAt);
  if (fault !== undefined) call.faulted(fault.kind);
  const turn: Turn = { world, chat, card, call, key, fault, startedAt, signal: request.signal, limitHeaders: {} };
  try {
    const problem = admit(turn);
    return problem === undefined ? await perform(turn) : end(turn, problem);
  } catch (error) {
    call.end("failed");
    throw error;
  }
}

type Read = { ok: true; chat: ChatRequest; card: ModelCard } | { ok: false; problem: Problem };

function readRequest(request: Request, text: string): Read {
  const refused = refuseKey(request.headers.get("authorization"));
  if (refused !== undefined) return { ok: false, problem: refused };
  const body = parseBody(text);
  if (!body.ok) return body;
  const card = findModel(body.value.model);
  if (card === undefined) return { ok: false, problem: unknownModel(body.value.model) };
  const parsed = parseChat(body.value, card);
  if (!parsed.ok) return parsed;
  for (const kind of [request.headers.get("x-simulate-fault"), parsed.value.metadata?.simulate_fault]) {
    if (kind != null && !isFaultKind(kind))
      return { ok: false, problem: invalidRequest(`No such fault: '${kind}'.`, "simulate_fault", null) };
  }
  return { ok: true, chat: parsed.value, card };
}

function chooseFault({ headers }: Request, chat: ChatRequest, key: string, world: World, now: number): Fault | undefined {
  const metadata = chat.metadata ?? {};
  const header = headers.get("x-simulate-fault");
  return world.faults.select({ header, headerDelay: headers.get("x-simulate-delay-ms"), metadata, model: chat.model, key }, now);
}

/** Refuses the call (by a fault, a billing halt, or the limits), or charges it. */
function admit(turn: Turn): Problem | undefined {
  const { world, chat, card, call, key, fault, startedAt } = turn;
  const refused = fault === undefined ? undefined : refusalFor(fault.kind, chat.model);
  if (fault !== undefined && refused !== undefined) return withLimits(turn, worded(refused, fault));
  const halt = world.settings.billing_halt;
  if (halt !== null) {
    call.halted();
    return withLimits(turn, billingProblem(halt));
  }
  const tokens = charge(chat, world.settings.charge);
  const ask = { model: chat.model, fallback: card.limits, tokens, inputTokens: estimatePrompt(chat), key };
  const admission = world.account.admit(ask, startedAt);
  if (admission.ok) call.charged(tokens);
  else call.rejected(admission.kind, admission.cause);
  return withLimits(turn, admission.ok ? undefined : admission.problem);
}

function withLimits(turn: Turn, problem: Problem | undefined): Problem | undefined {
  const { account, settings } = turn.world;
  if (settings.rate_headers !== "none") turn.limitHeaders = account.headers(turn.chat.model, turn.card.limits, turn.startedAt);
  return problem;
}
