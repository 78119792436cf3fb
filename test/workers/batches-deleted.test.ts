/** A batch whose file is deleted while it is being read: between two parts, so that what was read ends in the middle of a line. */
import { reset, runDurableObjectAlarm } from "cloudflare:test";
import { env } from "cloudflare:workers";
import type { Batch } from "openai/resources/batches";
import { afterEach, beforeEach, expect, it } from "vitest";
import { client, requests, upload, WINDOW } from "../support/batch.ts";
import { advanceTo, crash, inside, until } from "../support/service.ts";
import { resetWorld, world } from "../support/world.ts";

beforeEach(resetWorld);
afterEach(reset);

const { ARCHIVE, BATCH } = env as unknown as { ARCHIVE: DurableObjectNamespace; BATCH: DurableObjectNamespace };
const ring = (id: string) => runDurableObjectAlarm(BATCH.getByName(`alice/~batch-${id.slice("batch_".length + 7)}`));

/** Deletes the parts of a file from `bytes` on, as if the file went while a reader had read at least that far. */
const deleteBehind = (file: string, bytes: number) =>
  inside(ARCHIVE.getByName(`alice/${file.slice("file-".length + 7, -1)}`), (_, { storage }) => {
    expect(storage.sql.exec("DELETE FROM parts WHERE offset >= ?", bytes).rowsWritten).toBeGreaterThan(0);
  });

/** Lines of more than two thousand characters: a part of a file holds fewer than five hundred of them. */
const long = (count: number) => requests(count, { user: "u".repeat(2_000) });

const reaches = (id: string, status: Batch["status"]) =>
  until(async () => {
    await ring(id);
    await advanceTo(world.now + 60_000);
    const batch = await client().batches.retrieve(id);
    return batch.status === status && batch;
  });

it("while it is checked -> failed for that, nothing was called, and no line is called wrong", async () => {
  const file = await upload(long(900));
  const { id } = await client().batches.create({ input_file_id: file, ...WINDOW });
  await deleteBehind(file, 1_000_000);
  const { errors, request_counts } = await reaches(id, "failed");
  expect(errors?.data).toMatchObject([{ code: "input_file_deleted", param: "input_file_id" }]);
  expect(request_counts).toEqual({ total: 0, completed: 0, failed: 0 });
  expect(world.calls).toEqual([]);
});

it("before it is checked -> failed for that: it is not empty", async () => {
  const file = await upload(long(3));
  const { id } = await client().batches.create({ input_file_id: file, ...WINDOW });
  await client().files.delete(file);
  expect((await reaches(id, "failed")).errors?.data).toMatchObject([{ code: "input_file_deleted" }]);
});

it("while its lines become jobs -> the line that was cut is none of its results", async () => {
  world.env = { SLUICE_POOLS: JSON.stringify({ default: { rpm: 6_000, tpm: 1e12, burst_seconds: 1 } }) };
  const file = await upload(long(1_600));
  const { id } = await client().batches.create({ input_file_id: file, ...WINDOW });
  await until(async () => (await ring(id)) && world.calls.length > 0);
  await deleteBehind(file, 3_000_000);
  await crash();
  const { error_file_id, errors, request_counts } = await reaches(id, "failed");
  expect(error_file_id).toBeNull();
  const { completed, failed, total } = request_counts!;
  expect([completed, failed]).toEqual([total, 0]);
  expect(errors?.data).toMatchObject([{ message: expect.stringContaining(`${1_600 - total} of its requests`) }]);
}, 60_000);
