import { reset, runDurableObjectAlarm } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { BadRequestError, NotFoundError } from "openai";
import type { Batch } from "openai/resources/batches";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { MailboxStore } from "../../durable-objects/mailbox/store/store.ts";
import { readSettings } from "../../platform/settings.ts";
import type { BatchRpc } from "../../schemas/rpc-batch.ts";
import { client, request, requests, upload, WINDOW } from "../support/batch.ts";
import { HOOK, receive, verified } from "../support/receiver.ts";
import { sdk } from "../support/sdk.ts";
import { advanceTo, call, crash, hashOf, inside, until } from "../support/service.ts";
import { chunk, completion, EPOCH, refusal, resetWorld, silence, stream, world } from "../support/world.ts";

beforeEach(resetWorld);
afterEach(reset);

const DAY_MS = 86_400_000;

async function start(lines: unknown[], more: object = {}): Promise<Batch> {
  return client().batches.create({ input_file_id: await upload(lines), ...WINDOW, ...more });
}

const batchStub = (id: string) => {
  const { BATCH } = env as unknown as { BATCH: DurableObjectNamespace };
  return BATCH.getByName(`alice/~batch-${id.slice("batch_".length + 7)}`);
};
/** Rings the batch's alarm, as the platform would, at the world's time. */
const ring = (id: string) => runDurableObjectAlarm(batchStub(id));

async function reaches(id: string, status: Batch["status"]): Promise<Batch> {
  return until(async () => {
    await ring(id);
    const batch = await client().batches.retrieve(id);
    return batch.status === status && batch;
  });
}

/** Moves the clock by `stepMs` at a time until the batch reaches `end`. */
const runsOut = (id: string, stepMs: number, end = "completed") =>
  until(async () => {
    await ring(id);
    await advanceTo(world.now + stepMs);
    const batch = await client().batches.retrieve(id);
    return batch.status === end && batch;
  });

type Result = { id: string; custom_id: string; response: { status_code: number; body: unknown } | null; error: { code: string } | null };

async function results(id: string | null | undefined): Promise<Result[]> {
  const text = await (await client().files.content(id!)).text();
  expect(text.length).toBe((await client().files.retrieve(id!)).bytes);
  return text
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as Result);
}

it("finalizing -> completed: how long its results are is known without reading one of them", async () => {
  // The first is stored in its row, the second in parts.
  const answers = { r0: "漢é😀", r1: "漢é😀".repeat(50_000) };
  world.upstream = ({ body }) => {
    const name = (body.messages as { content: "r0" | "r1" }[])[0]!.content;
    const choice = { index: 0, delta: { content: answers[name] }, logprobs: null, finish_reason: "stop" };
    return stream([{ ...chunk([choice]), usage: { prompt_tokens: 1, completion_tokens: 1, total_tokens: 2 } }, "[DONE]"]);
  };
  const read = vi.spyOn(MailboxStore.prototype, "text");
  const { output_file_id } = await reaches((await start(requests(2))).id, "completed");
  expect(read.mock.calls.filter(([, kind]) => kind === "response")).toEqual([]);
  read.mockRestore();
  const { bytes } = await client().files.retrieve(output_file_id!);
  expect((await (await client().files.content(output_file_id!)).arrayBuffer()).byteLength).toBe(bytes);
});

describe("a batch that is created again", () => {
  const create = (file: string, headers: Record<string, string> = {}, more: object = {}) =>
    client().batches.create({ input_file_id: file, ...WINDOW, ...more }, { headers });
  const count = async () => (await client().batches.list()).data.length;

  it("by a retry that its SDK marks as one -> the same batch; without the mark it is another", async () => {
    const file = await upload(requests(2));
    const { id } = await create(file);
    expect((await create(file, { "x-stainless-retry-count": "1" })).id).toBe(id);
    expect(await count()).toBe(1);
    const other = await create(file);
    expect(other.id).not.toBe(id);
    expect((await create(file, { "x-stainless-retry-count": "1" })).id).toBe(other.id);
    expect((await create(file, { "x-stainless-retry-count": "1" }, { metadata: { night: "2" } })).id).not.toBe(other.id);
  });

  it("by the same Idempotency-Key -> the same batch, a retry or not; for another file the key is refused", async () => {
    const file = await upload(requests(2));
    const { id } = await create(file, { "idempotency-key": "k" });
    expect((await create(file, { "idempotency-key": "k" })).id).toBe(id);
    await reaches(id, "completed");
    expect(world.calls).toHaveLength(2);
    const conflict = create(await upload(requests(2)), { "idempotency-key": "k" });
    await expect(conflict).rejects.toMatchObject({ status: 409, code: "idempotency_key_conflict" });
    expect(await count()).toBe(1);
  });

  it("though its file was deleted since -> the same batch; what names that file anew is refused", async () => {
    const file = await upload(requests(2));
    const { id } = await create(file, { "idempotency-key": "k" });
    await reaches(id, "completed");
    await client().files.delete(file);
    expect(await create(file, { "idempotency-key": "k" })).toMatchObject({ id, status: "completed" });
    const gone = { status: 400, param: "input_file_id" };
    await expect(create(file, { "idempotency-key": "another" })).rejects.toMatchObject(gone);
    await expect(create(file, { "idempotency-key": "k" }, { metadata: { night: "2" } })).rejects.toMatchObject(gone);
    await expect(create(file)).rejects.toMatchObject(gone);
    expect(await count()).toBe(1);
  });

  it("what created it broke off before it began -> the retry begins it", async () => {
    const file = await upload(requests(2));
    world.between.set("batch.begin", () => {
      throw new Error("broken off");
    });
    await expect(create(file)).rejects.toThrow();
    world.between.clear();
    const { id } = await create(file, { "x-stainless-retry-count": "1" });
    await reaches(id, "completed");
    expect([await count(), world.calls.length]).toEqual([1, 2]);
  });
});

describe("a batch", () => {
  it("validating, in_progress, completed: each request answered, in the order of its lines", async () => {
    world.upstream = ({ body }) => completion(`re ${(body.messages as { content: string }[])[0]!.content}`);
    const begun = await start(requests(30), { metadata: { night: "1" } });
    expect(begun).toMatchObject({ object: "batch", status: "validating", completion_window: "24h", metadata: { night: "1" } });
    const done = await reaches(begun.id, "completed");
    expect(done.request_counts).toEqual({ total: 30, completed: 30, failed: 0 });
    expect(done.error_file_id).toBeNull();
    expect(done.completed_at).toBeGreaterThanOrEqual(done.in_progress_at!);
    const lines = await results(done.output_file_id);
    expect(lines.map((line) => line.custom_id)).toEqual(requests(30).map((each) => each.custom_id));
    expect(lines[7]).toMatchObject({ error: null, response: { status_code: 200, body: { choices: [{ message: { content: "re r7" } }] } } });
    expect((await client().batches.list()).data.map((batch) => batch.id)).toEqual([begun.id]);
  });

  it("its jobs are ordinary ones: of the lowest priority, with its window as their deadline", async () => {
    world.upstream = silence();
    const { id } = await start(requests(1));
    await until(async () => (await ring(id)) && world.calls.length === 1);
    const listed = await call<{ data: { id: string }[] }>("GET", `/v1/jobs?batch=${id}`);
    const job = await inside(batchStub(id), async (object) => {
      const [first] = (await (object as unknown as BatchRpc).list({ status: null, before: null, limit: 1, room: 1 })).jobs;
      return first!.id;
    });
    expect(listed.body.data.map((each) => each.id)).toEqual([job]);
    expect((await call<{ data: unknown[] }>("GET", "/v1/jobs")).body.data).toEqual([]);
    const { body } = await call("GET", `/v1/jobs/${job}`);
    expect(body).toMatchObject({ status: "in_progress", priority: -86_400, deadline: (EPOCH + DAY_MS) / 1_000, channel: null });
  });

  it("blank lines, a missing last line break, CRLF: no difference", async () => {
    const [a, b] = requests(2).map((each) => JSON.stringify(each));
    const { id } = await start([`\n${a}\r`, "", "   ", b]);
    expect((await reaches(id, "completed")).request_counts!.total).toBe(2);
  });

  it("what upstream refuses is in the error file, with upstream's status and words", async () => {
    world.upstream = ({ body }) => ((body.messages as { content: string }[])[0]!.content === "r1" ? refusal(400, "bad") : completion("ok"));
    const { id } = await start(requests(3));
    const done = await reaches(id, "completed");
    expect(done.request_counts).toEqual({ total: 3, completed: 2, failed: 1 });
    expect((await results(done.output_file_id)).map((line) => line.custom_id)).toEqual(["r0", "r2"]);
    expect(await results(done.error_file_id)).toMatchObject([
      { custom_id: "r1", error: null, response: { status_code: 400, body: { error: { code: "bad", message: "refused: bad" } } } },
    ]);
  });

  it("a line that failed is not redriven: what the batch has counted and written stays true", async () => {
    world.upstream = ({ body }) => (JSON.stringify(body).includes("r0") ? refusal(400, "broken") : completion("ok"));
    const { id } = await start(requests(2));
    const before = await reaches(id, "completed");
    const operator = { key: "sk-dev-operator" };
    const [letter] = (await call<{ data: { job: string }[] }>("GET", "/v1/dead-letters", undefined, operator)).body.data;
    const { body } = await call<{ data: unknown[] }>("POST", "/v1/dead-letters/redrive", { jobs: [letter!.job] }, operator);
    expect(body.data).toMatchObject([{ error: { code: "batch_line" } }]);
    await ring(id);
    expect(await client().batches.retrieve(id)).toEqual(before);
  });

  it("more lines than may be open at once -> they become jobs as others end", async () => {
    world.env = { SLUICE_POOLS: JSON.stringify({ default: { rpm: 1e9, tpm: 1e12 } }) };
    const { id } = await start(requests(1_300));
    const done = await reaches(id, "completed");
    expect(done.request_counts).toEqual({ total: 1_300, completed: 1_300, failed: 0 });
    expect(world.calls.length).toBe(1_300);
  }, 60_000);

  it.each([
    ["no JSON", [...requests(1), "{"], { code: "invalid_json_line", line: 2 }],
    ["the same custom_id twice", [request("a"), "", request("a")], { code: "duplicate_custom_id", line: 3 }],
    ["another method", [{ ...request("a"), method: "GET" }], { code: "invalid_method", line: 1 }],
    ["another url", [{ ...request("a"), url: "/v1/embeddings" }], { code: "invalid_url", line: 1 }],
    ["no custom_id", [{ ...request("a"), custom_id: undefined }], { code: "missing_required_parameter", line: 1, param: "custom_id" }],
    ["a custom_id that is no text", [request("\ud800")], { code: "missing_required_parameter", line: 1, param: "custom_id" }],
    ["no messages", [request("a", { messages: [] })], { code: "invalid_request", line: 1, param: "body.messages" }],
    [
      "more levels than can be written again",
      [request("a", { x: JSON.parse(`${"[".repeat(500)}${"]".repeat(500)}`) })],
      { code: "invalid_request", line: 1, param: "body" },
    ],
    ["more tokens than the pool holds", [request("a", { max_completion_tokens: 1e9 })], { code: "reservation_exceeds_budget", line: 1 }],
    ["nothing but blank lines", ["", " "], { code: "empty_file", line: null }],
  ])("%s -> failed before anything is called, with the line", async (_, lines, error) => {
    const { id } = await start(lines);
    const failed = await reaches(id, "failed");
    expect(failed.errors?.data).toMatchObject([error]);
    expect(failed.failed_at).toBe(EPOCH / 1_000);
    expect(world.calls).toHaveLength(0);
  });

  it("a key that may not use the model -> failed", async () => {
    world.env = { SLUICE_KEYS: JSON.stringify([{ key_sha256: await hashOf("k"), tenant: "alice", models: ["gpt-5-nano*"] }]) };
    const narrow = sdk({ apiKey: "k" }).client;
    const { id } = await narrow.batches.create({ input_file_id: await upload(requests(1)), ...WINDOW });
    expect((await reaches(id, "failed")).errors?.data).toMatchObject([{ code: "model_not_allowed", line: 1, param: "body.model" }]);
  });

  it("cancelled -> what runs is broken off, what ended is kept", async () => {
    const quiet = silence();
    world.upstream = ({ body }) => ((body.messages as { content: string }[])[0]!.content === "r0" ? completion("ok") : quiet());
    const { id } = await start(requests(4));
    await until(async () => {
      await ring(id);
      return (await client().batches.retrieve(id)).request_counts!.completed === 1;
    });
    await client().batches.cancel(id);
    const done = await reaches(id, "cancelled");
    expect(done.request_counts).toEqual({ total: 4, completed: 1, failed: 3 });
    expect(await results(done.output_file_id)).toHaveLength(1);
    expect((await results(done.error_file_id)).map(({ error }) => error?.code)).toEqual(Array(3).fill("batch_cancelled"));
  });

  it("its window ends -> expired: what is done is kept, the rest is told as batch_expired", async () => {
    world.env = { SLUICE_POOLS: JSON.stringify({ default: { rpm: 1 / 1_440, tpm: 1e9, burst_seconds: 86_400 } }) };
    const { id } = await start(requests(1_200));
    await until(async () => {
      await ring(id);
      return (await client().batches.retrieve(id)).request_counts!.completed === 1;
    });
    await advanceTo(EPOCH + DAY_MS);
    const done = await reaches(id, "expired");
    expect(done.request_counts!.completed + done.request_counts!.failed).toBe(1_200);
    const errors = await results(done.error_file_id);
    expect(errors.at(-1)).toMatchObject({ custom_id: "r1199", response: null, error: { code: "batch_expired" } });
    expect(new Set(errors.map(({ error }) => error?.code))).toEqual(new Set(["batch_expired"]));
  }, 60_000);

  it("no line ever became a job, and its window ends -> the error file tells of each", async () => {
    await call("POST", "/v1/queue/drain", {}, { key: "sk-dev-operator" });
    const { id } = await start(requests(3));
    await reaches(id, "in_progress");
    await advanceTo(EPOCH + DAY_MS);
    const done = await reaches(id, "expired");
    expect((await results(done.error_file_id)).map(({ error }) => error?.code)).toEqual(Array(3).fill("batch_expired"));
  });

  it("its files are there whole until they go", async () => {
    const { id } = await start(requests(2));
    const { output_file_id } = await reaches(id, "completed");
    const kept = 7 * DAY_MS + readSettings({ SLUICE_LOCAL: "1" }).retentionMs;
    world.now = EPOCH + kept - 1;
    expect(await results(output_file_id)).toHaveLength(2);
    world.now = EPOCH + kept;
    await expect(client().files.retrieve(output_file_id!)).rejects.toThrow(NotFoundError);
  });

  it.each([1, 2, 3])(
    "everything dies %i times on the way -> each request is one job, none is missing",
    async (times) => {
      const { id } = await start(requests(600));
      for (let count = 0; count < times; count++) {
        await ring(id);
        await until(() => world.calls.length >= 20 * (count + 1));
        await crash();
        await advanceTo(world.now + 60_000);
      }
      const done = await runsOut(id, 60_000);
      expect(done.request_counts).toEqual({ total: 600, completed: 600, failed: 0 });
      expect((await results(done.output_file_id)).map((line) => line.custom_id)).toEqual(requests(600).map((each) => each.custom_id));
    },
    60_000,
  );

  it("its file is deleted meanwhile -> failed, with what it has, and what is missing is said", async () => {
    world.env = { SLUICE_POOLS: JSON.stringify({ default: { rpm: 60_000, tpm: 1e12, burst_seconds: 1 } }) };
    const { id, input_file_id } = await start(requests(1_600));
    await until(async () => (await ring(id)) && world.calls.length > 0);
    await client().files.delete(input_file_id);
    const done = await runsOut(id, 60_000, "failed");
    const { completed, failed, total } = done.request_counts!;
    expect(total).toBeGreaterThanOrEqual(1_000);
    expect(total).toBeLessThan(1_600);
    expect([done.status, completed, failed]).toEqual(["failed", total, 0]);
    expect(await results(done.output_file_id)).toHaveLength(total);
    expect(done.errors?.data).toMatchObject([
      { code: "input_file_deleted", message: expect.stringContaining(`${1_600 - total} of its requests`) },
    ]);
  }, 60_000);

  it("the tenant's queue is full -> it waits, and goes on when there is room", async () => {
    const hash = "2c624232cdd221771294dfbb310aca000a0df6ac8b66b696d90ef06fdefb64a3";
    world.env = {
      SLUICE_KEYS: JSON.stringify([{ key_sha256: hash, tenant: "alice", max_queued: 40 }]),
      SLUICE_POOLS: JSON.stringify({ default: { rpm: 600, tpm: 1e9, burst_seconds: 1 } }),
    };
    const { id } = await start(requests(100));
    const done = await runsOut(id, 5_000);
    expect(done.request_counts).toEqual({ total: 100, completed: 100, failed: 0 });
    expect(world.calls.length).toBe(100);
  }, 60_000);

  it.each([
    ["completed", requests(2), false],
    ["failed", ["{"], false],
    ["cancelled", requests(2), true],
  ] as const)("its webhook is told that it is %s, as OpenAI tells it, and again until it is heard", async (end, lines, quiet) => {
    const received = receive((_, nth) => new Response(null, { status: nth === 1 ? 503 : 204 }));
    if (quiet) world.upstream = silence();
    const { id } = await start([...lines], { webhook: HOOK });
    if (end === "cancelled") await client().batches.cancel(id);
    const done = await reaches(id, end);
    await until(() => received.length === 1);
    world.now += 5_000;
    await until(async () => (await ring(id)) && received.length === 2);
    expect(new Set(received.map(({ headers }) => headers["webhook-id"])).size).toBe(1);
    const event = { id: id.replace("batch_", "evt_"), object: "event", type: `batch.${end}`, created_at: done[`${end}_at`], data: { id } };
    expect(await verified(received[1]!)).toEqual({ openai: event, standard: event });
  });

  it.each([
    [{ endpoint: "/v1/embeddings" }, "endpoint"],
    [{ completion_window: "soon" }, "completion_window"],
    [{ completion_window: "169h" }, "completion_window"],
    [{ completion_window: "8d" }, "completion_window"],
    [{ webhook: "not a url" }, "webhook"],
    [{ input_file_id: "file-unknown" }, "input_file_id"],
  ])("%o -> 400", async (wrong, param) => {
    const input_file_id = await upload(requests(1));
    const error = await client()
      .batches.create({ input_file_id, ...WINDOW, ...wrong } as never)
      .catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(BadRequestError);
    expect((error as { param: string }).param).toBe(param);
  });
});
