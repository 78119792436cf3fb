/** A client with a service made by the test behind it: a function answers HTTP, and the test plays the WebSockets. */
import { afterEach, beforeEach, expect, vi } from "vitest";
import { type Event, Sluice, type SluiceOptions, type Subscription } from "../../client/index.ts";
import type { ServerFrame } from "../../schemas/socket.ts";

export type Asked = { method: string; path: string; headers: Record<string, string>; body: string | null };
type Answer = (asked: Asked, signal: AbortSignal) => Response | Promise<Response>;

/** As much of a browser's WebSocket as the client uses; the test plays the other end. */
export class FakeSocket extends EventTarget {
  static all: FakeSocket[] = [];
  readonly url: string;
  readonly protocols: string[];
  readonly sent: string[] = [];
  readyState = 0;

  constructor(url: string, protocols: string[]) {
    super();
    this.url = url;
    this.protocols = protocols;
    FakeSocket.all.push(this);
  }

  send(text: string): void {
    this.sent.push(text);
  }

  close(): void {
    this.readyState = 3;
  }

  /** The service accepts the connection. */
  open(): void {
    this.readyState = 1;
    this.dispatchEvent(new Event("open"));
  }

  /** The connection breaks. */
  drop(): void {
    this.readyState = 3;
    this.dispatchEvent(new Event("close"));
  }

  say(frame: ServerFrame | "pong"): void {
    this.dispatchEvent(new MessageEvent("message", { data: frame === "pong" ? frame : JSON.stringify(frame) }));
  }

  subscribed(channel: string | null = "c"): void {
    this.say({ type: "subscribed", jobs: [], channel, deltas: false });
  }

  tell(job: string, seq: number, event: Extract<ServerFrame, { type: "event" }>["event"], data: unknown = {}, cursor?: number): void {
    this.say({ type: "event", job, seq, event, data, ...(cursor !== undefined && { cursor }) });
  }

  /** The subscriptions that the client asked for. */
  get wishes(): { after?: Record<string, number>; channel?: string; consumer?: string; jobs?: string[] }[] {
    return this.#frames.filter(({ type }) => type === "subscribe");
  }

  get acks(): { frames?: number; channel?: string; cursor?: number }[] {
    return this.#frames.filter(({ type }) => type === "ack").map(({ type: _, ...ack }) => ack);
  }

  get #frames(): { type: string; after?: Record<string, number>; channel?: string; consumer?: string; jobs?: string[] }[] {
    return this.sent.filter((text) => text !== "ping").map((text) => JSON.parse(text));
  }
}

export function stage(
  answer: Answer,
  options: Partial<SluiceOptions> = {},
): { client: Sluice; asked: Asked[]; socket: (n: number) => FakeSocket } {
  FakeSocket.all = [];
  const asked: Asked[] = [];
  const fetch = async (url: string, init: RequestInit) => {
    const headers = init.headers as Record<string, string>;
    const call = { method: init.method ?? "GET", path: url.replace("http://sluice", ""), headers, body: (init.body as string) ?? null };
    asked.push(call);
    return answer(call, init.signal!);
  };
  const WebSocket = FakeSocket as unknown as NonNullable<SluiceOptions["WebSocket"]>;
  const client = new Sluice({ url: "http://sluice", token: "t", fetch, WebSocket, ...options });
  return { client, asked, socket: (n) => FakeSocket.all[n]! };
}

export function json(body: unknown, status = 200, headers: Record<string, string> = {}): Response {
  return new Response(JSON.stringify(body), { status, headers });
}

export function refusal(status: number, type: string, code: string | null = null, headers: Record<string, string> = {}): Response {
  return json({ error: { message: "No.", type, code, param: null } }, status, { "x-request-id": "req_1", ...headers });
}

/** Each test of the file moves time itself (nothing really waits), and random numbers always fall in the middle. */
export function fakeTime(): void {
  beforeEach(() => {
    vi.useFakeTimers();
    vi.spyOn(Math, "random").mockReturnValue(0.5);
  });
  afterEach(() => {
    vi.restoreAllMocks();
    vi.useRealTimers();
  });
}

/** Expects the client to have let go of everything. */
export function expectNothingOpen(): void {
  expect(vi.getTimerCount()).toBe(0);
  expect(FakeSocket.all.every(({ readyState }) => readyState === 3)).toBe(true);
}

/** Lets everything happen that takes no time. */
export async function settle(): Promise<void> {
  await vi.advanceTimersByTimeAsync(0);
}

/** Reads in the background. */
export function reader(events: Subscription): { told: string[]; events: Event[]; done: Promise<unknown> } {
  const told: string[] = [];
  const kept: Event[] = [];
  const done = (async () => {
    for await (const event of events) {
      told.push(`${event.job} ${event.seq} ${event.event}`);
      kept.push(event);
    }
    return "ended";
  })().catch((error: unknown) => error);
  return { told, events: kept, done };
}

/** The data of a delta. */
export const delta = (text: string) => ({ chunks: [{ choices: [{ index: 0, delta: { content: text } }] }] });
