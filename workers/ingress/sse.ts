/** Server-Sent Events (WHATWG HTML, 9.2). */

/** Comments keep idle connections open: proxies and load balancers close connections that are silent for a minute. */
export const HEARTBEAT_MS = 15_000;

export const SSE_HEADERS = { "content-type": "text/event-stream; charset=utf-8", "cache-control": "no-store", "x-accel-buffering": "no" };

export type SseWriter = {
  /** Resolves when the reader has room for more. @throws if it has gone. */
  event(fields: { event?: string; id?: string; data: string }): Promise<void>;
  /** Readers skip it. */
  comment(text: string): Promise<void>;
};

/**
 * A response body that `write` fills. It aborts `reader` when the reader leaves; if `write` throws, the body breaks off, so that the reader knows it is
 * incomplete. A comment goes out every `heartbeatMs`.
 */
export function sse(
  write: (writer: SseWriter) => Promise<void>,
  reader: AbortController,
  background: (work: Promise<unknown>) => void,
  heartbeatMs: number = HEARTBEAT_MS,
): ReadableStream<Uint8Array> {
  const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>();
  const out = writable.getWriter();
  const encoder = new TextEncoder();
  const send = (text: string) => out.write(encoder.encode(text));
  const comment = (text: string) => send(`: ${text.replaceAll(/[\r\n]+/g, " ")}\n\n`);
  const writer: SseWriter = {
    event: ({ event, id, data }) =>
      send(
        `${event === undefined ? "" : `event: ${event}\n`}${id === undefined ? "" : `id: ${id}\n`}data: ${data.replaceAll("\n", "\ndata: ")}\n\n`,
      ),
    comment,
  };
  const heartbeat = setInterval(() => comment("keep-alive").catch(() => reader.abort()), heartbeatMs);
  out.closed.catch(() => reader.abort());
  const pump = async () => {
    try {
      await write(writer);
      await out.close();
    } catch (error) {
      await out.abort(error).catch(() => {});
    } finally {
      clearInterval(heartbeat);
      reader.abort();
    }
  };
  background(pump());
  return readable;
}
