/** A batch whose tenant has room for a few lines at a time: numbers of refused jobs are not reused, so the numbers of a group lie far apart. */
import { reset, runDurableObjectAlarm } from "cloudflare:test";
import { env } from "cloudflare:workers";
import type { Batch } from "openai/resources/batches";
import { afterEach, beforeEach, expect, it } from "vitest";
import { client, requests, upload, WINDOW } from "../support/batch.ts";
import { advanceTo, call, hashOf, until } from "../support/service.ts";
import { resetWorld, world } from "../support/world.ts";

beforeEach(resetWorld);
afterEach(reset);

const DAY_MS = 86_400_000;
const LINES = 170;
const IDS = requests(LINES).map((each) => each.custom_id);

const { BATCH } = env as unknown as { BATCH: DurableObjectNamespace };
const ring = (id: string) => runDurableObjectAlarm(BATCH.getByName(`alice/~batch-${id.slice("batch_".length + 7)}`));
const operate = (lever: "pause" | "resume") => call("POST", `/v1/queue/${lever}`, {}, { key: "sk-dev-operator" });
const retrieve = (id: string) => client().batches.retrieve(id);

const reaches = (id: string, reached: (batch: Batch) => boolean, stepMs = 5_000) =>
  until(async () => {
    await ring(id);
    await advanceTo(world.now + stepMs);
    const batch = await retrieve(id);
    return reached(batch) && batch;
  }, 1_500);

/** Starts a batch with room for two lines at a time. */
async function narrow(): Promise<Batch> {
  world.env.SLUICE_KEYS = JSON.stringify([
    { key_sha256: await hashOf("sk-dev-alice"), tenant: "alice", max_queued: 4 },
    { key_sha256: await hashOf("sk-dev-operator"), tenant: "operator", roles: ["operate"] },
  ]);
  world.env.SLUICE_POOLS = JSON.stringify({ default: { rpm: 60_000, tpm: 1e12 } });
  return client().batches.create({ input_file_id: await upload(requests(LINES)), ...WINDOW });
}

async function idsIn(...files: (string | null | undefined)[]): Promise<string[]> {
  const texts = await Promise.all(files.map(async (file) => (file ? (await client().files.content(file)).text() : "")));
  const lines = texts.flatMap((text) => text.split("\n").filter((line) => line !== ""));
  return lines.map((line) => (JSON.parse(line) as { custom_id: string }).custom_id);
}

it("until all of it is done -> each line was called once, and has one result", async () => {
  const { id } = await narrow();
  const { output_file_id, request_counts } = await reaches(id, ({ status }) => status === "completed" || world.calls.length > LINES);
  expect(world.calls).toHaveLength(LINES);
  expect(request_counts).toEqual({ total: LINES, completed: LINES, failed: 0 });
  expect((await idsIn(output_file_id)).sort()).toEqual([...IDS].sort());
}, 120_000);

it("and its time runs out -> what was done is in the output alone", async () => {
  const { id } = await narrow();
  await reaches(id, ({ request_counts }) => request_counts!.completed >= 20);
  await operate("pause");
  await advanceTo(world.now + DAY_MS);
  const { error_file_id, output_file_id, request_counts } = await reaches(id, ({ status }) => status === "expired");
  expect((await idsIn(output_file_id, error_file_id)).sort()).toEqual([...IDS].sort());
  expect(request_counts!.completed + request_counts!.failed).toBe(LINES);
}, 120_000);
