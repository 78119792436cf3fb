import { charge } from "./charge.ts";
import { completion, type Envelope } from "./completion.ts";
import type { Problem } from "./errors.ts";
import { problemFor, spoilOf, streamProblem, worded } from "./faults.ts";
import { type Answer, answer, countUnits } from "./model.ts";
import { dueMs } from "./pace.ts";
import { hash, Random } from "./random.ts";
import { connectionLost, playStream } from "./stream.ts";
import { Transcript } from "./transcript.ts";
import { aborted, end, headersFor, pause, type Turn } from "./turn.ts";
import { waitUntil } from "./wait.ts";

// Even a hanging call ends eventually, as the longest time-outs on the way do.
const LONGEST_HANG_MS = 15 * 60_000;

/** An admitted call's answer, or its failure. */
export function perform(turn: Turn): Promise<Response> {
  const { fault } = turn;
  const kind = fault?.kind;
  if (kind === "reset") throw connectionLost();
  if (kind === "hang") return hang(turn);
  const { chat, card, world, call } = turn;
  const said = answer(chat, card, world.settings.seed);
  const failure = fault === undefined ? undefined : problemFor(fault.kind, chat.model);
  if (kind === "504_paid") call.used(said.promptTokens, said.completionTokens);
  if (fault !== undefined && failure !== undefined) return fail(turn, worded(failure, fault), said);
  call.used(said.promptTokens, said.completionTokens);
  if (world.settings.refund) call.whenCompleted(() => refund(turn, said));
  return chat.stream === true ? answerStream(turn, said) : answerPlain(turn, said);
}

async function hang(turn: Turn): Promise<Response> {
  const lasts = Math.min(turn.fault?.delayMs ?? LONGEST_HANG_MS, LONGEST_HANG_MS);
  const over = await waitUntil(turn.world.ticker, turn.startedAt + lasts, turn.signal);
  if (over) throw connectionLost();
  return aborted(turn);
}

/** Gives back what the answer was charged but did not use. */
function refund({ chat, card, world }: Turn, { promptTokens, completionTokens }: Answer): void {
  const unused = charge(chat, world.settings.charge) - promptTokens - completionTokens;
  if (unused > 0) world.account.refund(chat.model, card.limits, unused, Date.now());
}

/** A server that breaks down takes about as long to say so as one that answers. */
async function fail(turn: Turn, failure: Problem, said: Answer): Promise<Response> {
  return (await pause(turn, said.pace.firstMs)) ? end(turn, failure) : aborted(turn);
}

async function answerStream(turn: Turn, said: Answer): Promise<Response> {
  const { chat, call, world, startedAt, signal } = turn;
  if (!(await pause(turn, dueMs(said.pace, 0)))) return aborted(turn);
  const { speed, flush_ms: flushMs } = world.settings;
  const transcript = new Transcript(said, envelopeFor(turn, said), chat.stream_options?.include_usage === true);
  const spoil = spoilOf(turn.fault);
  const body = playStream({ transcript, pace: said.pace, spoil, startedAt, speed, flushMs, ticker: world.ticker, call, signal });
  call.answered(200);
  return new Response(body, {
    headers: { ...headersFor(turn), "content-type": "text/event-stream; charset=utf-8", "cache-control": "no-cache" },
  });
}

async function answerPlain(turn: Turn, said: Answer): Promise<Response> {
  const longest = Math.max(...said.choices.map(countUnits));
  if (!(await pause(turn, dueMs(said.pace, longest)))) return aborted(turn);
  const spoil = spoilOf(turn.fault);
  const problem = streamProblem(spoil);
  if (problem !== undefined) return end(turn, problem);
  const whole = JSON.stringify(completion(said, envelopeFor(turn, said)));
  turn.call.answered(200);
  turn.call.end(spoil === undefined ? "completed" : "failed");
  const body = spoil === undefined ? whole : whole.slice(0, Math.floor(whole.length / 2));
  return new Response(spoil === "break" ? broken(body) : body, { headers: { ...headersFor(turn), "content-type": "application/json" } });
}

function broken(beginning: string): ReadableStream<Uint8Array> {
  let sent = false;
  return new ReadableStream<Uint8Array>({
    pull(controller) {
      if (sent) return controller.error(connectionLost());
      sent = true;
      controller.enqueue(new TextEncoder().encode(beginning));
    },
  });
}

function envelopeFor({ world, chat, startedAt }: Turn, said: Answer): Envelope {
  const tier = chat.service_tier ?? "auto";
  const id = `chatcmpl-${new Random(hash(`call ${++world.ordinal}`, said.seed)).letters(29)}`;
  const service_tier = tier === "auto" ? "default" : tier;
  return { id, created: Math.floor(startedAt / 1000), model: chat.model, service_tier, system_fingerprint: "fp_5100111ce5" };
}
