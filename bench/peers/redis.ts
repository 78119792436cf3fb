/** Starts a Redis without a port and without persistence, if there is one on PATH. */
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { tieToThisProcess } from "../../scripts/runtime/processes.ts";

export type Redis = { path: string; stop: () => void };

/** @returns null if there is no `redis-server`. */
export async function openRedis(): Promise<Redis | null> {
  const directory = mkdtempSync(join(tmpdir(), "sluice-redis-"));
  const path = join(directory, "socket");
  const settings = ["--port", "0", "--unixsocket", path, "--dir", directory, "--save", "", "--appendonly", "no"];
  const child = spawn("redis-server", settings, { stdio: ["ignore", "pipe", "inherit"] });
  // It must not outlive this process, even if that is killed.
  if (child.pid !== undefined) tieToThisProcess(child);
  const stop = () => {
    child.kill("SIGKILL");
    rmSync(directory, { recursive: true, force: true });
  };
  const ready = await new Promise<boolean>((resolve) => {
    child.once("error", () => resolve(false));
    child.once("exit", () => resolve(false));
    child.stdout.on("data", (text) => /ready to accept connections/i.test(text) && resolve(true));
  });
  if (ready) return { path, stop };
  stop();
  return null;
}
