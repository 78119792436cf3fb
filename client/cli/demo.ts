/** `npm run demo`: a few hundred jobs of two tenants over a small budget, seen from outside. */
import { parseArgs } from "node:util";
import { allCompleted, report } from "./demo/report.ts";
import { run } from "./demo/run.ts";
import { openScreen } from "./demo/screen.ts";
import { openService, type Service } from "./demo/service.ts";

const USAGE = `npm run demo -- [--jobs N] [--spend]

  --jobs N   how many jobs, 3 to 5000 (default 300)
  --spend    allow a running service that calls a real endpoint, which costs money

Uses the service on PORT (default 8787) if one is running there and accepts the development keys; otherwise starts its own.
PORT=0 always starts its own.`;

const INTERRUPTED = 130;

type Options = { jobs: number; spend: boolean; port: number };

function readOptions(): Options {
  const { values } = parseArgs({ options: { jobs: { type: "string", default: "300" }, spend: { type: "boolean", default: false } } });
  const jobs = Number(values.jobs);
  const port = Number(process.env.PORT || 8787);
  if (!Number.isInteger(jobs) || jobs < 3 || jobs > 5_000) throw new Error("--jobs must be a whole number from 3 to 5000.");
  if (!Number.isInteger(port) || port < 0 || port > 65_535) throw new Error("PORT must be a whole number from 0 to 65535.");
  return { jobs, spend: values.spend, port };
}

async function demo({ jobs, spend }: Options, service: Service, signal: AbortSignal): Promise<number> {
  signal.throwIfAborted();
  if (!service.simulated && !spend)
    throw new Error(
      "The running service calls a real endpoint, which costs money. Pass --spend to use it all the same, or set PORT=0 to start another service.",
    );
  console.log(`\n  Sending ${jobs} jobs to ${service.url}: ${service.what}\n`);
  const result = await run(service, jobs, openScreen(), signal);
  const { shown } = result;
  if (shown !== null) console.log(`\n  ${shown.verdict()}`);
  console.log(`\n${report(result).join("\n")}\n`);
  return allCompleted(result) && shown?.faithful !== false ? 0 : 1;
}

async function main(): Promise<number> {
  const options = readOptions();
  const interrupt = new AbortController();
  let service: Service | null = null;
  const onSignal = () => {
    // A second signal means the user is in a hurry.
    if (interrupt.signal.aborted) {
      service?.kill();
      process.exit(INTERRUPTED);
    }
    interrupt.abort(new Error("Interrupted."));
  };
  for (const name of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(name, onSignal);
  try {
    service = await openService(options.port, interrupt.signal);
    return await demo(options, service, interrupt.signal);
  } catch (error) {
    if (!interrupt.signal.aborted) throw error;
    console.log("\n  Interrupted.");
    return INTERRUPTED;
  } finally {
    await service?.stop();
  }
}

try {
  process.exitCode = await main();
} catch (error) {
  console.error(`demo: ${error instanceof Error ? error.message : error}`);
  if (error instanceof TypeError && "code" in error) console.error(USAGE);
  process.exitCode = 1;
}
