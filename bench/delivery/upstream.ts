/**
 * An upstream in a process of its own that streams words at a steady pace, each with the time at which it left: a request says how many, and how far
 * apart. Plain node:http, no limits.
 */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";

/** What a request's one message asks for. */
export type Wish = { words: number; everyMs: number; name: string };

/** ms since the epoch, finer than a ms; the same clock in every process of the machine. */
export const clock = () => performance.timeOrigin + performance.now();

/** Word `n` of an answer, without its stamp: the same whoever asks, and whenever. */
export const wordOf = (name: string, n: number) => `${name}.${n} `;

const chunk = (choices: unknown[], more: object = {}) =>
  `data: ${JSON.stringify({ id: "c", object: "chat.completion.chunk", created: 1, model: "m", choices, ...more })}\n\n`;

function serve(): void {
  const server = createServer((request, response) => {
    let text = "";
    request.setEncoding("utf8").on("data", (piece: string) => {
      text += piece;
    });
    request.on("end", () => {
      const { messages } = JSON.parse(text) as { messages: { content: string }[] };
      const { words, everyMs, name } = JSON.parse(messages[0]!.content) as Wish;
      response.writeHead(200, { "content-type": "text/event-stream" });
      let said = 0;
      const say = () => {
        // The stamp travels beside the text: answers are the same every time.
        response.write(chunk([{ index: 0, delta: { content: wordOf(name, said) }, finish_reason: null }], { stamp: clock() }));
        if (++said < words) return;
        clearInterval(timer);
        const usage = { prompt_tokens: 1, completion_tokens: words, total_tokens: words + 1 };
        response.end(`${chunk([{ index: 0, delta: {}, finish_reason: "stop" }])}${chunk([], { usage })}data: [DONE]\n\n`);
      };
      // Streams that begin together do not speak together.
      let timer: ReturnType<typeof setInterval> | undefined;
      const begin = setTimeout(() => {
        timer = setInterval(say, everyMs);
      }, Math.random() * everyMs);
      request.socket.on("close", () => {
        clearTimeout(begin);
        clearInterval(timer);
      });
    });
  });
  server.listen(0, "127.0.0.1", () => process.send!((server.address() as AddressInfo).port));
}

if (process.send) serve();
