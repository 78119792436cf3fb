import { reset } from "cloudflare:test";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Job } from "../../schemas/job.ts";
import type { ErrorBody } from "../../schemas/problem.ts";
import { call, ended, job, send, submit } from "../support/service.ts";
import { answerOf } from "../support/socket.ts";
import { chunk, completion, resetWorld, stream, world } from "../support/world.ts";

beforeEach(resetWorld);
afterEach(reset);

type Messages = { content: string }[];
const contentOf = (body: Record<string, unknown>) => (body.messages as Messages)[0]!.content;
const headers = { authorization: "Bearer sk-dev-alice", "content-type": "application/json" };

const usage = { prompt_tokens: 1, completion_tokens: 1, total_tokens: 2 };

/** A stream of a few large pieces: the test is about storage, not about chunks. */
function largeAnswer(content: string, count = 2): Response {
  const length = Math.ceil(content.length / count);
  const pieces = Array.from({ length: count }, (_, index) => content.slice(index * length, (index + 1) * length));
  const choice = (delta: unknown, end: string | null = null) => chunk([{ index: 0, delta, logprobs: null, finish_reason: end }]);
  return stream([
    choice({ role: "assistant", content: "" }),
    ...pieces.map((piece) => choice({ content: piece })),
    choice({}, "stop"),
    { ...chunk([]), usage },
    "[DONE]",
  ]);
}

describe("large jobs", () => {
  it.each([0, 1, 2, 3])("a prompt of 2 MB runs and comes back whole, an emoji across each border of a part: shift %i", async (shift) => {
    // Parts are cut every 400,000 characters: with each shift, the surrogate pairs lie differently across the cuts.
    const prompt = "x".repeat(shift) + "😀".repeat(500_000);
    world.upstream = ({ body }) => largeAnswer(contentOf(body));
    const { id } = await submit({}, { messages: [{ role: "user", content: prompt }] });
    const done = await ended(id);
    expect(contentOf(world.calls[0]!) === prompt).toBe(true);
    expect(answerOf(done) === prompt).toBe(true);
  });

  it.each([99_000, 100_000, 101_000, 400_000, 1_300_000])("an answer of %i characters comes back whole", async (length) => {
    const answer = "漢é".repeat(length / 2);
    world.upstream = () => largeAnswer(answer);
    const { id } = await submit();
    expect(answerOf(await ended(id)) === answer).toBe(true);
  });

  it("in_progress -> failed: an answer that no message between objects holds is paid for once", async () => {
    world.upstream = () => largeAnswer("x".repeat(34_000_000), 9);
    const { id } = await submit();
    expect(await ended(id)).toMatchObject({
      status: "failed",
      attempts: 1,
      response: null,
      error: { code: "answer_too_large", status: 502 },
    });
    expect(world.calls).toHaveLength(1);
  });

  it("the longest answer that is kept comes back whole, in letters of three bytes, to who reads it and to who waits for it", async () => {
    const answer = "漢".repeat(9_999_000);
    world.upstream = () => largeAnswer(answer, 3);
    const { id } = await submit();
    expect(answerOf(await ended(id)) === answer).toBe(true);
    expect(answerOf((await call("GET", `/v1/jobs/${id}`)).body) === answer).toBe(true);
  });

  it("jobs that are submitted again under their Idempotency-Key, and have longer answers than one message holds -> each comes with its answer", async () => {
    const answer = "漢".repeat(900_000);
    world.upstream = () => largeAnswer(answer);
    const body = { jobs: Array.from({ length: 20 }, () => job({ channel: "c" })) };
    const post = () => call<{ data: Job[] }>("POST", "/v1/jobs", body, { headers: { "idempotency-key": "k" } });
    const ids = (await post()).body.data.map(({ id }) => id);
    for (const id of ids) await ended(id);
    const again = await post();
    expect(again.body.data.map(({ id }) => id)).toEqual(ids);
    for (const each of again.body.data) expect(answerOf(each) === answer).toBe(true);
    expect(world.calls).toHaveLength(20);
  });

  it("a list ends before its answers are more than a message between objects holds, however long the next is", async () => {
    const long = ["漢".repeat(9_999_000), "漢".repeat(7_900_000)];
    for (const answer of long) {
      world.upstream = () => largeAnswer(answer, 3);
      await ended((await submit({ channel: "c" })).id);
    }
    const { body, status } = await call<{ data: Job[]; has_more: boolean }>("GET", "/v1/jobs?channel=c");
    expect(status).toBe(200);
    expect(body).toMatchObject({ data: [{ status: "completed" }], has_more: true });
  });

  it("a lone half of a surrogate pair in a prompt does no harm", async () => {
    const { id } = await submit({}, { messages: [{ role: "user", content: `${"\ud83d".repeat(3)}x` }] });
    expect((await ended(id)).status).toBe("completed");
  });
});

describe("bodies beyond the limits", () => {
  const size = 40 * 1_048_576;
  const refusedAsTooLarge = async (response: Response) => {
    expect(response.status).toBe(413);
    expect(((await response.json()) as ErrorBody).error).toMatchObject({ type: "invalid_request_error", code: "request_too_large" });
  };

  it("40 MB with a content-length: 413", async () => {
    const body = new Uint8Array(size).fill(32);
    await refusedAsTooLarge(await send("/v1/jobs", { method: "POST", headers, body }));
  });

  it("without a content-length: 413, and one without end is not read for ever", async () => {
    const piece = new Uint8Array(1_048_576).fill(32);
    let sent = 0;
    const body = new ReadableStream<Uint8Array>({
      pull(controller) {
        if (sent++ < 400) controller.enqueue(piece);
        else controller.close();
      },
    });
    await refusedAsTooLarge(await send("/v1/jobs", { method: "POST", headers, body }));
    expect(sent).toBeLessThan(140);
  });

  it("one request larger than a message between objects: 413", async () => {
    const content = "x".repeat(13_000_000);
    const { status, body } = await call<ErrorBody>("POST", "/v1/jobs", job({}, { messages: [{ role: "user", content }] }));
    expect([status, body.error.code, body.error.param]).toEqual([413, "request_too_large", "request"]);
  });

  it("a line of JSONL beyond the limit fails alone", async () => {
    const good = JSON.stringify(job());
    const long = `"${"x".repeat(16 * 1_048_576)}"`;
    const response = await send("/v1/jobs", {
      method: "POST",
      headers: { ...headers, "content-type": "application/jsonl" },
      body: [good, long, good].join("\n"),
    });
    const lines = (await response.text())
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as { object?: string; error?: { code: string }; line?: number });
    expect(lines.map(({ object, error, line }) => object ?? [error?.code, line])).toEqual(["job", ["request_too_large", 2], "job"]);
  });

  it("a small job after them is taken as ever", async () => {
    world.upstream = () => completion("still here");
    const { id } = await submit();
    expect(answerOf(await ended(id))).toBe("still here");
  });
});
