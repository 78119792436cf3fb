/** Files and batches, made with OpenAI's SDK as a client would. */
import { toFile } from "openai";
import { sdk } from "./sdk.ts";

export const WINDOW = { endpoint: "/v1/chat/completions", completion_window: "24h" } as const;

export const request = (id: string, body: object = {}) => ({
  custom_id: id,
  method: "POST",
  url: "/v1/chat/completions",
  body: { model: "gpt-5-mini", max_completion_tokens: 10, messages: [{ role: "user", content: id }], ...body },
});
export const jsonl = (lines: unknown[]) => lines.map((line) => (typeof line === "string" ? line : JSON.stringify(line))).join("\n");
export const requests = (count: number, body: object = {}) => Array.from({ length: count }, (_, n) => request(`r${n}`, body));

export const client = () => sdk().client;

export async function upload(lines: unknown[]): Promise<string> {
  const file = await client().files.create({ file: await toFile(new TextEncoder().encode(jsonl(lines)), "in.jsonl"), purpose: "batch" });
  return file.id;
}
