/**
 * `npm run bench:batch`: a batch of 50,000 lines over a budget that binds. Is memory flat, and is the time near the optimum?
 * `-- --lines N --rpm N` for others.
 */
import { readFileSync } from "node:fs";
import { parseArgs } from "node:util";
import OpenAI, { toFile } from "openai";
import { bundle } from "../scripts/runtime.ts";
import { openUpstream, start } from "./measure.ts";

const { values } = parseArgs({ options: { lines: { type: "string", default: "50000" }, rpm: { type: "string", default: "12000" } } });
const [lines, rpm] = [Number(values.lines), Number(values.rpm)];
const BURST_SECONDS = 5;
const POLL_MS = 1_000;

const upstream = await openUpstream(0);
const pools = { default: { rpm, tpm: 1e12, ramp_tpm: null, burst_seconds: BURST_SECONDS } };
const runtime = await start(await bundle("bench/wrangler.toml"), upstream.url, pools);
const client = new OpenAI({ baseURL: `${runtime.url}/v1`, apiKey: "sk-dev-alice" });

/** Resident memory of a process, MB. */
function memory(): number {
  return Number(/VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${runtime.pid}/status`, "utf8"))![1]) / 1_024;
}

const line = (n: number) => {
  const body = { model: "m", messages: [{ role: "user", content: `Question ${n}: ${"x".repeat(900)}` }] };
  return JSON.stringify({ custom_id: `r${n}`, method: "POST", url: "/v1/chat/completions", body });
};
const text = Array.from({ length: lines }, (_, n) => line(n)).join("\n");
const idle = memory();
const file = await client.files.create({ file: await toFile(Buffer.from(text), "batch.jsonl"), purpose: "batch" });
const uploaded = memory();
const began = performance.now();
let batch = await client.batches.create({ input_file_id: file.id, endpoint: "/v1/chat/completions", completion_window: "24h" });
/** Memory at each tenth of the way, MB. */
const seen: number[] = [];
while (!["completed", "failed", "expired"].includes(batch.status)) {
  await new Promise((done) => setTimeout(done, POLL_MS));
  batch = await client.batches.retrieve(batch.id);
  const tenth = Math.floor(((batch.request_counts?.completed ?? 0) / lines) * 10);
  seen[tenth] ??= memory();
}
const seconds = (performance.now() - began) / 1_000;
const optimum = (lines - (rpm / 60) * BURST_SECONDS) / (rpm / 60);
const read = (await (await client.files.content(batch.output_file_id!)).text()).trim().split("\n").length;

console.log(
  `${lines} lines, ${(text.length / 1e6).toFixed(1)} MB, ${rpm} requests per minute: ${batch.status}, ${JSON.stringify(batch.request_counts)}, ${read} answers read`,
);
console.log(`upstream calls: ${upstream.calls()}`);
console.log(`time / optimum: ${(seconds / optimum).toFixed(3)} (${seconds.toFixed(0)} s / ${optimum.toFixed(0)} s)`);
console.log(
  `memory, MB: idle ${idle.toFixed(0)}, uploaded ${uploaded.toFixed(0)}, after each tenth of the lines ${seen.map((each) => each.toFixed(0)).join(" ")}, at the end ${memory().toFixed(0)}`,
);
await runtime.stop();
upstream.close();
