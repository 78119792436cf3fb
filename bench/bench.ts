/**
 * `npm run bench`: speed as ratios against floors run beside it on the same workerd, then beside what people use today. Absolute figures are of a shared
 * machine and prove nothing.
 * `--quick` takes fewer samples; `--only=submits,latency` runs these parts alone.
 */
import { cpus, release, totalmem } from "node:os";
import { bundle } from "../scripts/runtime.ts";
import { drain, events, latency, life, openUpstream, start, submits } from "./measure.ts";
import { peers } from "./peers.ts";
import { quantile, spread } from "./statistics.ts";

const quick = process.argv.includes("--quick");
const PARTS = ["submits", "latency", "events", "life", "drain", "peers"] as const;
const only = process.argv.find((each) => each.startsWith("--only="))?.slice("--only=".length);
const wanted = new Set<string>(only?.split(",") ?? PARTS);
const unknown = [...wanted].filter((part) => !PARTS.some((each) => each === part));
if (unknown.length > 0) throw new Error(`Unknown parts for --only: ${unknown.join(", ")}. The parts are ${PARTS.join(", ")}.`);
const row = (name: string, figure: string, goal: string) => console.log(`${name.padEnd(58)} ${figure.padEnd(24)} ${goal}`);

const machine = cpus();
console.log(
  `${machine.length} × ${machine[0]?.model ?? "unknown CPU"}, ${(totalmem() / 2 ** 30).toFixed(0)} GiB, Linux ${release()}, Node ${process.version}`,
);
console.log("At most six calls of a dispatcher wait for response headers at once, as when deployed. Ratios: median (middle half).\n");

const bench = await bundle("bench/wrangler.toml");
row("measure", "ratio", "required / aim");
if (["submits", "latency", "events"].some((part) => wanted.has(part))) await besideFloors();
const instant = await openUpstream(0);
if (wanted.has("life")) await wholeLives();
if (wanted.has("drain")) {
  const drained = await drain(bench, instant);
  row(
    "time to drain a queue over the budget's optimum",
    `${(drained.seconds / drained.optimum).toFixed(3)}   (${drained.seconds.toFixed(1)} s / ${drained.optimum.toFixed(1)} s)`,
    "1.05",
  );
}
instant.close();
if (wanted.has("peers")) await peers(row);

async function besideFloors(): Promise<void> {
  const upstream = await openUpstream(5);
  const runtime = await start(bench, upstream.url);
  try {
    if (wanted.has("submits")) {
      const { parallel, bulk, perSecond } = await submits(runtime, quick ? 3 : 12);
      row("durable submits, 32 in parallel, over one insert per call", spread(parallel), "3 / 5");
      row("bulk submit of 1,000 over a bare multi-row insert", spread(bulk), "0.4 / 0.8");
      row("  durable submits per second", spread(perSecond, 0), "");
    }
    if (wanted.has("latency")) {
      const { direct, ...ways } = await latency(runtime, upstream, quick ? 200 : 2_000);
      for (const q of [0.5, 0.99]) {
        const added = (way: keyof typeof ways) => quantile(ways[way], q) - quantile(direct, q);
        const over = (way: keyof typeof ways, floor: keyof typeof ways) =>
          `${(added(way) / added(floor)).toFixed(2)}   (${added(way).toFixed(2)} ms / ${added(floor).toFixed(2)} ms)`;
        row(`added latency p${q * 100}, submit to pushed result, over a proxy`, over("sluice", "proxy"), "2 / 1.25");
        row("  a proxy that writes before and after the call, over it", over("durable", "proxy"), "");
        row("  ours over the proxy that writes", over("sluice", "durable"), "");
      }
    }
    if (wanted.has("events")) {
      const rate = await events(runtime, quick ? 3 : 10);
      row(
        "coordinator events per job, at 500 jobs/s",
        `${rate.events.toFixed(2)}   (${rate.achieved.toFixed(0)} jobs/s, ${rate.closed} closed)`,
        "1 / 0.25",
      );
      row("coordinator rows written per job, at 500 jobs/s", rate.rows.toFixed(2), "3");
    }
  } finally {
    await runtime.stop();
    upstream.close();
  }
}

async function wholeLives(): Promise<void> {
  const runtime = await start(bench, instant.url);
  try {
    await life(runtime, 500);
    const whole = await life(runtime, quick ? 1_000 : 4_000);
    const rate = `${(whole.perSecond / whole.proxyPerSecond).toFixed(2)}   (${whole.perSecond.toFixed(0)}/s)`;
    row("whole job: jobs/s over the proxy's calls/s", rate, "");
    const cpu = `${(whole.cpuUs / whole.proxyCpuUs).toFixed(2)}   (${whole.cpuUs.toFixed(0)} µs)`;
    row("whole job: CPU per job over the proxy's CPU per call", cpu, "");
  } finally {
    await runtime.stop();
  }
}
