/** The largest files that are allowed, beside programs that wait for their answers. */
import { once } from "node:events";
import { Worker } from "node:worker_threads";
import OpenAI, { toFile } from "openai";
import { expect, test } from "vitest";
import { freePort, npmStart } from "./support/npm.ts";
import { stateDirectory } from "./support/service.ts";

const LINES = 40_000;
const content = "x".repeat(4_500);
const line = (n: number) => {
  const body = { model: "gpt-5-mini", max_completion_tokens: 5, messages: [{ role: "user", content }] };
  return JSON.stringify({ custom_id: `r${n}`, method: "POST", url: "/v1/chat/completions", body });
};

/** Asks again and again and reports its longest wait, ms. In a thread of its own, because sending a large file blocks the sender's thread. */
const OTHER = `
  const { parentPort, workerData } = require("node:worker_threads");
  let worst = 0;
  let over = false;
  parentPort.once("message", () => { over = true; });
  (async () => {
    while (!over) {
      const asked = performance.now();
      await (await fetch(workerData)).text();
      worst = Math.max(worst, performance.now() - asked);
      // In real time, as all here: processes of their own, whose clock cannot be moved.
      await new Promise((done) => setTimeout(done, 20));
    }
    parentPort.postMessage(worst);
  })();
`;

/** How long the work takes, and the longest wait of another program for an answer meanwhile; ms. */
async function beside(url: string, work: () => Promise<unknown>): Promise<{ took: number; worst: number }> {
  const other = new Worker(OTHER, { eval: true, workerData: `${url}/healthz` });
  await once(other, "online");
  const began = performance.now();
  await work();
  const took = performance.now() - began;
  const said = once(other, "message");
  other.postMessage("over");
  const [worst] = await said;
  return { took, worst };
}

test("a file of nearly 200 MB is uploaded, and checked -> others are answered meanwhile", async () => {
  const port = await freePort();
  // A process of its own, separate from the programs that call it.
  await npmStart(port, stateDirectory());
  const url = `http://127.0.0.1:${port}`;
  const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: "sk-dev-alice", maxRetries: 0 });
  const input = await toFile(Buffer.from(Array.from({ length: LINES }, (_, n) => line(n)).join("\n")), "in.jsonl");
  let file = "";
  const uploaded = await beside(url, async () => {
    file = (await client.files.create({ file: input, purpose: "batch" })).id;
  });
  // A share of the time that the work took, not an absolute time: a program that is held up waits for all of it.
  expect(uploaded.worst).toBeLessThan(uploaded.took / 3);
  const checked = await beside(url, async () => {
    let batch = await client.batches.create({ input_file_id: file, endpoint: "/v1/chat/completions", completion_window: "24h" });
    // Real time passes between two polls; the test's own timeout bounds it.
    while (batch.status === "validating") {
      await new Promise((done) => setTimeout(done, 100));
      batch = await client.batches.retrieve(batch.id);
    }
    expect(batch).toMatchObject({ status: "in_progress", request_counts: { total: LINES } });
    await client.batches.cancel(batch.id);
  });
  expect(checked.worst).toBeLessThan(checked.took / 3);
});
