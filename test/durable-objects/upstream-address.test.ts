/** Where calls go: to the upstream that the operator named, and nowhere if none is named or nothing is there. */
import { expect, it } from "vitest";
import { classify } from "../../durable-objects/dispatcher/classify.ts";
import { openUpstream } from "../../durable-objects/dispatcher/upstream.ts";
import type { Env } from "../../platform/objects.ts";
import { completion } from "../support/world.ts";

const BODY = { model: "gpt-5-mini", messages: [{ role: "user", content: "hello" }] };

/** What becomes of a call if the simulator, where it is asked, answers so; `simulated` counts how often it was asked. */
async function called(vars: Record<string, string>, answer: () => Response = () => completion("simulated")) {
  let simulated = 0;
  const fetch = async () => {
    simulated++;
    return answer();
  };
  const env = { ...vars, SIMULATOR: { getByName: () => ({ fetch }) } } as unknown as Env;
  const said = await openUpstream(env, Date.now).call(BODY, new AbortController().signal, 1_000, () => {});
  return { simulated, outcome: said.ok ? null : classify(said.failure, false) };
}

it("deployed with neither a key nor an endpoint -> nobody is called and nothing invented: it is as a key that is refused, which keeps jobs", async () => {
  const { outcome, simulated } = await called({});
  expect(simulated).toBe(0);
  expect(outcome).toMatchObject({ kind: "halted", reason: "credentials" });
  expect(JSON.stringify(outcome)).toContain("key_missing");
});

it.each(["sk-line1\nsk-line2", "sk-with space", "sk-ümlaut"])(
  "a key that no header can hold, %j -> likewise, and it is not repeated",
  async (key) => {
    const { outcome } = await called({ OPENAI_API_KEY: key });
    expect(outcome).toMatchObject({ kind: "halted", reason: "credentials", problem: { code: "key_malformed" } });
    expect(JSON.stringify(outcome)).not.toContain(key.slice(3));
  },
);

it.each(["SLUICE_LOCAL", "SLUICE_SIMULATOR"])("%s -> the simulator answers", async (name) => {
  expect(await called({ [name]: "1" })).toEqual({ simulated: 1, outcome: null });
});

const refusal = (error: object) => () =>
  Response.json({ error: { param: null, type: "invalid_request_error", ...error } }, { status: 404 });

it.each([
  ["OpenAI's own words", refusal({ message: "Invalid URL (POST /chat/completions)", code: null })],
  ["a page", () => new Response("<!doctype html><title>Not found</title>", { status: 404, headers: { "content-type": "text/html" } })],
])("404, nothing is at this address (%s) -> no job is at fault: the pool waits for somebody to act", async (_, answer) => {
  expect((await called({ SLUICE_LOCAL: "1" }, answer)).outcome).toMatchObject({ kind: "halted", reason: "credentials" });
});

it.each([
  ["by OpenAI", refusal({ message: "The model `x` does not exist", code: "model_not_found" })],
  ["by a server without codes", refusal({ message: "The model `x` does not exist.", code: null })],
])("404, the model is not known (%s) -> the job fails, and no other", async (_, answer) => {
  expect((await called({ SLUICE_LOCAL: "1" }, answer)).outcome).toMatchObject({ kind: "fatal" });
});

it("an address whose password has a percent sign that encodes nothing -> calls are made as with any other", async () => {
  const vars = { SLUICE_LOCAL: "1", OPENAI_API_KEY: "sk-test", OPENAI_BASE_URL: "http://user:100%sure@127.0.0.1:1/v1" };
  expect((await called(vars)).outcome).toMatchObject({ kind: "retryable" });
});
