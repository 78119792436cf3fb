/**
 * The same backlog through Sluice and through what people use today. Each has an upstream of its own, and all run in the same minute: `peers/` has the
 * programs, and what each is given.
 */
import { execFileSync } from "node:child_process";
import { availableParallelism, loadavg } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { type Bundle, bundle, launch, type Runtime } from "../scripts/runtime.ts";
import { AT_ONCE, BURST_SECONDS, COUNT, LIMITS, OPTIMUM_SECONDS, type Order, type Task } from "./peers/backlog.ts";
import { openRedis } from "./peers/redis.ts";
import { openUpstream, type Result, ready, type Upstream } from "./peers/run.ts";

type Row = (name: string, figure: string, goal: string) => void;
type Peer = { name: string; file: string; needs?: "sluice" | "package" | "redis"; task?: Partial<Task> };
type Round = { order: Order; installed: boolean; sluice: Bundle };

/** Calls that a peer may have in flight, unless it says otherwise. At the pace of the limits a dozen are. */
const PARALLEL = 50;
/** Between their starts: each starts with a burst, and a machine has few cores. */
const APART_MS = 2_000;

const PEERS: readonly Peer[] = [
  { name: "Sluice", file: "sluice.ts", needs: "sluice" },
  { name: "bottleneck, of requests", file: "bottleneck.ts", needs: "package" },
  { name: "bottleneck, of requests and of tokens", file: "bottleneck-tokens.ts", needs: "package" },
  { name: "p-queue", file: "p-queue.ts", needs: "package" },
  { name: "BullMQ", file: "bullmq.ts", needs: "redis" },
  { name: `openai alone, ${PARALLEL} in parallel`, file: "sdk.ts", task: { retries: 10 } },
  { name: "openai alone, all at once", file: "sdk.ts", task: { retries: 10, parallel: COUNT } },
];

export async function peers(row: Row): Promise<void> {
  const [installed, sluice] = [install(), await bundle("wrangler.toml")];
  const atOnce = `${AT_ONCE.requests} of them and ${AT_ONCE.tokens / 1_000}k tokens in ${BURST_SECONDS} s`;
  const load = `load of the machine before: ${loadavg()[0]!.toFixed(1)} on ${availableParallelism()} cores`;
  row(`${COUNT} calls, ${atOnce}`, "drain over the optimum", load);
  for (const order of ["shuffled", "large first"] as const) await round({ order, installed, sluice }, row);
  if (!installed) row("  bottleneck, p-queue, BullMQ: could not be installed", "", "");
}

async function round({ order, installed, sluice }: Round, row: Row): Promise<void> {
  const redis = installed ? await openRedis() : null;
  const upstream = await openUpstream();
  const runtime = await startSluice(sluice, upstream);
  const prepare = async ({ file, needs, task }: Peer) => {
    const whole = { key: "sk-bench", order, retries: 2, parallel: PARALLEL, redis: redis?.path ?? null, ...task };
    if (needs === "sluice") return ready(file, { ...whole, url: runtime.url, key: "sk-dev-alice" }, upstream);
    const own = await openUpstream();
    return ready(file, { ...whole, url: own.url }, own);
  };
  try {
    const there = { sluice: true, package: installed, redis: redis !== null };
    const here = PEERS.filter(({ needs }) => needs === undefined || there[needs]);
    const begin = await Promise.all(here.map(prepare));
    const results = await Promise.all(begin.map((go, place) => sleep(place * APART_MS).then(go)));
    row(order, "", "429s, lost, paid for twice");
    for (const [place, result] of results.entries()) row(`  ${here[place]!.name}`, drained(result), counts(result));
    if (installed && redis === null) row("  BullMQ: no redis-server on PATH", "", "");
  } finally {
    await runtime.stop();
    redis?.stop();
  }
}

/** A peer that lost calls has not drained the backlog: it gets a time but no ratio. */
function drained({ seconds, answered }: Result): string {
  const over = answered === COUNT ? (seconds / OPTIMUM_SECONDS).toFixed(2) : "-   ";
  return `${over}   (${seconds.toFixed(1)} s / ${OPTIMUM_SECONDS.toFixed(1)} s)`;
}

function counts({ answered, lost, stats }: Result): string {
  const [again, open] = [Object.keys(stats.paid_more_than_once).length, COUNT - answered - lost];
  return `${stats.own_429}, ${lost}, ${again}${open > 0 ? `; stopped with ${open} unanswered` : ""}`;
}

/** Installs the packages and checks the types of the programs that need them. @returns whether they could be installed. */
function install(): boolean {
  const there = join(import.meta.dirname, "peers");
  try {
    // Optional is a native binary that makes BullMQ's packing faster: at this pace it does not matter.
    const how = ["--silent", "--prefer-offline", "--omit=optional", "--ignore-scripts"];
    execFileSync("npm", ["ci", ...how, "--prefix", there], { stdio: "ignore" });
  } catch {
    return false;
  }
  execFileSync(join(import.meta.dirname, "../node_modules/.bin/tsc"), ["-p", there], { stdio: "inherit" });
  return true;
}

async function startSluice(bundle: Bundle, upstream: Upstream): Promise<Runtime> {
  const vars = {
    OPENAI_API_KEY: "sk-bench",
    OPENAI_BASE_URL: `${upstream.url}/v1`,
    SLUICE_LOCAL: "1",
    SLUICE_POOLS: JSON.stringify({ default: { ...LIMITS, burst_seconds: BURST_SECONDS } }),
  };
  return launch({ bundle, port: 0, state: null, vars });
}
