/** Adds the chunks of a stream up to the completion that they stand for, as a client would. */
interface Delta {
  role?: string;
  content?: string | null;
  refusal?: null;
  tool_calls?: { index: number; id?: string; type?: string; function: { name?: string; arguments: string } }[];
}

interface Logprob {
  token: string;
  logprob: number;
  bytes: number[];
  top_logprobs: object[];
}

type Logprobs = { content: Logprob[]; refusal: null } | null;

export interface Chunk {
  id: string;
  object: string;
  created: number;
  model: string;
  service_tier: string;
  system_fingerprint: string;
  choices: { index: number; delta: Delta; logprobs: Logprobs; finish_reason: string | null }[];
  usage?: { completion_tokens: number } | null;
}

interface Message {
  role: string;
  content: string | null;
  refusal: null;
  annotations: [];
  tool_calls?: { id: string; type: string; function: { name: string; arguments: string } }[];
}

interface Choice {
  index: number;
  message: Message;
  logprobs: Logprobs;
  finish_reason: string | null;
}

export function readEvents(text: string): Chunk[] {
  const events = text.split("\n\n").slice(0, -1);
  if (events.pop() !== "data: [DONE]") throw new Error("the stream does not end with [DONE]");
  return events.map((event) => JSON.parse(event.replace(/^data: /, "")));
}

export function assemble(chunks: Chunk[]) {
  const choices: Choice[] = [];
  for (const chunk of chunks) for (const choice of chunk.choices) add(choices, choice);
  const { id, created, model, service_tier, system_fingerprint } = chunks[0]!;
  const usage = chunks.at(-1)?.usage;
  return { id, object: "chat.completion", created, model, choices, usage, service_tier, system_fingerprint };
}

function add(choices: Choice[], { index, delta, logprobs, finish_reason }: Chunk["choices"][number]): void {
  if (choices[index] === undefined) {
    const opened = { role: delta.role!, content: delta.content === null ? null : "", refusal: delta.refusal!, annotations: [] as [] };
    choices[index] = { index, message: opened, logprobs: null, finish_reason: null };
  }
  const choice = choices[index];
  if (choice.finish_reason !== null) throw new Error("a chunk after the finish");
  choice.finish_reason = finish_reason;
  if (logprobs !== null) choice.logprobs = { content: [...(choice.logprobs?.content ?? []), ...logprobs.content], refusal: null };
  if (typeof delta.content === "string") choice.message.content += delta.content;
  for (const call of delta.tool_calls ?? []) {
    choice.message.tool_calls ??= [];
    const made = choice.message.tool_calls[call.index];
    if (made === undefined)
      choice.message.tool_calls.push({
        id: call.id!,
        type: call.type!,
        function: { name: call.function.name!, arguments: call.function.arguments },
      });
    else made.function.arguments += call.function.arguments;
  }
}
