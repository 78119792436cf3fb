/** Server-Sent Events (WHATWG HTML, 9.2) as upstream sends them. */
import { createParser, type EventSourceMessage } from "eventsource-parser";

/** The most characters of one event, far more than a chunk has: anything longer is not an answer. */
const EVENT_CHARACTERS = 16_000_000;
/** How long the end of a body may take after its last message, ms: it follows at once, or is not worth waiting for. */
const END_MS = 1_000;

/**
 * The messages of a body, in order, until its end or until `signal` aborts. A reader that stops at the last message does not wait, but the end is read all the
 * same: cancelling a body closes its connection, and the next call would pay for a new one. `alive`: bytes have come, even if only a comment.
 * @throws what the body breaks with; an error if an event is too long.
 */
export async function* messagesOf(
  body: ReadableStream<Uint8Array>,
  signal: AbortSignal,
  alive: () => void,
): AsyncGenerator<EventSourceMessage> {
  const messages: EventSourceMessage[] = [];
  const decoder = new TextDecoder();
  const parser = createParser({
    maxBufferSize: EVENT_CHARACTERS,
    onEvent: (message) => messages.push(message),
    onError: (error) => {
      if (error.type === "max-buffer-size-exceeded") throw error;
    },
  });
  const reader = body.getReader();
  const stop = () => void reader.cancel().catch(() => {});
  signal.addEventListener("abort", stop, { once: true });
  try {
    while (!signal.aborted) {
      const { done, value } = await reader.read();
      alive();
      parser.feed(decoder.decode(value, { stream: !done }));
      // The end of the body ends the last event too: some endpoints omit its blank line, and SDKs accept that.
      if (done) parser.feed("\n\n");
      yield* messages.splice(0);
      if (done) return;
    }
  } finally {
    signal.removeEventListener("abort", stop);
    if (signal.aborted) stop();
    else void leave(reader);
  }
}

async function leave(reader: ReadableStreamDefaultReader<Uint8Array>): Promise<void> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<{ done: false }>((done) => {
    timer = setTimeout(() => done({ done: false }), END_MS);
  });
  try {
    const { done } = await Promise.race([reader.read(), late]);
    if (!done) await reader.cancel();
  } catch {
    // The connection broke: there is nothing to keep.
  } finally {
    clearTimeout(timer);
  }
}

/** The text of a body that is no stream of messages. @throws as `messagesOf` does; as too long counts what an event may not have either. */
export async function wholeOf(body: ReadableStream<Uint8Array>, signal: AbortSignal, alive: () => void): Promise<string> {
  const decoder = new TextDecoder();
  const reader = body.getReader();
  const stop = () => void reader.cancel().catch(() => {});
  signal.addEventListener("abort", stop, { once: true });
  try {
    for (let text = ""; ; ) {
      const { done, value } = await reader.read();
      alive();
      text += decoder.decode(value, { stream: !done });
      if (done) return text;
      if (text.length > EVENT_CHARACTERS) throw new Error("Upstream's answer is too long.");
    }
  } catch (error) {
    stop();
    throw error;
  } finally {
    signal.removeEventListener("abort", stop);
  }
}
