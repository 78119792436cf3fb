import { type Envelope, usageOf } from "./completion.ts";
import type { Problem } from "./errors.ts";
import { logprobOf } from "./logprob.ts";
import { type Answer, type Choice, countUnits } from "./model.ts";

/**
 * An answer as server-sent events, one step at a time: step 0 opens each choice, then each step is one token of every choice. Thousands of these run at once,
 * so everything constant is serialised once, and a step costs one concatenation.
 */
export class Transcript {
  /** Steps, including the opening one. */
  readonly steps: number;
  private readonly answer: Answer;
  private readonly head: string;
  private readonly tail: string;
  private readonly ending: string;
  private readonly units: number[];
  private readonly toolDeltas: (string[] | undefined)[];

  constructor(answer: Answer, envelope: Envelope, includeUsage: boolean) {
    const { id, created, model, service_tier, system_fingerprint } = envelope;
    const constant = { id, object: "chat.completion.chunk", created, model, service_tier, system_fingerprint };
    const open = JSON.stringify(constant).slice(0, -1);
    this.answer = answer;
    this.head = `data: ${open},"choices":[{"index":`;
    this.tail = includeUsage ? '}],"usage":null}\n\n' : "}]}\n\n";
    this.ending = `${includeUsage ? `data: ${open},"choices":[],"usage":${JSON.stringify(usageOf(answer))}}\n\n` : ""}data: [DONE]\n\n`;
    this.units = answer.choices.map(countUnits);
    this.steps = 1 + Math.max(...this.units);
    this.toolDeltas = answer.choices.map(toolDeltasOf);
  }

  /** The events of one step; the last step also carries the usage and `[DONE]`. */
  step(step: number): string {
    let events = "";
    for (let index = 0; index < this.units.length; index++) {
      const units = this.units[index]!;
      if (step === 0) events += this.event(index, this.opening(index), "null", "null");
      else if (step <= units) events += this.token(index, step - 1);
      if (step === units) events += this.event(index, "{}", "null", `"${this.answer.choices[index]!.finishReason}"`);
    }
    return step === this.steps - 1 ? events + this.ending : events;
  }

  /** A truncated event, which is not valid JSON. */
  malformed(): string {
    return `${this.head}0,"delta":{"content":\n\n`;
  }

  private opening(index: number): string {
    return `{"role":"assistant","content":${this.toolDeltas[index] === undefined ? '""' : "null"},"refusal":null}`;
  }

  private token(index: number, position: number): string {
    const tools = this.toolDeltas[index];
    if (tools !== undefined) return this.event(index, tools[position]!, "null", "null");
    const delta = `{"content":${JSON.stringify(this.answer.choices[index]!.content![position])}}`;
    if (this.answer.topLogprobs === undefined) return this.event(index, delta, "null", "null");
    const logprobs = `{"content":[${JSON.stringify(logprobOf(this.answer, index, position))}],"refusal":null}`;
    return this.event(index, delta, logprobs, "null");
  }

  private event(index: number, delta: string, logprobs: string, finishReason: string): string {
    return `${this.head}${index},"delta":${delta},"logprobs":${logprobs},"finish_reason":${finishReason}${this.tail}`;
  }
}

/** OpenAI reports a failure after the headers have gone out as an event of its own, and then ends the stream. */
export function errorEvent({ error }: Problem): string {
  return `data: ${JSON.stringify({ error })}\n\n`;
}

function toolDeltasOf(choice: Choice): string[] | undefined {
  if (choice.toolCalls.length === 0) return undefined;
  return choice.toolCalls.flatMap(({ id, name, fragments }, index) => [
    JSON.stringify({ tool_calls: [{ index, id, type: "function", function: { name, arguments: "" } }] }),
    ...fragments.map((fragment) => JSON.stringify({ tool_calls: [{ index, function: { arguments: fragment } }] })),
  ]);
}
