/** An upstream in a process of its own kind: plain node:http, a fixed latency, no limits. */
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";

const chunk = (choices: unknown[], more: object = {}) =>
  `data: ${JSON.stringify({ id: "c", object: "chat.completion.chunk", created: 1, model: "m", choices, ...more })}\n\n`;
const ANSWER =
  chunk([{ index: 0, delta: { role: "assistant", content: "ok" }, finish_reason: null }]) +
  chunk([{ index: 0, delta: {}, finish_reason: "stop" }]) +
  chunk([], { usage: { prompt_tokens: 1, completion_tokens: 1, total_tokens: 2 } }) +
  "data: [DONE]\n\n";

export type BenchUpstream = { url: string; calls: () => number; close: () => void };

export async function openUpstream(latencyMs: number): Promise<BenchUpstream> {
  let calls = 0;
  const server: Server = createServer((request, response) => {
    request.resume();
    request.on("end", () => {
      calls++;
      setTimeout(() => response.writeHead(200, { "content-type": "text/event-stream" }).end(ANSWER), latencyMs);
    });
  });
  await new Promise<void>((ready) => server.listen(0, "127.0.0.1", ready));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const close = () => {
    server.closeAllConnections();
    server.close();
  };
  return { url, calls: () => calls, close };
}
