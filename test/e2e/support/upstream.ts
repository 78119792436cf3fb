/** A minimal upstream, for what the simulator does not do: it keeps what it was sent, and answers with `behave`. */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { onTestFinished } from "vitest";

/** `port`: the caller's port, which identifies the connection. */
export type Received = { port: number | undefined; headers: IncomingMessage["headers"]; text: string; body: Record<string, unknown> };
export type Behaviour = (received: Received, response: ServerResponse, count: number) => void;

export async function startUpstream(behave: Behaviour): Promise<{ url: string; received: Received[] }> {
  const received: Received[] = [];
  const server = createServer(async (request, response) => {
    const pieces: Buffer[] = [];
    for await (const piece of request) pieces.push(piece as Buffer);
    const text = Buffer.concat(pieces).toString("utf8");
    const call = { port: request.socket.remotePort, headers: request.headers, text, body: JSON.parse(text) as Record<string, unknown> };
    received.push(call);
    behave(call, response, received.length);
  });
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, received };
}

/** Streams an answer made of these pieces, each in a chunk of its own. */
export function answer(response: ServerResponse, pieces: string[], more: Record<string, unknown> = {}): void {
  const head = { id: "chatcmpl-e2e", object: "chat.completion.chunk", created: 1, model: "gpt-5-mini" };
  const send = (chunk: object) => response.write(`data: ${JSON.stringify({ ...head, ...chunk })}\n\n`);
  response.writeHead(200, { "content-type": "text/event-stream" });
  send({ choices: [{ index: 0, delta: { role: "assistant", content: "" }, finish_reason: null }] });
  for (const content of pieces) send({ choices: [{ index: 0, delta: { content }, finish_reason: null }] });
  send({ choices: [{ index: 0, delta: {}, finish_reason: "stop" }], ...more });
  send({ choices: [], usage: { prompt_tokens: 1, completion_tokens: pieces.length, total_tokens: 1 + pieces.length } });
  response.end("data: [DONE]\n\n");
}
