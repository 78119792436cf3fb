/** `GET /v1/queue/stream`: the queue as Server-Sent Events, once at the start and then whenever it changes. */
import { callCoordinator } from "../../platform/objects.ts";
import type { QueueState } from "../../schemas/queue.ts";
import type { Context } from "../ingress/context.ts";
import { SSE_HEADERS, sse } from "../ingress/sse.ts";

/** Time between two looks. The coordinator holds no call open and notifies nobody: it is polled, only while somebody watches. */
const EVERY_MS = 1_000;
/**
 * Looks in one answer, after which the reader reconnects: each is a subrequest of the Worker, which may make 10,000
 * (developers.cloudflare.com/workers/platform/limits).
 */
const LOOKS = 3_600;

export async function streamQueue({ background, env, request, settings }: Context): Promise<Response> {
  const look = () => callCoordinator(env, settings.region, (stub) => stub.inspect(undefined));
  const first = await look();
  const reader = new AbortController();
  request.signal.addEventListener("abort", () => reader.abort());
  const body = sse(
    async ({ event }) => {
      for await (const data of changes(first, look, () => pause(EVERY_MS, reader.signal))) await event({ event: "queue", data });
    },
    reader,
    background,
  );
  return new Response(body, { headers: SSE_HEADERS });
}

/** Each state that differs from the previous one, as JSON. `pause` resolves to false once nobody is reading. */
export async function* changes(first: QueueState, look: () => Promise<QueueState>, pause: () => Promise<boolean>): AsyncGenerator<string> {
  let told = JSON.stringify(first);
  yield told;
  for (let looks = 1; looks < LOOKS && (await pause()); looks++) {
    const now = JSON.stringify(await look());
    if (now === told) continue;
    told = now;
    yield told;
  }
}

/** Resolves to true after `ms`, or to false as soon as the signal fires. */
function pause(ms: number, signal: AbortSignal): Promise<boolean> {
  if (signal.aborted) return Promise.resolve(false);
  return new Promise((done) => {
    const over = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", over);
      done(!signal.aborted);
    };
    const timer = setTimeout(over, ms);
    signal.addEventListener("abort", over);
  });
}
