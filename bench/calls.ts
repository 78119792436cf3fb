/**
 * `npm run bench:calls`: 2,000 calls of the `openai` package at once, half of them streamed, on a budget for 500 a minute; through Sluice, and beside
 * it straight at an upstream with the same limits. `-- --calls N --rpm N` for others.
 */
import { readFileSync } from "node:fs";
import { parseArgs } from "node:util";
import OpenAI, { APIError } from "openai";
import { bundle, launch, type Runtime } from "../scripts/runtime.ts";

const { values } = parseArgs({ options: { calls: { type: "string", default: "2000" }, rpm: { type: "string", default: "500" } } });
const [calls, rpm] = [Number(values.calls), Number(values.rpm)];
const LIMITS = { rpm, tpm: 1_000_000_000 };
/** Upstream holds a full minute; Sluice spends a little less at once, for calls sent apart may arrive together. */
const BURST_SECONDS = 60;
const KEY = "sk-dev-alice";

type Stats = { calls: number; completed: number; rejected_429: { requests: number; tokens: number } };

/** An existing program. Nothing in it knows of Sluice. */
async function program(baseURL: string): Promise<{ answered: number; errors: Map<string, number>; seconds: number }> {
  const client = new OpenAI({ baseURL: `${baseURL}/v1`, apiKey: KEY });
  const ask = async (n: number): Promise<string> => {
    const body = {
      model: "gpt-5-mini",
      max_completion_tokens: 40,
      messages: [{ role: "user" as const, content: `What is ${n} and ${n}?` }],
    };
    if (n % 2 === 0) return (await client.chat.completions.create(body)).choices[0]!.message.content ?? "";
    let text = "";
    for await (const { choices } of await client.chat.completions.create({ ...body, stream: true }))
      text += choices[0]?.delta.content ?? "";
    return text;
  };
  const began = performance.now();
  const results = await Promise.allSettled(Array.from({ length: calls }, (_, n) => ask(n)));
  const errors = new Map<string, number>();
  for (const each of results) {
    if (each.status === "fulfilled" && each.value !== "") continue;
    const name = each.status === "fulfilled" ? "an empty answer" : nameOf(each.reason);
    errors.set(name, (errors.get(name) ?? 0) + 1);
  }
  const failed = [...errors.values()].reduce((sum, each) => sum + each, 0);
  return { answered: calls - failed, errors, seconds: (performance.now() - began) / 1_000 };
}

function nameOf(error: unknown): string {
  if (!(error instanceof APIError)) return String(error);
  return [error.constructor.name, error.status, error.code].filter((each) => each != null).join(" ");
}

/** The simulator with these limits, which it enforces by itself, and a program that runs against `of(upstream)`. */
async function measured(of: (upstream: Runtime) => Promise<Runtime>) {
  const settings = { limits: { "gpt-5-mini*": LIMITS }, burst_seconds: BURST_SECONDS };
  const vars = { SIMULATOR_SETTINGS: JSON.stringify(settings) };
  const upstream = await launch({ bundle: await bundle("workers/simulator/wrangler.toml"), port: 0, state: null, vars, health: null });
  const service = await of(upstream);
  const result = await program(service.url);
  const stats = (await (await fetch(`${upstream.url}/stats`)).json()) as Stats;
  const peak = peakMemory(service.pid);
  if (service !== upstream) await service.stop();
  await upstream.stop();
  return { ...result, stats, peak };
}

async function sluice(upstream: Runtime): Promise<Runtime> {
  const pools = { default: { ...LIMITS, burst_seconds: BURST_SECONDS } };
  const vars = {
    SLUICE_LOCAL: "1",
    SLUICE_POOLS: JSON.stringify(pools),
    OPENAI_BASE_URL: `${upstream.url}/v1`,
    OPENAI_API_KEY: "sk-bench",
  };
  return launch({ bundle: await bundle("wrangler.toml"), port: 0, state: null, vars });
}

/** Highest resident memory of a process so far, MB. */
function peakMemory(pid: number): number {
  return Number(/VmHWM:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))![1]) / 1_024;
}

function tell(name: string, { answered, errors, seconds, stats, peak }: Awaited<ReturnType<typeof measured>>): void {
  const { requests, tokens } = stats.rejected_429;
  const told = [...errors].map(([error, count]) => `${count} × ${error}`).join(", ") || "none";
  const perAnswer = ((stats.calls - requests - tokens) / Math.max(1, answered)).toFixed(3);
  console.log(`${name}: ${answered} of ${calls} answered in ${seconds.toFixed(0)} s (${(seconds / optimum).toFixed(3)} of the optimum)`);
  console.log(`  errors that reached the program: ${told}`);
  console.log(
    `  upstream: ${requests + tokens} 429s, ${perAnswer} accepted calls per answer; peak memory of the called process ${peak.toFixed(0)} MB`,
  );
}

const perSecond = rpm / 60;
const optimum = Math.max(0, calls - perSecond * BURST_SECONDS) / perSecond;
console.log(
  `${calls} calls at once, ${rpm} requests per minute; starting with a full bucket, the last call can start after ${optimum.toFixed(0)} s`,
);
const through = await measured(sluice);
tell("through Sluice", through);
tell("directly to upstream", await measured(async (upstream) => upstream));
if (through.answered < calls) process.exitCode = 1;
