import { reset } from "cloudflare:test";
import { afterEach, beforeEach, expect, it } from "vitest";
import { type JobInput, Sluice } from "../../client/index.ts";
import { send } from "../support/service.ts";
import { resetWorld } from "../support/world.ts";

beforeEach(resetWorld);
afterEach(reset);

const input: JobInput = { channel: "c", request: { model: "gpt-5-mini", messages: [{ role: "user", content: "Hello." }] } };

/** A Worker that calls Sluice through a service binding. */
function client(token = "sk-dev-alice"): Sluice {
  return new Sluice({ url: "http://sluice", token, fetch: (url, init) => send(url.replace("http://sluice", ""), init) });
}

it("the client inside a Worker -> submits one and many, reads, lists and cancels", async () => {
  const sluice = client();
  const one = await sluice.submit(input);
  const found: string[] = [];
  for await (const answer of sluice.submitMany([input, { ...input, priority: 1e9 }, input])) {
    found.push(answer.ok ? answer.job.id : answer.error.name);
  }
  expect(found).toEqual([expect.stringMatching(/^job_/), "BadRequestError", expect.stringMatching(/^job_/)]);
  expect(await sluice.get(one.id)).toMatchObject({ id: one.id, channel: "c" });
  expect((await sluice.list({ channel: "c", limit: 2 })).data.map(({ id }) => id)).toEqual([found[2], found[0]]);
  const late = await sluice.submit({ ...input, not_before: 30_000_000_000 });
  expect((await sluice.cancel(late.id)).status).toBe("cancelled");
  expect(await sluice.wait(late.id)).toMatchObject({ status: "cancelled" });
  await expect(client("sk-wrong").get(one.id)).rejects.toMatchObject({ name: "AuthenticationError", requestId: expect.any(String) });
});
