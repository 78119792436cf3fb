/** A plain answer to a request that asked for a stream, as the chunks that would have said the same: some endpoints know no streams. */
import { isObject, type JsonObject } from "./fold.ts";

/** The chunks, in order. What is no plain answer is one chunk, as it is. */
export function chunksOf(answer: unknown): unknown[] {
  if (!isObject(answer) || !Array.isArray(answer.choices)) return [answer];
  const { choices, usage, ...others } = answer;
  const chunk = { ...others, object: "chat.completion.chunk" };
  const said = { ...chunk, choices: choices.map((choice) => (isObject(choice) ? streamed(choice) : choice)) };
  return isObject(usage) ? [said, { ...chunk, choices: [], usage }] : [said];
}

function streamed({ message, ...choice }: JsonObject): JsonObject {
  if (!isObject(message)) return choice;
  const { tool_calls } = message;
  if (!Array.isArray(tool_calls)) return { ...choice, delta: message };
  const calls = tool_calls.map((call, index) => (isObject(call) ? { index, ...call } : call));
  return { ...choice, delta: { ...message, tool_calls: calls } };
}
