import { basename } from "node:path";
import { inspect } from "./runtime/processes.ts";
import type { Runtime } from "./runtime.ts";

/** Found when this process starts: npm may be killed while the service starts, or while it reports that it is up. */
const NPM = findNpm();

/** Stays until a signal comes or workerd ends, and ends with it. */
export function serve(runtime: Runtime): void {
  let ending = false;
  const end = (code: number) => {
    // A second signal means the user is in a hurry.
    if (ending) return runtime.kill();
    ending = true;
    runtime.stop().then(() => process.exit(code));
  };
  process.on("SIGINT", () => end(130));
  process.on("SIGTERM", () => end(0));
  process.on("SIGHUP", () => end(0));
  followNpm(() => {
    ending = true;
    runtime.kill();
    runtime.exited.then(() => process.exit(1));
  });
  runtime.exited.then((code) => {
    if (ending) return;
    console.error(`workerd stopped unexpectedly (${code === null ? "killed" : `exit code ${code}`}).`);
    process.exit(code || 1);
  });
}

/**
 * npm killed by `kill -9` leaves its script behind, and the next `npm start` would find the port and the state in use. Checking twice a second is enough: that
 * start takes longer to bundle. Without npm the parent may be a shell, which has every right to end.
 */
function followNpm(orphaned: () => void): void {
  if (process.env.npm_lifecycle_event === undefined) return;
  const watch = setInterval(() => {
    if (findNpm() === NPM) return;
    clearInterval(watch);
    orphaned();
  }, 500);
}

/** npm is the parent, or the parent of a shell in between that has this script on its command line (dash stays, bash does not). */
function findNpm(): number | undefined {
  const shell = inspect(process.ppid);
  return shell?.command.includes(basename(process.argv[1] ?? "")) ? shell.parent : process.ppid;
}

/** One line, no stack: the operator has to fix this, not a developer. */
export function fail(error: unknown): void {
  console.error(`sluice: ${error instanceof Error ? error.message : error}`);
  process.exitCode = 1;
}
