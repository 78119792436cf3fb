import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";

export type Found = { parent: number; command: string };

/** @returns null if there is no such process, or only a zombie. */
export function inspect(pid: number): Found | null {
  // Slim container images have no `ps`; macOS has no /proc.
  return existsSync("/proc/self/stat") ? inspectProc(pid) : inspectPs(pid);
}

function inspectProc(pid: number): Found | null {
  try {
    // The name in parentheses may contain anything, so skip past the last parenthesis.
    const [state, parent] = readFileSync(`/proc/${pid}/stat`, "utf8")
      .replace(/^.*\) /s, "")
      .split(" ");
    if (state === "Z" || state === "X") return null;
    return { parent: Number(parent), command: readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ") };
  } catch {
    return null;
  }
}

function inspectPs(pid: number): Found | null {
  const { stdout } = spawnSync("ps", ["-ww", "-o", "ppid=,stat=,command=", "-p", String(pid)], { encoding: "utf8" });
  const [, parent, state, command] = /^\s*(\d+)\s+(\S+)\s+(.*)$/s.exec(stdout ?? "") ?? [];
  return parent === undefined || state?.startsWith("Z") ? null : { parent: Number(parent), command: command ?? "" };
}

/**
 * Makes a child die with this process, even after `kill -9`: a shell reads from a pipe that only this process holds open. If the pipe breaks, the shell kills
 * the child; if a line comes, the child has ended by itself and its id may belong to another process by now.
 * Without a `sh`, the next start finds the orphan through its lock.
 */
export function tieToThisProcess(child: ChildProcess): void {
  const guard = spawn("sh", ["-c", `read line || kill -9 ${child.pid}`], { stdio: ["pipe", "ignore", "ignore"], detached: true });
  guard.on("error", () => {});
  guard.stdin.on("error", () => {});
  guard.unref();
  child.once("exit", () => guard.stdin.end("\n"));
}
