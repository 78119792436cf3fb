/**
 * One workerd per state directory: two on the same SQLite files would corrupt them, and workerd itself does not check.
 * `<state>/runtime.json` names the workerd and the script that started it.
 */
import { randomUUID } from "node:crypto";
import { linkSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { inspect } from "./processes.ts";

export type Lock = { record(pid: number): void; update(port: number): void; release(): void };
type Claim = { id: string; parent: number; pid: number | null; port: number | null; startedAt: number };

/** A claim without a workerd is honoured for this long: enough to spawn one. */
const CLAIM_MS = 30_000;
/** A killed process is gone within milliseconds; one with a large heap on a busy machine takes longer. */
const GONE_MS = 10_000;
/** Processes that this one has killed and that may not be gone yet; the next launch waits for them. */
const killed = new Set<number>();

/** @throws if a live Sluice holds the state directory. Kills a workerd whose script is gone. */
export async function claim(state: string): Promise<Lock> {
  const path = join(state, "runtime.json");
  const mine: Claim = { id: randomUUID(), parent: process.pid, pid: null, port: null, startedAt: Date.now() };
  for (let attempt = 0; attempt < 10; attempt++) {
    if (create(path, mine)) return holder(path, mine);
    const held = read(path);
    if (held !== null) await evict(held, state);
    if (read(path)?.id === held?.id) rmSync(path, { force: true });
  }
  throw new Error(`Other instances of Sluice keep starting with the state directory ${state}.`);
}

export function markKilled(pid: number): void {
  killed.add(pid);
}

function holder(path: string, mine: Claim): Lock {
  const write = (change: Partial<Claim>) => {
    // Two that found the same stale file at the same instant both believe the claim is theirs; this check tells the one that lost.
    if (read(path)?.id !== mine.id) throw new Error(`Another instance of Sluice has just started with this state directory (${path}).`);
    Object.assign(mine, change);
    renameSync(draft(path, mine), path);
  };
  return {
    record: (pid) => write({ pid }),
    update: (port) => write({ port }),
    release: () => {
      if (read(path)?.id === mine.id) rmSync(path, { force: true });
    },
  };
}

/** Returns once nothing runs on the claim any more. */
async function evict(held: Claim, state: string): Promise<void> {
  const { pid } = held;
  if (pid === null) {
    const fresh = Date.now() - held.startedAt < CLAIM_MS && inspect(held.parent) !== null;
    if (fresh) throw new Error(`Another instance of Sluice is starting with this state directory (pid ${held.parent}, ${state}).`);
    return;
  }
  const found = inspect(pid);
  // By now, any process may have that id; ours has the directory in its command line.
  if (found === null || !found.command.includes("workerd") || !found.command.includes(`=${join(state, "objects")} `)) return;
  if (!killed.has(pid)) {
    if (found.parent === held.parent) {
      const port = held.port === null ? "" : `port ${held.port}, `;
      throw new Error(`Sluice is already running with this state directory (pid ${pid}, ${port}${state}).`);
    }
    process.kill(pid, "SIGKILL");
  }
  for (const end = Date.now() + GONE_MS; inspect(pid) !== null; ) {
    if (Date.now() > end) throw new Error(`An earlier workerd (pid ${pid}) with this state directory does not exit.`);
    await sleep(10);
  }
  killed.delete(pid);
}

/** Creates the file with its content or not at all: linking fails if the path already exists. */
function create(path: string, content: Claim): boolean {
  const source = draft(path, content);
  try {
    linkSync(source, path);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") return false;
    throw error;
  } finally {
    rmSync(source, { force: true });
  }
}

function draft(path: string, content: Claim): string {
  const source = `${path}.${content.id}`;
  writeFileSync(source, `${JSON.stringify(content)}\n`);
  return source;
}

function read(path: string): Claim | null {
  try {
    return JSON.parse(readFileSync(path, "utf8"));
  } catch {
    return null; // gone, or not written by us
  }
}
