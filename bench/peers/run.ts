/** Runs programs as processes of their own: starts each, tells it to begin, and counts its calls as they end. */
import { type ChildProcess, fork } from "node:child_process";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { Stats } from "../stub/server.ts";
import { COUNT, OPTIMUM_SECONDS, type Said, type Task } from "./backlog.ts";

export type Upstream = Awaited<ReturnType<typeof openUpstream>>;
/** `lost`: calls whose error reached the program. */
export type Result = { seconds: number; answered: number; lost: number; stats: Stats };

/** A peer that needs more than so many times the optimum is stopped. */
const PATIENCE = 5;

export async function openUpstream() {
  const child = begun("upstream.ts");
  const url = await first<string>(child);
  return { url, stats: async () => (await (await fetch(`${url}/stats`)).json()) as Stats, close: () => void child.kill() };
}

/** @returns a function that lets the program begin and resolves when it has ended. */
export async function ready(file: string, task: Task, upstream: Upstream): Promise<() => Promise<Result>> {
  const child = begun(file, JSON.stringify(task));
  await first<Said>(child);
  return async () => {
    const ended = await work(child);
    const stats = await upstream.stats();
    upstream.close();
    return { ...ended, stats };
  };
}

const begun = (file: string, ...how: string[]) => fork(join(import.meta.dirname, file), how);

/** What it says once it is up. */
async function first<T>(child: ChildProcess): Promise<T> {
  return new Promise((resolve, fail) => {
    child.once("message", (said) => resolve(said as T));
    child.once("exit", (code) => fail(new Error(`${child.spawnargs.slice(1).join(" ")} ended with ${code} before it began.`)));
  });
}

/** Lasts until every call has ended, or the peer is stopped. */
async function work(child: ChildProcess): Promise<Omit<Result, "stats">> {
  let [answered, lost] = [0, 0];
  const done = new Promise<void>((resolve) => {
    child.on("message", (said: Said) => {
      if ("ready" in said) return;
      if (said.error === null) answered++;
      else lost++;
      if (answered + lost === COUNT) resolve();
    });
    child.once("exit", () => resolve());
  });
  const began = performance.now();
  child.send("begin");
  await Promise.race([done, sleep(PATIENCE * OPTIMUM_SECONDS * 1_000, undefined, { ref: false })]);
  const seconds = (performance.now() - began) / 1_000;
  child.kill();
  return { seconds, answered, lost };
}
