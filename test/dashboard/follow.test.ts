import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { ask, type Fetch } from "../../dashboard/fetched/ask.ts";
import { follow, SILENCE_MS } from "../../dashboard/fetched/follow.ts";
import { queue } from "./states.ts";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

const event = (depth: number) => `event: queue\ndata: ${JSON.stringify(queue({ pools: [], paused: depth > 0 }))}\n\n`;

/** An answer that stays open: the test decides what it says and how it ends. */
function stream(signal?: AbortSignal | null) {
  let out!: ReadableStreamDefaultController<Uint8Array>;
  const body = new ReadableStream<Uint8Array>({
    start: (controller) => {
      out = controller;
    },
  });
  signal?.addEventListener("abort", () => out.error(signal.reason));
  const say = (text: string) => out.enqueue(new TextEncoder().encode(text));
  return { response: new Response(body), say, end: () => out.close(), break: () => out.error(new Error("reset")) };
}

/** A page that follows the queue: it gets `answers` in turn, then connections that stay open. */
function page(...answers: (() => Response | Promise<Response>)[]) {
  const told: string[] = [];
  const asked: Request[] = [];
  const lines: ReturnType<typeof stream>[] = [];
  const leaving = new AbortController();
  const fetcher = async (path: string, init: RequestInit) => {
    asked.push(new Request(`http://sluice${path}`, init));
    const next = answers.shift();
    if (next) return next();
    const line = stream(init.signal);
    lines.push(line);
    return line.response;
  };
  const over = follow(
    "sk-key",
    {
      connection: (now) => void told.push(now.state === "reconnecting" ? `reconnecting: ${now.why}` : now.state),
      state: ({ paused }) => void told.push(paused ? "paused" : "running"),
      heard: () => {},
    },
    leaving.signal,
    { fetch: fetcher as Fetch, random: () => 1 },
  );
  return { told, asked, lines, leave: () => leaving.abort(), over };
}

const settled = () => vi.advanceTimersByTimeAsync(0);

it("is told each state, in however many pieces it comes, with the key in a header and nowhere else", async () => {
  const { asked, leave, lines, over, told } = page();
  await settled();
  const text = event(0) + event(1);
  for (const piece of [text.slice(0, 20), text.slice(20)]) lines[0]!.say(piece);
  await settled();
  expect(told).toEqual(["connecting", "running", "live", "paused", "live"]);
  expect(asked[0]!.headers.get("authorization")).toBe("Bearer sk-key");
  expect(asked[0]!.url).toBe("http://sluice/v1/queue/stream");
  leave();
  await over;
});

it("the connection breaks, or ends -> it is made anew, later each time until it tells something", async () => {
  const { asked, leave, lines, over, told } = page(
    () => Promise.reject(new TypeError("fetch failed")),
    () => new Response("busy", { status: 503 }),
  );
  await settled();
  expect(told).toEqual(["connecting", "reconnecting: the service cannot be reached"]);
  await vi.advanceTimersByTimeAsync(500);
  expect(told.at(-1)).toBe("reconnecting: The service answered 503.");
  await vi.advanceTimersByTimeAsync(999);
  expect(asked).toHaveLength(2);
  await vi.advanceTimersByTimeAsync(1);
  lines[0]!.say(event(0));
  await settled();
  lines[0]!.break();
  await vi.advanceTimersByTimeAsync(500);
  lines[1]!.say(event(1));
  await settled();
  lines[1]!.end();
  await settled();
  expect(told.slice(3)).toEqual([
    ...["running", "live", "reconnecting: the service cannot be reached"],
    ...["paused", "live", "reconnecting: the service ended the connection"],
  ]);
  leave();
  await over;
});

it("silence beyond the service's own heartbeat -> the connection is dead, and made anew", async () => {
  const { leave, lines, over, told } = page();
  await settled();
  lines[0]!.say(event(0));
  await vi.advanceTimersByTimeAsync(SILENCE_MS - 1);
  lines[0]!.say(": keep-alive\n\n");
  await vi.advanceTimersByTimeAsync(SILENCE_MS - 1);
  expect(told.at(-1)).toBe("live");
  await vi.advanceTimersByTimeAsync(1);
  expect(told.at(-1)).toBe("reconnecting: the service stopped sending data");
  leave();
  await over;
});

it("what comes is no state that the page knows, as after a deployment -> says so, and does not take the service for gone", async () => {
  const { leave, lines, over, told } = page();
  await settled();
  lines[0]!.say('event: queue\ndata: {"object":"queue"\n\n');
  await settled();
  expect(told.at(-1)).toBe("reconnecting: the service's data cannot be read; reload this page");
  leave();
  await over;
});

it("the key is refused -> it is not tried again", async () => {
  for (const status of [401, 403]) {
    const { asked, over, told } = page(() => Response.json({ error: { message: "no" } }, { status }));
    await over;
    expect([told, asked.length]).toEqual([["connecting", "refused"], 1]);
  }
});

it("who leaves -> hears nothing more, and nothing is asked any more", async () => {
  const { asked, leave, lines, over, told } = page();
  await settled();
  lines[0]!.say(event(0));
  await settled();
  leave();
  await over;
  await vi.advanceTimersByTimeAsync(60_000);
  expect([told, asked.length]).toEqual([["connecting", "running", "live"], 1]);
});

it("a question: its answer, or why there is none, in words", async () => {
  const request = { method: "POST", path: "/v1/queue/pause", body: { pool: "p" } } as const;
  const asked: RequestInit[] = [];
  const answered = (response: Response) =>
    ask("sk-key", request, (async (_: string, init: RequestInit) => {
      asked.push(init);
      return response;
    }) as unknown as Fetch);
  expect(await answered(Response.json({ object: "queue" }))).toEqual({ ok: true, value: { object: "queue" } });
  expect(asked[0]).toMatchObject({ method: "POST", body: '{"pool":"p"}' });
  const refusal = Response.json({ error: { message: 'No pool "p" is configured.' } }, { status: 404 });
  expect(await answered(refusal)).toEqual({ ok: false, status: 404, message: 'No pool "p" is configured.' });
  expect(await answered(new Response("<html>", { status: 502 }))).toMatchObject({ ok: false, message: "The service answered 502." });
  const lost = await ask("sk-key", request, (() => Promise.reject(new TypeError("fetch failed"))) as Fetch);
  expect(lost).toMatchObject({ ok: false, status: 0, message: expect.stringContaining("cannot be reached") });
});
