/** Upstream's errors may have any length: validators of compatible servers repeat the whole input. That must not keep its job, or others, from ending. */
import { reset } from "cloudflare:test";
import { afterEach, beforeEach, expect, it } from "vitest";
import { call, ended, pool, submit, until } from "../support/service.ts";
import { chunk, refusal, resetWorld, stream, world } from "../support/world.ts";

beforeEach(resetWorld);
afterEach(reset);

const LONG = "e".repeat(9_000_000);
const long = (status: number, more: object = {}) =>
  Response.json({ error: { message: LONG, type: "invalid_request_error", code: "long", param: null, ...more } }, { status });

it("a job that is refused at great length fails, with the beginning of what was said, and is in flight no more", async () => {
  world.upstream = () => long(400);
  const { error, status } = await ended((await submit()).id);
  expect(status).toBe("failed");
  expect(error).toMatchObject({ code: "long", message: expect.stringMatching(/^e{4000}… \(9000000 characters\)$/) });
  await until(async () => (await pool()).in_flight === 0);
});

it("a long code is none, and one that is a number is a text", async () => {
  world.upstream = ({ body }) => long(400, JSON.stringify(body.messages).includes("number") ? { code: 17 } : { code: LONG, param: LONG });
  expect((await ended((await submit()).id)).error).toMatchObject({ code: null, param: null });
  const numbered = await submit({}, { messages: [{ role: "user", content: "number" }] });
  expect((await ended(numbered.id)).error).toMatchObject({ code: "17" });
});

it("a stream that ends with a long error is told as any", async () => {
  const delta = { index: 0, delta: { role: "assistant", content: "a" }, logprobs: null, finish_reason: null };
  world.upstream = () => stream([chunk([delta]), { error: { message: LONG, type: "server_error", code: LONG, param: null } }]);
  const { error, status } = await ended((await submit({ retry: "never" })).id);
  expect(status).toBe("failed");
  expect(error!.message.length).toBeLessThan(5_000);
});

it.each([400, 500])("one job fails at great length (%i): another's refusal is heard all the same", async (status) => {
  world.upstream = ({ body }) => (JSON.stringify(body.messages).includes("poison") ? long(status) : refusal(404, "model_not_found"));
  await submit({}, { messages: [{ role: "user", content: "poison" }] });
  await until(() => world.calls.length === 1);
  const other = await submit({}, {}, "sk-dev-bob");
  await until(async () => (await call("GET", `/v1/jobs/${other.id}`, undefined, { key: "sk-dev-bob" })).body.status === "failed", 1_000);
});
