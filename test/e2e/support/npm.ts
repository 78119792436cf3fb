/** Runs `npm start` as somebody at a terminal would. */
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { onTestFinished } from "vitest";
import { until } from "./client.ts";

const root = join(import.meta.dirname, "../../..");

export type Started = {
  child: ChildProcess;
  /** Everything that it has printed. */
  output: () => string;
  /** The command that it suggests. */
  curl: string;
  /** The process id of the workerd under it. */
  workerd: number;
  exited: Promise<{ code: number | null; signal: NodeJS.Signals | null }>;
};

/** Resolves once it has printed its curl line. */
export async function npmStart(port: number, state: string, more: NodeJS.ProcessEnv = {}): Promise<Started> {
  const env = { ...process.env, PORT: String(port), SLUICE_STATE: state, OPENAI_API_KEY: "", OPENAI_BASE_URL: "", ...more };
  // A process group of its own, as a terminal's job has.
  const child = spawn("npm", ["start"], { cwd: root, env, detached: true, stdio: ["ignore", "pipe", "pipe"] });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding("utf8").on("data", (text: string) => {
      output += text;
    });
  }
  const exited = new Promise<{ code: number | null; signal: NodeJS.Signals | null }>((done) => {
    child.once("exit", (code, signal) => done({ code, signal }));
  });
  onTestFinished(() => killGroup(child));
  const curl = await until("the curl line", () => {
    if (child.exitCode !== null) throw new Error(`npm start ended: ${output}`);
    return /^ *(curl .*)$/m.exec(output)?.[1];
  });
  const { pid } = JSON.parse(readFileSync(join(state, "runtime.json"), "utf8")) as { pid: number };
  return { child, output: () => output, curl, workerd: pid, exited };
}

/** SIGKILL for npm, its shell and the script, as when a terminal is closed or a CI job is cancelled. */
export function killGroup({ pid }: ChildProcess): void {
  try {
    process.kill(-pid!, "SIGKILL");
  } catch {
    // Already gone.
  }
}

export function gone(pid: number): Promise<true> {
  return until(`process ${pid} to be gone`, () => {
    try {
      process.kill(pid, 0);
      return false;
    } catch {
      return true;
    }
  });
}

/** What a line for `sh` prints. */
export function shell(line: string): Promise<string> {
  return new Promise((done, fail) => {
    execFile("sh", ["-c", line], (error, stdout, stderr) => (error ? fail(new Error(`${error.message} ${stderr}`)) : done(stdout)));
  });
}

/** A port that is free now; if something takes it a moment later, the service says so. */
export function freePort(): Promise<number> {
  return new Promise((done) => {
    const server = createServer().listen(0, "127.0.0.1", () => {
      const address = server.address();
      server.close(() => done(typeof address === "object" && address ? address.port : 0));
    });
  });
}
