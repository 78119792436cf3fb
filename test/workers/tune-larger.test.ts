/** Jobs that are larger than what is configured, since an operator raised their pool's limits. */
import { reset, runDurableObjectAlarm } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import type { Job } from "../../schemas/job.ts";
import type { ErrorBody } from "../../schemas/problem.ts";
import { client, request, upload, WINDOW } from "../support/batch.ts";
import { Coordinator } from "../support/entry.ts";
import { advanceTo, call, ended, job, submit, until } from "../support/service.ts";
import { completion, resetWorld, world } from "../support/world.ts";

beforeEach(() => {
  resetWorld();
  world.upstream = () => completion("ok");
});
afterEach(async () => {
  vi.restoreAllMocks();
  await reset();
});

const operator = { key: "sk-dev-operator" };
/** Lets time pass until something holds: traffic may grow only so fast. */
const goesBy = <T>(found: () => Promise<T | false>) =>
  until(async () => {
    await advanceTo(world.now + 5_000);
    return found();
  });
const tunePool = (wish: unknown) => call("PATCH", "/v1/pools/gpt-5-mini", wish, operator);
const large = { max_completion_tokens: 900_000 };
const raise = () => tunePool({ tpm: 5_000_000, burst_seconds: 60 });
const post = (body: unknown, headers = {}) => call<{ data: (Job & ErrorBody)[] } & ErrorBody>("POST", "/v1/jobs", body, { headers });

it("-> are taken in and called, however they come; the coordinator is asked once a request, and only about such", async () => {
  await raise();
  const asked = vi.spyOn(Coordinator.prototype, "mostTokens");
  await submit();
  expect(asked).not.toHaveBeenCalled();
  const array = await post({ jobs: [job({}, large), job(), job({}, large)] });
  expect(asked).toHaveBeenCalledTimes(1);
  const lines = [job({}, large), job({}, large)].map((each) => JSON.stringify(each)).join("\n");
  const { body } = await call<string>("POST", "/v1/jobs", lines, { headers: { "content-type": "application/jsonl" } });
  expect(asked).toHaveBeenCalledTimes(2);
  const ids = [
    ...array.body.data,
    ...body
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as Job),
  ].map(({ id }) => id);
  for (const id of ids) await goesBy(async () => (await call("GET", `/v1/jobs/${id}`)).body.status === "completed");
  expect((await call("POST", "/v1/chat/completions", job({}, large).request)).status).toBe(200);
});

it("in a batch -> likewise", async () => {
  await raise();
  const asked = vi.spyOn(Coordinator.prototype, "mostTokens");
  const { id } = await client().batches.create({ input_file_id: await upload([request("a", large), request("b", large)]), ...WINDOW });
  const { BATCH } = env as unknown as { BATCH: DurableObjectNamespace };
  const batch = await goesBy(async () => {
    await runDurableObjectAlarm(BATCH.getByName(`alice/~batch-${id.slice("batch_".length + 7)}`));
    const found = await client().batches.retrieve(id);
    return found.status === "completed" && found;
  });
  expect(batch.request_counts).toMatchObject({ total: 2, completed: 2 });
  // As it is checked, and as it is taken.
  expect(asked).toHaveBeenCalledTimes(2);
});

it("and larger than that as well -> are refused, and the limit that is set is named", async () => {
  await raise();
  const { status, body } = await post(job({}, { max_completion_tokens: 6_000_000 }));
  expect(status).toBe(400);
  expect(body.error).toMatchObject({
    code: "reservation_exceeds_budget",
    message: expect.stringContaining("never holds more than 5000000 (TPM)"),
  });
});

it.each([
  ["out of reach", () => Promise.reject(new Error("not now"))],
  ["of an older version", () => Promise.reject(new TypeError('The RPC receiver does not implement the method "mostTokens".'))],
])("and the coordinator is %s -> are refused as by the configuration, after one question", async (_, answer) => {
  await raise();
  vi.spyOn(Coordinator.prototype, "mostTokens").mockImplementation(answer);
  const { body } = await post({ jobs: [job({}, large), job()] });
  expect(body.data.map((each) => each.error?.code ?? each.status)).toEqual(["reservation_exceeds_budget", "queued"]);
  expect(body.data[0]!.error.message).toContain("never holds more than 500000 (TPM)");
});

it("and the operator takes it back before they start -> they fail, and say why", async () => {
  await raise();
  await call("POST", "/v1/queue/pause", undefined, operator);
  const { id } = await submit({}, large);
  await tunePool({ reset: true });
  await call("POST", "/v1/queue/resume", undefined, operator);
  expect(await ended(id)).toMatchObject({ status: "failed", attempts: 0, error: { code: "reservation_exceeds_budget" } });
});
