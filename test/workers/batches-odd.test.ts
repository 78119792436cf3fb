/** Files that no program writes on purpose: their batches still end, and hold nobody up. */
import { reset, runDurableObjectAlarm } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { afterEach, beforeEach, expect, it } from "vitest";
import { client, request, requests, upload, WINDOW } from "../support/batch.ts";
import { advanceTo, until } from "../support/service.ts";
import { resetWorld, world } from "../support/world.ts";

beforeEach(resetWorld);
afterEach(reset);

const { BATCH } = env as unknown as { BATCH: DurableObjectNamespace };
const ring = (id: string) => runDurableObjectAlarm(BATCH.getByName(`alice/~batch-${id.slice("batch_".length + 7)}`));

it.each([300_000])(
  "a line of %i messages that are none -> failed, with its number",
  async (count) => {
    const file = await upload([
      request("r0"),
      `{"custom_id":"r1","method":"POST","url":"/v1/chat/completions","body":{"model":"gpt-5-mini","messages":[${"1,".repeat(count - 1)}1]}}`,
    ]);
    const { id } = await client().batches.create({ input_file_id: file, ...WINDOW });
    const { errors } = await until(async () => {
      await ring(id);
      await advanceTo(world.now + 5_000);
      const batch = await client().batches.retrieve(id);
      return batch.status === "failed" && batch;
    }, 8);
    expect(errors?.data).toMatchObject([{ line: 2 }]);
  },
  120_000,
);

it("a batch that broke off before it began stands between others -> a list that is paged through has them all", async () => {
  const file = await upload(requests(1));
  const create = () => client().batches.create({ input_file_id: file, ...WINDOW }, { maxRetries: 0 });
  const first = await create();
  world.between.set("batch.begin", () => {
    throw new Error("broken off");
  });
  await expect(create()).rejects.toThrow();
  world.between.clear();
  const last = await create();
  const listed: string[] = [];
  for await (const { id } of client().batches.list({ limit: 1 })) listed.push(id);
  expect(listed).toEqual([last.id, first.id]);
});

it("a line that begins with more blanks than a line may have -> failed, with its number: it is no blank one", async () => {
  const file = await upload([request("r0"), `${" ".repeat(20_000_000)}${JSON.stringify(request("r1"))}`]);
  const { id } = await client().batches.create({ input_file_id: file, ...WINDOW });
  const { errors } = await until(async () => {
    await ring(id);
    await advanceTo(world.now + 5_000);
    const batch = await client().batches.retrieve(id);
    return ["failed", "completed"].includes(batch.status) && batch;
  }, 50);
  expect(errors?.data).toMatchObject([{ line: 2, code: "line_too_long" }]);
}, 60_000);
