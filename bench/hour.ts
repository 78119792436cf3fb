/**
 * `npm run bench:upstream`: an hour of an account that others use too, against two upstreams in turn. What an hour brings comes in `-- --minutes N` (6: one
 * second stands for ten). Limits and Sluice's own waits are not scaled: a minute's limit is a limit of a real minute. `-- --rpm N --only simulator|stub`.
 * Exit code 1 if a job was lost, or failed, or a call made twice that its job does not tell of.
 */
import { parseArgs } from "node:util";
import { bundle } from "../scripts/runtime.ts";
import { figures, isAmiss, summary, table } from "./hour/report.ts";
import { runHour } from "./hour/run.ts";
import { openSecond, openSimulator } from "./hour/upstreams.ts";

const { values } = parseArgs({
  options: {
    minutes: { type: "string", default: "6" },
    rpm: { type: "string", default: "600" },
    only: { type: "string" },
  },
});
const minutes = Number(values.minutes);
const rpm = Number(values.rpm);
if (!(minutes > 0 && rpm > 0)) throw new Error("--minutes and --rpm must be numbers above 0.");
// Most jobs reserve 300 tokens at most: requests are what binds. Where prompts are large it is tokens.
const limits = { rpm, tpm: rpm * 1_000 };

if (values.only !== undefined && !["simulator", "stub"].includes(values.only)) throw new Error("--only must be simulator or stub.");

const [sluice, simulator] = [await bundle("wrangler.toml"), await bundle("workers/simulator/wrangler.toml")];
const openers = { simulator: () => openSimulator(simulator, limits), stub: () => openSecond(limits) };
console.log(
  `An hour in ${minutes} minutes: each second stands for ${(60 / minutes).toFixed(1)} s. Limits (${rpm} requests) apply per real minute, and Sluice's clocks run in real time.`,
);

for (const [name, open] of Object.entries(openers)) {
  if (values.only !== undefined && values.only !== name) continue;
  const upstream = await open();
  try {
    console.log(`\n${upstream.name}`);
    const hour = await runHour(sluice, upstream, limits, minutes);
    console.log(`\n${table(hour.phases)}\n\n${summary(hour, upstream.savesSeconds)}`);
    if (isAmiss(figures(hour, upstream.savesSeconds))) process.exitCode = 1;
  } finally {
    await upstream.close();
  }
}
