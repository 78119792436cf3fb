/** What is submitted: jobs of three sizes, for two tenants. */

export const MODEL = "gpt-5-mini";
/** The development keys, by tenant. */
export const KEYS = new Map([
  ["alice", "sk-dev-alice"],
  ["bob", "sk-dev-bob"],
]);
export const OPERATOR_KEY = "sk-dev-operator";

export type Work = {
  channel: string;
  request: { model: string; max_completion_tokens: number; messages: { role: string; content: string }[]; metadata?: object };
};

type Size = { ask: string; most: number };

/** Of every ten jobs, six are short, three middling and one long: 205 tokens each on average, so that tokens are scarcer than requests. */
const SHORT: Size = { ask: "Name one thing that sluice gate number # is good for.", most: 110 };
const MIDDLING: Size = { ask: "Explain in one paragraph how the keeper of sluice gate number # decides when to open it.", most: 220 };
const LONG: Size = { ask: "Tell the story of the night when the river rose at sluice gate number #, and who came to help.", most: 580 };
const TEN = [SHORT, LONG, MIDDLING, SHORT, MIDDLING, SHORT, MIDDLING, SHORT, SHORT, SHORT];

/** The answer that is watched while it is written is a long one; other answers are as long as the simulator likes. */
const SHOWN_TOKENS = "400";

export function makeJobs(channel: string, count: number): Work[] {
  return Array.from({ length: count }, (_, index) => {
    const { ask, most } = TEN[index % TEN.length]!;
    const messages = [{ role: "user", content: ask.replace("#", String(index + 1)) }];
    return { channel, request: { model: MODEL, max_completion_tokens: most, messages } };
  });
}

/** Makes a long job of the first half the one to watch, so that it starts while the queue is full. @returns its index. */
export function chooseShown(jobs: Work[], simulated: boolean): number {
  const half = Math.max(1, Math.floor(jobs.length / 2));
  const index = Math.max(
    0,
    jobs.slice(0, half).findLastIndex(({ request }) => request.max_completion_tokens === LONG.most),
  );
  const { request } = jobs[index]!;
  request.max_completion_tokens = LONG.most;
  // OpenAI accepts metadata only with `store`.
  if (simulated) request.metadata = { simulate_tokens: SHOWN_TOKENS };
  return index;
}

/** What the API says is reserved: a quarter of the prompt's characters, plus the most that may be answered. */
export function reservedTokens({ request }: Work): number {
  const characters = request.messages.reduce((sum, { content }) => sum + content.length, 0);
  return Math.ceil(characters / 4) + request.max_completion_tokens;
}
