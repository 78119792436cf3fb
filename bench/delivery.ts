/**
 * `npm run bench:delivery`: sockets that sleep, words on their way, and clients that drop and return. `-- --sockets N --jobs N --clients N --seconds N
 * --seed N` for others; 0 leaves a part out, and `--kill nothing|service|objects` all faults but one.
 */
import { parseArgs } from "node:util";
import { bundle } from "../scripts/runtime.ts";
import { type Death, runFaults, tellFaults } from "./delivery/faults.ts";
import { measureLatency, tellLatency } from "./delivery/latency.ts";
import { measureSockets, tellSockets } from "./delivery/sockets.ts";
import { startUpstream } from "./delivery/start.ts";

const number = (value: number) => ({ type: "string" as const, default: String(value) });
const { values } = parseArgs({
  options: {
    sockets: number(9_000),
    jobs: number(1_000),
    clients: number(200),
    seconds: number(60),
    seed: number(1),
    kill: { type: "string" },
  },
});
const [sockets, jobs, clients, seconds, seed] = [values.sockets, values.jobs, values.clients, values.seconds, values.seed].map(Number) as [
  number,
  number,
  number,
  number,
  number,
];
const DEATHS: Death[] = ["nothing", "service", "objects"];
const TOLD = { nothing: "nothing killed", service: "the service killed halfway", objects: "objects killed one by one" };
/** What two cores bear: 250 words a second, client and upstream included. */
const [WORDS, EVERY_MS] = [5, 4_000];

const bench = await bundle("bench/wrangler.toml");
const upstream = await startUpstream();
try {
  if (sockets > 0) {
    const floor = await measureSockets(bench, upstream.url, sockets, true);
    const ours = await measureSockets(bench, upstream.url, sockets, false);
    tellSockets(sockets, floor, ours);
    if (ours.wakes + ours.messages > 0) process.exitCode = 1;
  }
  if (jobs > 0) tellLatency(jobs, EVERY_MS, await measureLatency(bench, upstream.url, jobs, WORDS, EVERY_MS));
  for (const death of clients > 0 ? DEATHS.filter((each) => values.kill === undefined || each === values.kill) : []) {
    const figures = await runFaults(bench, upstream.url, clients, seconds, seed, death);
    tellFaults(`seed ${seed}, ${TOLD[death]}`, figures);
    if (figures.wrong.length > 0) process.exitCode = 1;
  }
} finally {
  upstream.stop();
}
