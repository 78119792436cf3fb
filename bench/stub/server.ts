/** A second upstream: plain node:http, written from OpenAI's documentation. It imports nothing but Node and itself. */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { Account, type Limits } from "./account.ts";
import { BILLING, completion, errorBody, events, limitHeaders, limitReached, PROBLEMS, type Problem, type Said } from "./answers.ts";

/**
 * `cut` breaks a stream half-way, `drop` the connection before there are headers; any other names an entry of PROBLEMS; of `gateway_timeout` the model has
 * worked all the same. Of every `every` calls one fails, `times` at the most.
 */
export type Fault = { kind: string; every: number; times?: number };
/** `headers`: whether answers tell of the limits. */
type Control = { limits?: Limits; day?: number | null; others?: Limits | null; halt?: string | null; faults?: Fault[]; headers?: boolean };
export type Stats = Account["counts"] & {
  calls: number;
  halted: number;
  failed: number;
  slowed: number;
  paid_more_than_once: Record<string, number>;
};
export type Stub = { url: string; close: () => void };

type Body = {
  model: string;
  messages: { content?: unknown }[];
  stream?: boolean;
  stream_options?: { include_usage?: boolean };
  max_tokens?: number;
  max_completion_tokens?: number;
  n?: number;
  metadata?: { call?: string };
};

const FIRST_WORD_MS = 200;
const WORD_MS = 10;
const LONGEST = 40;

/**
 * @param port 0 takes a free one.
 * @param burstSeconds as of an account.
 */
export async function openStub(limits: Limits, port = 0, burstSeconds: number | null = null): Promise<Stub> {
  const upstream = new Upstream(new Account(limits, burstSeconds));
  const server = createServer((request, response) => {
    upstream.handle(request, response).catch((error) => response.destroy(error));
  });
  await new Promise<void>((ready) => server.listen(port, "127.0.0.1", ready));
  const close = () => {
    server.closeAllConnections();
    server.close();
  };
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, close };
}

class Upstream {
  private readonly account: Account;
  private halt: string | null = null;
  private faults: Fault[] = [];
  private calls = 0;
  private halted = 0;
  private failed = 0;
  private slowed = 0;
  private tellsLimits = true;
  /** By `metadata.call`: how often the model worked for it. */
  private readonly paid = new Map<string, number>();

  constructor(account: Account) {
    this.account = account;
  }

  async handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    let text = "";
    for await (const piece of request.setEncoding("utf8")) text += piece;
    const route = `${request.method} ${request.url}`;
    if (route === "GET /stats") return send(response, 200, JSON.stringify(this.stats()));
    if (route === "POST /control") return this.control(JSON.parse(text), response);
    if (route !== "POST /v1/chat/completions") return refuse(response, PROBLEMS.model_not_found!);
    if (!/^Bearer \S/.test(request.headers.authorization ?? "")) return refuse(response, PROBLEMS.invalid_api_key!);
    const body = parse(text);
    return body === null ? refuse(response, PROBLEMS.not_json!) : this.chat(body, response);
  }

  private control({ limits, day, others, halt, faults, headers }: Control, response: ServerResponse): void {
    const unknown = halt != null && !(BILLING as readonly string[]).includes(halt);
    if (unknown) {
      send(response, 400, JSON.stringify({ error: `no such billing code: ${halt}` }));
      return;
    }
    if (limits !== undefined) this.account.setLimits(limits);
    if (day !== undefined) this.account.setDay(day);
    if (headers !== undefined) this.tellsLimits = headers;
    if (others !== undefined) this.account.setOthers(others, Date.now());
    if (halt !== undefined) this.halt = halt;
    if (faults !== undefined) this.faults = faults.map((fault) => ({ ...fault }));
    send(response, 200, "{}");
  }

  private stats(): Stats {
    this.account.advance(Date.now());
    const repeated = [...this.paid].filter(([, times]) => times > 1);
    const { calls, halted, failed, slowed } = this;
    return { ...this.account.counts, calls, halted, failed, slowed, paid_more_than_once: Object.fromEntries(repeated) };
  }

  private async chat(body: Body, response: ServerResponse): Promise<void> {
    this.calls++;
    const now = Date.now();
    if (this.halt !== null) {
      this.halted++;
      return refuse(response, PROBLEMS[this.halt]!);
    }
    const promptTokens = Math.ceil(body.messages.reduce((sum, { content }) => sum + lengthOf(content), 0) / 4);
    const reserved = (body.max_completion_tokens ?? body.max_tokens ?? 0) * (body.n ?? 1);
    const call = body.metadata?.call ?? null;
    const refusal = this.account.admit(Math.max(promptTokens, reserved), call, now);
    const headers = this.tellsLimits ? limitHeaders(this.account.headers(now)) : {};
    if (refusal !== null) {
      const wait = this.tellsLimits && Number.isFinite(refusal.waitMs) ? { "retry-after": `${Math.ceil(refusal.waitMs / 1_000)}` } : {};
      return refuse(response, limitReached(body.model, refusal), { ...headers, ...wait });
    }
    const fault = this.faults.find(({ every, times = 1 }, index) => times > 0 && this.calls % every === index % every);
    if (fault !== undefined) this.failed++;
    if (fault?.times !== undefined) fault.times--;
    if (fault?.kind === "slow_down") this.slowed++;
    await sleep(FIRST_WORD_MS);
    const problem = fault === undefined ? undefined : PROBLEMS[fault.kind];
    const worked = problem === undefined || fault?.kind === "gateway_timeout";
    if (worked && call !== null) this.paid.set(call, (this.paid.get(call) ?? 0) + 1);
    if (problem !== undefined) return refuse(response, problem, headers);
    if (fault?.kind === "drop") return void response.destroy();
    const words = Array.from({ length: Math.max(1, Math.min(LONGEST, reserved || LONGEST)) }, (_, place) => (place === 0 ? "so" : " on"));
    await answer(
      body,
      { id: `chatcmpl-${this.calls}`, model: body.model, created: Math.floor(now / 1_000), words, promptTokens },
      headers,
      {
        response,
        cut: fault?.kind === "cut",
      },
    );
  }
}

type Way = { response: ServerResponse; cut: boolean };

async function answer(body: Body, said: Said, headers: Record<string, string>, { response, cut }: Way): Promise<void> {
  if (body.stream !== true) {
    await sleep(said.words.length * WORD_MS);
    return cut ? void response.destroy() : send(response, 200, completion(said), headers);
  }
  response.writeHead(200, { ...headers, "content-type": "text/event-stream" });
  const all = events(said, body.stream_options?.include_usage === true);
  for (const [place, event] of all.entries()) {
    if (response.destroyed) return;
    if (cut && place === Math.ceil(all.length / 2)) return void response.destroy();
    response.write(event);
    await sleep(WORD_MS);
  }
  response.end();
}

function parse(text: string): Body | null {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

/** Text and the texts of parts; what else there is costs nothing here. */
function lengthOf(content: unknown): number {
  if (typeof content === "string") return content.length;
  if (!Array.isArray(content)) return 0;
  return content.reduce((sum: number, part: { text?: unknown }) => sum + (typeof part.text === "string" ? part.text.length : 0), 0);
}

function refuse(response: ServerResponse, problem: Problem, headers: Record<string, string> = {}): void {
  send(response, problem.status, errorBody(problem), headers);
}

function send(response: ServerResponse, status: number, body: string, headers: Record<string, string> = {}): void {
  response.writeHead(status, { ...headers, "content-type": "application/json" }).end(body);
}
