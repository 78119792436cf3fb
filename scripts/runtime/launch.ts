import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, realpathSync, rmSync, statSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import type { Readable } from "node:stream";
import type { Bundle, Variable } from "./bundle.ts";
import { configText, moduleFile, OBJECTS, SOCKET } from "./config.ts";
import { openFront } from "./front.ts";
import { claim, type Lock, markKilled } from "./lock.ts";
import { tieToThisProcess } from "./processes.ts";
import { healthy, listening, within } from "./ready.ts";

export type LaunchOptions = {
  bundle: Bundle;
  /** 0 takes a free one. */
  port: number;
  host?: string;
  /** Tells workerd when clients close their connections; costs a hop. Without it, workerd listens itself. */
  front?: boolean;
  /** null: a temporary directory, removed when workerd has ended. */
  state: string | null;
  /** Override those of the bundle; always text. */
  vars: Record<string, string>;
  /** Show what the Worker prints. */
  inherit?: boolean;
  /** A path that answers 200 once the service is up; null: it is up once its port is open. */
  health?: string | null;
  /** How long to wait for that 200. */
  patienceMs?: number;
};

export type Runtime = {
  url: string;
  port: number;
  pid: number;
  /** SIGTERM, then SIGKILL. */
  stop(): Promise<void>;
  /** SIGKILL at once, as a crash would. */
  kill(): void;
  /** workerd's exit code; null if a signal ended it. */
  exited: Promise<number | null>;
};

/** workerd's output: while it starts, kept for a possible error; shown only once it is up. */
type Output = { errors(): string; show(): void };

/** From spawn to healthy takes 0.05 to 0.2 s; a cold disk or a busy machine takes longer. */
const READY_MS = 30_000;
/** At SIGTERM, workerd waits for open connections. There is no state to save, so do not wait long. */
const STOP_MS = 2_000;
const STDERR_KEPT = 16_384;

/** @throws if the port is taken, the state is in use or cannot be created or written, or the Worker does not come up. */
export async function launch(options: LaunchOptions): Promise<Runtime> {
  const temporary = options.state === null;
  const state = temporary ? mkdtempSync(join(tmpdir(), "sluice-state-")) : resolve(options.state ?? "");
  let lock: Lock | null = null;
  const ended = () => {
    lock?.release();
    if (temporary) rmSync(state, { recursive: true, force: true });
  };
  try {
    makeState(state);
    // Two paths to one directory are the same state: the lock goes by the real path.
    const real = realpathSync(state);
    lock = await claimState(real);
    return await run(options, real, lock, ended);
  } catch (error) {
    ended();
    throw error;
  }
}

function makeState(state: string): void {
  try {
    makeDirectory(join(state, OBJECTS));
  } catch (error) {
    throw unusable(state, "created", error as NodeJS.ErrnoException);
  }
}

async function claimState(state: string): Promise<Lock> {
  try {
    return await claim(state);
  } catch (error) {
    // Only the file system gives its errors a code.
    throw error instanceof Error && "code" in error ? unusable(state, "written", error as NodeJS.ErrnoException) : error;
  }
}

function unusable(state: string, how: "created" | "written", { code }: NodeJS.ErrnoException): Error {
  return new Error(`The state directory ${state} cannot be ${how} (${code}): set SLUICE_STATE to another path.`);
}

/**
 * Creates a directory with its parents. Node's own `recursive` loops for ever if a parent does not accept directories and claims not to exist, as /proc does.
 */
function makeDirectory(path: string): void {
  try {
    mkdirSync(path);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "EEXIST" && statSync(path, { throwIfNoEntry: false })?.isDirectory()) return;
    if (code !== "ENOENT" || existsSync(dirname(path))) throw error;
    makeDirectory(dirname(path));
    mkdirSync(path);
  }
}

async function run(options: LaunchOptions, state: string, lock: Lock, ended: () => void): Promise<Runtime> {
  const { host = "127.0.0.1", port, health = "/healthz", inherit = false } = options;
  const inner = Promise.withResolvers<number>();
  inner.promise.catch(() => {}); // without a front, nobody awaits it
  const front = options.front
    ? await openFront(host, port, inner.promise).catch((error) => Promise.reject(taken(error, host, port)))
    : null;
  const config = writeConfig(options.bundle, options.vars);
  const child = spawnWorkerd(config, front ? "127.0.0.1:0" : address(host, port), state);
  const exited = new Promise<number | null>((done) => {
    child.once("error", () => done(null));
    child.once("exit", done);
  }).finally(() => {
    front?.close();
    ended();
  });
  const output = collect(child);
  // Its last words may still be in the pipe after it exits.
  const silent = new Promise<void>((done) => {
    child.once("error", () => done());
    child.once("close", () => done());
  });
  const discardConfig = () => rmSync(config, { recursive: true, force: true });
  const kill = () => {
    if (child.pid !== undefined) markKilled(child.pid);
    child.kill("SIGKILL");
  };
  try {
    if (child.pid !== undefined) {
      lock.record(child.pid);
      tieToThisProcess(child);
    }
    const early = exited.then(async (code) => {
      await silent;
      throw explain(code, output.errors(), host, port);
    });
    inner.resolve(await within(READY_MS, "workerd to listen", listening(child.stdio[3] as Readable, SOCKET), early));
    const listensAt = front?.port ?? (await inner.promise);
    discardConfig();
    lock.update(listensAt);
    const url = `http://${address(reachable(host), listensAt)}`;
    if (health !== null) await Promise.race([healthy(url + health, options.patienceMs ?? READY_MS), early]);
    if (inherit) output.show();
    return { url, port: listensAt, pid: child.pid!, stop: () => stop(child, exited), kill, exited };
  } catch (error) {
    inner.reject(error);
    kill();
    await exited;
    throw error;
  } finally {
    discardConfig();
  }
}

/** The configuration contains secrets, so it goes into a private directory that is removed once workerd listens. A command line is readable by anybody. */
function writeConfig(bundle: Bundle, given: Record<string, string>): string {
  const directory = mkdtempSync(join(tmpdir(), "sluice-config-"));
  const vars: Record<string, Variable> = { ...bundle.vars };
  for (const [name, value] of Object.entries(given)) {
    // An unchanged value keeps its kind: a table in wrangler.toml stays an object.
    if (vars[name]?.value !== value) vars[name] = { kind: "text", value };
  }
  writeFileSync(join(directory, "config.capnp"), configText(bundle, vars), { mode: 0o600 });
  for (const [n, { body }] of bundle.modules.entries()) writeFileSync(join(directory, moduleFile(n)), body, { mode: 0o600 });
  return directory;
}

function spawnWorkerd(config: string, listen: string, state: string): ChildProcess {
  const binary: string = createRequire(import.meta.url)("workerd").default;
  const args = ["serve", `--socket-addr=${SOCKET}=${listen}`, `--directory-path=${OBJECTS}=${join(state, "objects")}`, "--control-fd=3"];
  // Detached: Ctrl-C in a terminal reaches a whole process group, but it is the script that must end workerd in order.
  return spawn(binary, [...args, join(config, "config.capnp")], { stdio: ["ignore", "pipe", "pipe", "pipe"], detached: true });
}

/** Reads both streams to their end, because a full pipe would block workerd. */
function collect(child: ChildProcess): Output {
  let last = "";
  let shown = false;
  child.stdout?.on("data", (bytes: Buffer) => shown && process.stdout.write(bytes));
  child.stderr?.setEncoding("utf8").on("data", (text: string) => {
    last = (last + text).slice(-STDERR_KEPT);
    if (shown) process.stderr.write(text);
  });
  return {
    errors: () => last.trim(),
    show: () => {
      shown = true;
      process.stderr.write(last);
    },
  };
}

function taken(error: NodeJS.ErrnoException, host: string, port: number): Error {
  return error.code === "EADDRINUSE" ? new Error(`Port ${port} on ${host} is already in use: set PORT to another.`) : error;
}

function explain(code: number | null, errors: string, host: string, port: number): Error {
  if (/address already in use/i.test(errors)) return new Error(`Port ${port} on ${host} is already in use: set PORT to another.`);
  return new Error(`workerd ended before it was ready (${code === null ? "killed by a signal" : `exit code ${code}`}).\n${errors}`);
}

async function stop(child: ChildProcess, exited: Promise<number | null>): Promise<void> {
  child.kill("SIGTERM");
  const timer = setTimeout(() => child.kill("SIGKILL"), STOP_MS);
  await exited;
  clearTimeout(timer);
}

function address(host: string, port: number): string {
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}

/** "Every interface" is an address to listen on, not one to call. */
function reachable(host: string): string {
  if (host === "0.0.0.0" || host === "*") return "127.0.0.1";
  return host === "::" ? "::1" : host;
}
