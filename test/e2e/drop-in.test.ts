/** An existing program, written for OpenAI and pointed at Sluice; nothing else in it is changed. */
import OpenAI, { RateLimitError } from "openai";
import { expect, test } from "vitest";
import { ledger, listed, queue, until } from "./support/client.ts";
import { callsTo, crash, enforced, pools, startAgain, startService, startSimulator, stateDirectory } from "./support/service.ts";

const BUDGET = { rpm: 600, tpm: 100_000_000, burst_seconds: 1 };

/** What the program does: asks this many questions at once. */
async function program(baseURL: string, questions: number, options: object = {}): Promise<PromiseSettledResult<string>[]> {
  const client = new OpenAI({ baseURL: `${baseURL}/v1`, apiKey: "sk-dev-alice", ...options });
  const ask = async (n: number) => {
    const answer = await client.chat.completions.create({
      model: "gpt-5-mini",
      max_completion_tokens: 50,
      messages: [{ role: "user", content: `What is ${n} and ${n}?` }],
    });
    return answer.choices[0]!.message.content ?? "";
  };
  return Promise.allSettled(Array.from({ length: questions }, (_, n) => ask(n)));
}

const failed = (results: PromiseSettledResult<string>[]) => results.flatMap((each) => (each.status === "rejected" ? [each.reason] : []));

test("more calls at once than the budget holds -> straight at upstream most fail with 429; here all are answered, and upstream refuses none", async () => {
  // On a busy machine, calls that left in time may arrive a second late: upstream's burst is that much larger.
  const limits = enforced({ ...BUDGET, burst_seconds: 2 });
  const upstream = await startSimulator({ speed: 0, ...limits });
  const straight = failed(await program(upstream.url, 60));
  expect(straight.length).toBeGreaterThan(20);
  expect(straight.every((error) => error instanceof RateLimitError)).toBe(true);

  const fresh = await startSimulator({ speed: 0, ...limits });
  const service = await startService({ vars: { ...callsTo(fresh), SLUICE_POOLS: pools(BUDGET) } });
  expect(failed(await program(service.url, 60))).toEqual([]);
  expect(await ledger(fresh)).toMatchObject({ calls: 60, completed: 60, rejected_429: { requests: 0, tokens: 0 } });
});

test("killed while calls wait and run, and started again -> the program notices nothing, and each call is one job", async () => {
  const state = stateDirectory();
  const upstream = await startSimulator({ speed: 1, ...enforced(BUDGET) });
  const vars = { ...callsTo(upstream), SLUICE_POOLS: pools(BUDGET) };
  const before = await startService({ state, vars });
  const answers = program(before.url, 50, { maxRetries: 10 });
  await until("the calls to be queued", async () => (await queue(before)).depth >= 20);
  await crash(before);
  const after = await startAgain(before, state, vars);
  expect(failed(await answers)).toEqual([]);
  const jobs = [...(await listed(after)).values()];
  expect(jobs.length).toBe(50);
  expect(jobs.every(({ status }) => status === "completed")).toBe(true);
});

test("a stream is the same, chunk by chunk, as upstream's own", async () => {
  const upstream = await startSimulator({ speed: 0, seed: 7 });
  const service = await startService({ vars: callsTo(upstream) });
  const streamOf = async (url: string) => {
    const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: "sk-dev-alice" });
    const stream = await client.chat.completions.create({
      model: "gpt-5-mini",
      messages: [{ role: "user", content: "Tell me a story." }],
      seed: 11,
      stream: true,
      stream_options: { include_usage: true },
    });
    const chunks: object[] = [];
    for await (const { id, created, ...rest } of stream) chunks.push(rest);
    return chunks;
  };
  expect(await streamOf(service.url)).toEqual(await streamOf(upstream.url));
});
