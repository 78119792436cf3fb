import { logprobOf } from "./logprob.ts";
import type { Answer, Choice } from "./model.ts";

/** What the answer and each of its chunks say about the call. */
export interface Envelope {
  id: string;
  /** Unix seconds. */
  created: number;
  model: string;
  service_tier: string;
  system_fingerprint: string;
}

/** The plain answer: exactly what the chunks of the stream add up to. */
export function completion(answer: Answer, envelope: Envelope): object {
  const { id, created, model, service_tier, system_fingerprint } = envelope;
  const choices = answer.choices.map((choice, index) => ({
    index,
    message: messageOf(choice),
    logprobs: logprobsOf(answer, index),
    finish_reason: choice.finishReason,
  }));
  return { id, object: "chat.completion", created, model, choices, usage: usageOf(answer), service_tier, system_fingerprint };
}

function messageOf(choice: Choice): object {
  const message = { role: "assistant", content: choice.content?.join("") ?? null, refusal: null, annotations: [] };
  if (choice.toolCalls.length === 0) return message;
  const calls = choice.toolCalls.map(({ id, name, fragments }) => ({
    id,
    type: "function",
    function: { name, arguments: fragments.join("") },
  }));
  return { ...message, tool_calls: calls };
}

function logprobsOf(answer: Answer, index: number): object | null {
  const { content } = answer.choices[index]!;
  if (answer.topLogprobs === undefined || content === null) return null;
  return { content: content.map((_, position) => logprobOf(answer, index, position)), refusal: null };
}

export function usageOf({ promptTokens, completionTokens }: Answer): object {
  return {
    prompt_tokens: promptTokens,
    completion_tokens: completionTokens,
    total_tokens: promptTokens + completionTokens,
    prompt_tokens_details: { cached_tokens: 0, audio_tokens: 0 },
    completion_tokens_details: { reasoning_tokens: 0, audio_tokens: 0, accepted_prediction_tokens: 0, rejected_prediction_tokens: 0 },
  };
}
