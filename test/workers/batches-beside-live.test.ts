/** A batch runs on the budget that live calls leave. */
import { reset, runDurableObjectAlarm } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { afterEach, beforeEach, expect, it } from "vitest";
import { client, requests, upload, WINDOW } from "../support/batch.ts";
import { advanceTo, call, submit, until } from "../support/service.ts";
import { resetWorld, world } from "../support/world.ts";

beforeEach(resetWorld);
afterEach(reset);

it("live calls of another tenant start before the lines of a batch that was there before them", async () => {
  world.env.SLUICE_POOLS = JSON.stringify({ "gpt-5-mini": { models: ["gpt-5-mini"], rpm: 60, tpm: 500_000, burst_seconds: 1 } });
  await call("POST", "/v1/queue/pause", {}, { key: "sk-dev-operator" });
  const batch = await client().batches.create({ input_file_id: await upload(requests(30)), ...WINDOW });
  const { BATCH } = env as unknown as { BATCH: DurableObjectNamespace };
  await runDurableObjectAlarm(BATCH.getByName(`alice/~batch-${batch.id.slice("batch_".length + 7)}`));
  await until(async () => (await call<{ data: unknown[] }>("GET", `/v1/jobs?batch=${batch.id}&limit=100`)).body.data.length === 30);
  for (let n = 0; n < 30; n++) await submit({}, { messages: [{ role: "user", content: "live" }] }, "sk-dev-bob");
  await call("POST", "/v1/queue/resume", {}, { key: "sk-dev-operator" });
  for (let n = 1; n <= 25; n++) {
    await advanceTo(world.now + 1_000);
    await until(() => world.calls.length >= n);
  }
  const live = world.calls.slice(0, 20).filter((body) => JSON.stringify(body).includes('"live"')).length;
  expect(live).toBe(20);
});
