import type { ChatRequest } from "./request.ts";

/** `max` follows OpenAI's rate-limit guide; `sum` follows its help centre and Azure. The exact rule is unpublished. */
export type ChargeRule = "max" | "sum";

/** Tokens that a request is charged at admission, whatever it uses later. OpenAI counts characters for this instead of tokenising. */
export function charge(request: ChatRequest, rule: ChargeRule): number {
  const estimated = estimatePrompt(request);
  const reserved = (request.max_completion_tokens ?? request.max_tokens ?? 0) * (request.n ?? 1);
  return rule === "sum" ? estimated + reserved : Math.max(estimated, reserved, 1);
}

export function estimatePrompt(request: ChatRequest): number {
  return Math.ceil(countCharacters(request) / 4);
}

export function countCharacters(request: ChatRequest): number {
  let total = 0;
  for (const message of request.messages) {
    total += textOf(message.content).length;
    for (const call of message.tool_calls ?? []) total += JSON.stringify(call).length;
  }
  return total;
}

export function textOf(content: ChatRequest["messages"][number]["content"]): string {
  if (typeof content === "string") return content;
  return (content ?? []).map((part) => (typeof part.text === "string" ? part.text : "")).join("");
}
