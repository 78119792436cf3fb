import { expect, test } from "vitest";
import type { Job } from "../../schemas/job.ts";
import { Chronicle } from "./support/chronicle.ts";
import { call, type ErrorBody, ended, find, job, queue, submit, until } from "./support/client.ts";
import { Follower } from "./support/follower.ts";
import { callsTo, pools, startService, startSimulator } from "./support/service.ts";
import { answer, startUpstream } from "./support/upstream.ts";

const WIDE = pools({ rpm: 1_000_000, tpm: 1_000_000_000 });
const JSONL = { "content-type": "application/jsonl" };

/** Long texts are compared by `===`: a diff of megabytes would help nobody. */
function textOf({ response }: Job): string | undefined {
  return (response as { choices: { message: { content: string } }[] }).choices[0]?.message.content;
}

type Line = Job & ErrorBody & { line: number };

test("10,000 lines of JSONL in one request -> answered in order, each bad line by itself, all durable", async ({ annotate }) => {
  const service = await startService({ vars: { SLUICE_POOLS: pools({ rpm: 6, tpm: 100_000_000 }) } });
  const bad = (n: number) => n % 1_000 === 500;
  // A blank line is skipped, but counted.
  const lines = Array.from({ length: 10_000 }, (_, n) =>
    bad(n) ? "{" : JSON.stringify(job({ channel: `c${n % 7}`, metadata: { n: String(n) } })),
  );
  const began = performance.now();
  const { status, headers, body } = await call<string>(service, "POST", "/v1/jobs", { headers: JSONL, body: `\n${lines.join("\n")}\n` });
  await annotate(`10,000 lines took ${Math.round(performance.now() - began)} ms`);
  expect([status, headers.get("content-type")]).toEqual([202, "application/jsonl"]);

  const answers = body
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as Line);
  expect(answers.length).toBe(10_000);
  const wrong = answers.filter((each, n) =>
    bad(n) ? each.error?.code !== "invalid_json" || each.line !== n + 2 : each.metadata?.n !== String(n),
  );
  expect(wrong).toEqual([]);
  const accepted = answers.filter((_, n) => !bad(n));
  expect(new Set(accepted.map(({ id }) => id)).size).toBe(9_990);
  const { depth, in_flight } = await queue(service);
  expect(depth + in_flight).toBeGreaterThan(9_970);
  const last = accepted.at(-1)!;
  expect(await find(service, last.id)).toMatchObject({ status: "queued", metadata: { n: "9999" } });
});

test("a prompt of two million characters -> accepted, reaches upstream whole", async () => {
  const simulator = await startSimulator({ limits: { "gpt-4.1": { rpm: 1_000, tpm: 100_000_000 } }, speed: 20 });
  const service = await startService({ vars: { ...callsTo(simulator), SLUICE_POOLS: WIDE } });
  const request = { model: "gpt-4.1", messages: [{ role: "user", content: "word ".repeat(400_000) }] };
  const { id } = await submit(service, job({}, request));
  expect(await ended(service, id)).toMatchObject({ status: "completed", usage: { prompt_tokens: 500_007 } });
});

test("long texts outside the basic plane, and fields that Sluice does not know -> passed on and brought back to the letter", async () => {
  const pieces = Array.from({ length: 300 }, (_, n) => `${n}${"😀ß".repeat(2_000)}`);
  const upstream = await startUpstream((_, response) => answer(response, pieces, { service_tier: "default", novelty: { of: "tomorrow" } }));
  const service = await startService({ vars: { ...callsTo(upstream), SLUICE_POOLS: WIDE } });
  const chronicle = new Chronicle();
  const follower = await Follower.connect(service, chronicle);
  await follower.subscribe({ channel: "long", deltas: true });
  const request = { messages: [{ role: "user", content: `x${"😀".repeat(700_000)}` }], novelty: { on: ["the way"] }, temperature: 0.1 };
  const submitted = job({ channel: "long" }, request);
  const { id } = await submit(service, submitted);
  const done = await ended(service, id);
  expect(done.status).toBe("completed");
  expect(textOf(done) === pieces.join("")).toBe(true);
  expect(done.response).toMatchObject({ object: "chat.completion", service_tier: "default", novelty: { of: "tomorrow" } });

  const { body, headers } = upstream.received[0]!;
  expect(upstream.received.length).toBe(1);
  expect(headers.authorization).toBe("Bearer sk-e2e");
  const { stream, stream_options, ...rest } = body;
  expect(rest).toEqual(submitted.request);
  expect([stream, stream_options]).toEqual([true, { include_usage: true }]);

  await until("the end to arrive", () => chronicle.names(id).at(-1) === "completed");
  expect(chronicle.breaches).toEqual([]);
  expect(chronicle.fault(done)).toBeNull();
});

test("one chunk of three million characters, watched, which no row of the platform holds -> the result and its event come, numbered without a gap", async () => {
  const text = "long ".repeat(600_000);
  const upstream = await startUpstream((_, response) => answer(response, [text]));
  const service = await startService({ vars: { ...callsTo(upstream), SLUICE_POOLS: WIDE } });
  const chronicle = new Chronicle();
  const follower = await Follower.connect(service, chronicle);
  await follower.subscribe({ channel: "huge", deltas: true });
  const { id } = await submit(service, job({ channel: "huge" }));
  const done = await ended(service, id);
  expect([done.status, done.attempts]).toEqual(["completed", 1]);
  expect(textOf(done) === text).toBe(true);
  await until("the end to arrive", () => chronicle.names(id).at(-1) === "completed");
  const events = chronicle.events(id);
  expect(events.map(({ seq }) => seq)).toEqual(events.map((_, index) => index + 1));
  expect(JSON.stringify(events.at(-1)!.data) === JSON.stringify(done)).toBe(true);
  expect(text.startsWith(chronicle.text(id) ?? "")).toBe(true);
});

const big = Buffer.alloc(40 * 1024 * 1024, " ");

function inPieces(): ReadableStream<Uint8Array> {
  return new ReadableStream({
    start(controller) {
      for (let from = 0; from < big.length; from += 1 << 20) controller.enqueue(big.subarray(from, from + (1 << 20)));
      controller.close();
    },
  });
}

test.each([
  { how: "its length announced", body: () => big },
  { how: "in chunks", body: inPieces },
])("a body of 40 MB, $how -> 413, and the service goes on", async ({ body }) => {
  const service = await startService({ vars: { SLUICE_POOLS: WIDE } });
  const headers = { authorization: "Bearer sk-dev-alice", "content-type": "application/json" };
  const response = await fetch(`${service.url}/v1/jobs`, { method: "POST", headers, body: body(), duplex: "half" } as RequestInit);
  expect([response.status, ((await response.json()) as ErrorBody).error.code]).toEqual([413, "request_too_large"]);
  const { id } = await submit(service, job());
  expect((await ended(service, id)).status).toBe("completed");
});

test("a request of 12.5 million characters -> 413 by itself, and refused alone among others", async () => {
  const service = await startService({ vars: { SLUICE_POOLS: WIDE } });
  const tooLong = job({}, { messages: [{ role: "user", content: "x".repeat(12_500_000) }] });
  const alone = await call<ErrorBody>(service, "POST", "/v1/jobs", { body: tooLong });
  expect([alone.status, alone.body.error.code]).toEqual([413, "request_too_large"]);
  const among = await call<{ data: (Job & ErrorBody)[] }>(service, "POST", "/v1/jobs", { body: { jobs: [job(), tooLong, job()] } });
  expect(among.body.data.map(({ object, error }) => object ?? error.code)).toEqual(["job", "request_too_large", "job"]);
});

test("upstream drops the connection before and amid its answer -> called again, a duplicate is suspected", async () => {
  const upstream = await startUpstream(({ headers: _ }, response, count) => {
    if (count === 1) return void response.destroy();
    if (count > 2) return answer(response, ["done"]);
    response.writeHead(200, { "content-type": "text/event-stream" });
    response.write('data: {"choices":[{"index":0,"delta":{"content":"do"}}]}\n\n', () => response.destroy());
  });
  const service = await startService({ vars: { ...callsTo(upstream), SLUICE_POOLS: WIDE } });
  const { id } = await submit(service, job());
  expect(await ended(service, id)).toMatchObject({ status: "completed", attempts: 3, possible_duplicates: 2 });
  expect(upstream.received.length).toBe(3);
});
