/**
 * The world that a test owns: its clock, its dice and its upstream. Test and objects share an isolate, so what is set here is
 * seen inside the objects, and survives their eviction.
 */

/** Far in the future, or the runtime would consider the alarms overdue and fire them by itself. */
export const EPOCH = Date.UTC(2100, 0, 1);

export type UpstreamCall = { body: Record<string, unknown>; signal: AbortSignal /** Its caller. */; dispatcher: string };
/** Stands between a caller and an object's method: may refuse, wait, or lose the answer. */
export type Between = (go: () => Promise<unknown>, args: unknown[]) => unknown;

export const world = {
  now: EPOCH,
  random: 0.5,
  /** What upstream answers. Set by the test. */
  upstream: (_: UpstreamCall): Response | Promise<Response> => completion("ok"),
  /** What webhooks' receivers answer. Set by the test. */
  receiver: (_: Request): Response | Promise<Response> => new Response("no receiver", { status: 500 }),
  /** Timeout of a request to a receiver, ms; null is the real one. An object reads it when it is constructed. */
  webhookTimeoutMs: null as number | null,
  /** Waits before requests to receivers, ms: recorded, but not waited for. */
  waits: [] as number[],
  /** Every call that reached upstream, in order. */
  calls: [] as Record<string, unknown>[],
  /** Calls that still wait for response headers, and the most that ever did at once. */
  waiting: 0,
  mostWaiting: 0,
  /** The same for each dispatcher. */
  waitingBy: new Map<string, number>(),
  mostWaitingBy: new Map<string, number>(),
  /** Variables that override wrangler.toml's; an object reads them when it is constructed. */
  env: {} as Record<string, string>,
  /** By the name of a method, like `coordinator.settle`. */
  between: new Map<string, Between>(),
  /** ms between two heartbeats of a dispatcher; null is the real interval. */
  heartbeatMs: null as number | null,
  /** The time by dispatchers' clocks, ms; null is the real time, long before any time that the coordinator names. */
  dispatchersNow: null as number | null,
  /** ms that a lobby has to take events; null is the real limit. */
  relayMs: null as number | null,
  /** ms that a mailbox stays awake after it has told another object something. */
  restMs: 10,
  /** Characters that a lobby may hold for readers that wait for the past; null is the real limit. An object reads it when it is constructed. */
  heldCharacters: null as number | null,
  /** Bytes that a mailbox is told it stores; null is the real number. */
  stored: null as number | null,
  /** How deep the deepest call between objects was nested. */
  deepest: 0,
  /** How often each mailbox was constructed, by name: shows which ones slept through an event. */
  wakes: new Map<string, number>(),
};

export function resetWorld(): void {
  Object.assign(world, {
    now: EPOCH,
    random: 0.5,
    calls: [],
    waiting: 0,
    mostWaiting: 0,
    waitingBy: new Map(),
    mostWaitingBy: new Map(),
    env: {},
    between: new Map(),
    heartbeatMs: null,
    dispatchersNow: null,
    relayMs: null,
    restMs: 10,
    heldCharacters: null,
    stored: null,
    upstream: () => completion("ok"),
    receiver: () => new Response("no receiver", { status: 500 }),
    webhookTimeoutMs: null,
    waits: [],
    wakes: new Map(),
    deepest: 0,
  });
}

/** A whole streamed answer with usage. */
export function completion(content: string, usage = { prompt_tokens: 5, completion_tokens: 5, total_tokens: 10 }): Response {
  return stream([...chunksOf(content), { ...chunk([]), usage }, "[DONE]"]);
}

export function chunksOf(content: string): unknown[] {
  const pieces = content.match(/.{1,4}/gs) ?? [""];
  return [
    chunk([{ index: 0, delta: { role: "assistant", content: "", refusal: null }, logprobs: null, finish_reason: null }]),
    ...pieces.map((piece) => chunk([{ index: 0, delta: { content: piece }, logprobs: null, finish_reason: null }])),
    chunk([{ index: 0, delta: {}, logprobs: null, finish_reason: "stop" }]),
  ];
}

export function chunk(choices: unknown[]): Record<string, unknown> {
  return { id: "chatcmpl-1", object: "chat.completion.chunk", created: 1, model: "gpt-5-mini", system_fingerprint: "fp", choices };
}

/** Server-sent events of these chunks; strings are sent verbatim. */
export function stream(chunks: unknown[]): Response {
  const text = chunks.map((each) => `data: ${typeof each === "string" ? each : JSON.stringify(each)}\n\n`).join("");
  return new Response(text, { headers: { "content-type": "text/event-stream" } });
}

/** An answer that the test feeds piece by piece. */
export function held(): {
  response: Response;
  send: (chunk: unknown) => Promise<void>;
  close: () => Promise<void>;
  break: () => Promise<void>;
} {
  const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>();
  const writer = writable.getWriter();
  const encoder = new TextEncoder();
  return {
    response: new Response(readable, { headers: { "content-type": "text/event-stream" } }),
    send: (each) => writer.write(encoder.encode(`data: ${typeof each === "string" ? each : JSON.stringify(each)}\n\n`)),
    close: () => writer.close(),
    break: () => writer.abort(new Error("connection reset")),
  };
}

/** An upstream that gives no sign of life until the test is over; it polls for the beginning of a new world. */
export function silence(): () => Promise<Response> {
  const { calls: age } = world;
  return async () => {
    while (world.calls === age) await scheduler.wait(25);
    return completion("");
  };
}

/**
 * Upstream holds its response headers back until the test opens the gate, the caller leaves or the test is over. It polls, because one object must not
 * settle another's promise; a step of the test ends the wait, not the passing of time.
 */
export function gated(answer: () => Response = () => completion("ok")): { open: boolean } {
  const gate = { open: false };
  const { calls: age } = world;
  world.upstream = async ({ signal }) => {
    while (!gate.open && !signal.aborted && world.calls === age) await scheduler.wait(2);
    return answer();
  };
  return gate;
}

/**
 * An answer that the test writes piece by piece. The object that answers makes the stream, because a stream of the test's own
 * could not be broken off there. Each call of `answer` reads from the beginning.
 */
export function script() {
  const pieces: (string | null)[] = [];
  const calls: { brokenOff: boolean }[] = [];
  const encoder = new TextEncoder();
  const add = (piece: string | null) => {
    pieces.push(piece);
  };
  // A new world has a new list of calls; answers that still wait in the old world are let go.
  const { calls: age } = world;
  const answer = ({ signal }: { signal?: AbortSignal } = {}): Response => {
    const call = { brokenOff: false };
    calls.push(call);
    signal?.addEventListener("abort", () => {
      call.brokenOff = true;
    });
    let at = 0;
    const body = new ReadableStream<Uint8Array>({
      async pull(controller) {
        // Polls, because one object must not settle another's promise.
        while (at >= pieces.length && !call.brokenOff && world.calls === age) await scheduler.wait(2);
        const piece = pieces[at++] ?? null;
        if (piece === null) controller.close();
        else controller.enqueue(encoder.encode(piece));
      },
    });
    return new Response(body, { headers: { "content-type": "text/event-stream" } });
  };
  return {
    answer,
    /** The calls that were made, and whether each was broken off. */
    calls,
    send: (each: unknown) => add(`data: ${typeof each === "string" ? each : JSON.stringify(each)}\n\n`),
    /** Bytes without meaning: a comment. */
    hum: () => add(": still here\n\n"),
    /** A piece of the answer's text. */
    say: (content: string) =>
      add(`data: ${JSON.stringify(chunk([{ index: 0, delta: { content }, logprobs: null, finish_reason: null }]))}\n\n`),
    /** The regular end, with usage. */
    finish: () => {
      const usage = { prompt_tokens: 5, completion_tokens: 5, total_tokens: 10 };
      const last = chunk([{ index: 0, delta: {}, logprobs: null, finish_reason: "stop" }]);
      for (const each of [last, { ...chunk([]), usage }]) add(`data: ${JSON.stringify(each)}\n\n`);
      add("data: [DONE]\n\n");
      add(null);
    },
    /** The answer stops before its end. */
    break: () => add(null),
  };
}

export function refusal(status: number, code: string, headers: Record<string, string> = {}, type = "invalid_request_error"): Response {
  return Response.json({ error: { message: `refused: ${code}`, type, code, param: null } }, { status, headers });
}
