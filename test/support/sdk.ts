/** OpenAI's own SDK, used as a caller would. */
import OpenAI from "openai";
import type { ChatCompletionChunk } from "openai/resources/chat/completions";
import { send } from "./service.ts";

export type Sent = { url: string; headers: Headers; response: Response };

/** The SDK, pointed at the service; `sent` are the requests that it made. */
export function sdk(options: ConstructorParameters<typeof OpenAI>[0] = {}) {
  const sent: Sent[] = [];
  const client = new OpenAI({
    baseURL: "http://sluice/v1",
    apiKey: "sk-dev-alice",
    fetch: async (url, init) => {
      const response = await send(String(url).slice("http://sluice".length), init as RequestInit);
      sent.push({ url: String(url), headers: new Headers(init?.headers as HeadersInit), response });
      return response;
    },
    ...options,
  });
  return { client, sent };
}

export const messages = [{ role: "user" as const, content: "hello" }];
export const params = { model: "gpt-5-mini", messages };

export async function all(chunks: AsyncIterable<ChatCompletionChunk>): Promise<ChatCompletionChunk[]> {
  const seen: ChatCompletionChunk[] = [];
  for await (const each of chunks) seen.push(each);
  return seen;
}
export const textOf = (chunks: ChatCompletionChunk[]) => chunks.map(({ choices }) => choices[0]?.delta.content ?? "").join("");
export const jobOf = (response: Response) => response.headers.get("x-sluice-job")!;
