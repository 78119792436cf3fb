/** A batch for which its tenant has room only in part: a line that became a job is not refused, whatever comes next. */
import { reset, runDurableObjectAlarm } from "cloudflare:test";
import { env } from "cloudflare:workers";
import type { Batch } from "openai/resources/batches";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { client, request, requests, upload, WINDOW } from "../support/batch.ts";
import { advanceTo, call, crash, hashOf, until } from "../support/service.ts";
import { gated, resetWorld, world } from "../support/world.ts";

beforeEach(resetWorld);
afterEach(reset);

const DAY_MS = 86_400_000;

function ring(id: string): Promise<boolean> {
  const { BATCH } = env as unknown as { BATCH: DurableObjectNamespace };
  return runDurableObjectAlarm(BATCH.getByName(`alice/~batch-${id.slice("batch_".length + 7)}`));
}

const reaches = (id: string, status: Batch["status"]) =>
  until(async () => {
    await ring(id);
    await advanceTo(world.now + 5_000);
    const batch = await client().batches.retrieve(id);
    return batch.status === status && batch;
  });

const live = () => call("POST", "/v1/jobs", { request: { model: "gpt-5-mini", messages: [{ role: "user", content: "now" }] } });

const operate = (lever: "pause" | "resume") => call("POST", `/v1/queue/${lever}`, {}, { key: "sk-dev-operator" });

/** Starts a batch: two lines become jobs and wait; the others find the queue full, because only half of it is for batches. */
async function startedInPart(count: number, lines: unknown[] = requests(count)): Promise<Batch> {
  world.env.SLUICE_KEYS = JSON.stringify([
    { key_sha256: await hashOf("sk-dev-alice"), tenant: "alice", max_queued: 4 },
    { key_sha256: await hashOf("sk-dev-operator"), tenant: "operator", roles: ["operate"] },
  ]);
  await operate("pause");
  const batch = await client().batches.create({ input_file_id: await upload(lines), ...WINDOW });
  await ring(batch.id);
  await until(async () => (await call<{ data: unknown[] }>("GET", `/v1/jobs?batch=${batch.id}`)).body.data.length === 2);
  return batch;
}

async function idsIn(file: string | null | undefined): Promise<string[]> {
  if (!file) return [];
  const text = await (await client().files.content(file)).text();
  return text
    .trim()
    .split("\n")
    .map((line) => (JSON.parse(line) as { custom_id: string }).custom_id);
}

it("its time runs out -> each line has one result", async () => {
  const { id } = await startedInPart(3);
  await advanceTo(world.now + DAY_MS + 1);
  const { error_file_id, request_counts } = await reaches(id, "expired");
  expect(request_counts).toEqual({ total: 3, completed: 0, failed: 3 });
  expect((await idsIn(error_file_id)).sort()).toEqual(["r0", "r1", "r2"]);
});

it("its time runs out when those were done -> they are in the output alone", async () => {
  const { id } = await startedInPart(4);
  const gate = gated();
  await operate("resume");
  await until(() => world.calls.length === 2);
  // Pauses again: when those two end there is room for the others, which might be called at once.
  await operate("pause");
  gate.open = true;
  await until(async () => (await client().batches.retrieve(id)).request_counts!.completed === 2);
  await advanceTo(world.now + DAY_MS + 1);
  const { error_file_id, output_file_id, request_counts } = await reaches(id, "expired");
  expect(request_counts).toEqual({ total: 4, completed: 2, failed: 2 });
  expect([await idsIn(output_file_id), await idsIn(error_file_id)]).toEqual([
    ["r0", "r1"],
    ["r2", "r3"],
  ]);
});

it("its file is deleted -> what was made is counted", async () => {
  const { id, input_file_id } = await startedInPart(3);
  await client().files.delete(input_file_id);
  await operate("resume");
  const { errors, request_counts } = await reaches(id, "failed");
  expect(request_counts).toEqual({ total: 2, completed: 2, failed: 0 });
  expect(errors?.data?.[0]?.message).toContain("1 of its requests");
});

it("what its tenant asks for itself finds room", async () => {
  await startedInPart(9);
  expect([(await live()).status, (await live()).status, (await live()).status]).toEqual([202, 202, 429]);
});

describe("while it waits for room the pool of a line is gone", () => {
  const pools = (models: string[]) =>
    JSON.stringify({ a: { models, rpm: 500, tpm: 500_000 }, b: { models: ["gpt-5-mini"], rpm: 500, tpm: 500_000 } });

  /** The line's pool is there at the first try, and gone at the next. */
  async function withoutPool(line: number): Promise<Batch> {
    const lines = requests(4).map((each, index) => (index === line ? request(`r${index}`, { model: "gpt-5" }) : each));
    world.env.SLUICE_POOLS = pools(["gpt-5"]);
    const batch = await startedInPart(4, lines);
    world.env.SLUICE_POOLS = pools(["other"]);
    await crash();
    await advanceTo(world.now + 6_000);
    await ring(batch.id);
    return batch;
  }

  it.each([
    ["a job already", 0],
    ["none yet", 3],
  ])("and back when there is room; the line is %s -> it has one result", async (_, line) => {
    const { id } = await withoutPool(line);
    world.env.SLUICE_POOLS = pools(["gpt-5"]);
    await crash();
    await operate("resume");
    const { output_file_id, request_counts } = await reaches(id, "completed");
    expect(request_counts).toEqual({ total: 4, completed: 4, failed: 0 });
    expect((await idsIn(output_file_id)).sort()).toEqual(["r0", "r1", "r2", "r3"]);
  });

  it("for good -> its refusal names it by its custom_id", async () => {
    const { id } = await withoutPool(3);
    await operate("resume");
    const { error_file_id, request_counts } = await reaches(id, "completed");
    expect(request_counts).toEqual({ total: 4, completed: 3, failed: 1 });
    expect(await idsIn(error_file_id)).toEqual(["r3"]);
  });
});
