/** The calls that every peer makes, the same in every run, and limits under which requests and tokens run out at the same time. */
export type Order = "shuffled" | "large first";
/** `tokens`: of the prompt. */
export type Call = { name: string; tokens: number };
/** What a program is told. `redis`: the path of its socket. */
export type Task = { url: string; key: string; order: Order; retries: number; parallel: number; redis: string | null };
/** What a program says: that it can start, or what became of a call (null: it was answered). */
export type Said = { ready: true } | { name: string; error: string | null };

export const COUNT = 400;
export const ANSWER_TOKENS = 40;
/** Documents, chats with a history, and questions: shares of the calls, and tokens of their prompts. */
const KINDS = [
  { share: 0.05, from: 4_000, to: 8_000 },
  { share: 0.25, from: 600, to: 2_000 },
  { share: 0.7, from: 40, to: 300 },
];
/** Long enough for nine of the largest calls, short enough for the limits to bind most of the time. */
export const BURST_SECONDS = 5;
const REQUESTS_PER_SECOND = 20;

const random = generator(20_261);
const inTurn = KINDS.map(promptsOf);
const prompts: Record<Order, number[]> = {
  "large first": inTurn.flatMap((kind) => shuffled(kind, random)),
  shuffled: shuffled(inTurn.flat(), random),
};
const tokens = prompts.shuffled.reduce((sum, each) => sum + each, 0);

/** A minute's. */
export const LIMITS = { rpm: REQUESTS_PER_SECOND * 60, tpm: Math.round((tokens * REQUESTS_PER_SECOND) / COUNT) * 60 };
/** What may go at once, and again after `BURST_SECONDS`. */
export const AT_ONCE = { requests: (LIMITS.rpm / 60) * BURST_SECONDS, tokens: (LIMITS.tpm / 60) * BURST_SECONDS };
/** The last call cannot start earlier, whatever the order. */
export const OPTIMUM_SECONDS = Math.max((COUNT - AT_ONCE.requests) / (LIMITS.rpm / 60), (tokens - AT_ONCE.tokens) / (LIMITS.tpm / 60));

export function callsIn(order: Order): Call[] {
  return prompts[order].map((tokens, place) => ({ name: `call-${place}`, tokens }));
}

/** As OpenAI's API has it. A token is four characters. */
export function requestOf({ name, tokens }: Call) {
  return {
    model: "gpt-5-mini",
    max_completion_tokens: ANSWER_TOKENS,
    messages: [{ role: "user" as const, content: "word".repeat(tokens) }],
    metadata: { call: name },
  };
}

/** Evenly between the ends. */
function promptsOf({ share, from, to }: (typeof KINDS)[number]): number[] {
  const count = Math.round(COUNT * share);
  return Array.from({ length: count }, (_, n) => Math.round(from + ((to - from) * n) / (count - 1)));
}

function shuffled(all: readonly number[], random: (below: number) => number): number[] {
  const mixed = [...all];
  for (let last = mixed.length - 1; last > 0; last--) {
    const other = random(last + 1);
    [mixed[last], mixed[other]] = [mixed[other]!, mixed[last]!];
  }
  return mixed;
}

/** The minimal standard generator. */
function generator(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state * 48_271) % 2_147_483_647;
    return state % below;
  };
}
