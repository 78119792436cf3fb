import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, afterEach } from "vitest";
import { type Bundle, type LaunchOptions, launch, type Runtime } from "../../scripts/runtime.ts";

const SOURCE = `
import { DurableObject } from "cloudflare:workers";
export class Thing extends DurableObject {
  constructor(ctx, env) {
    super(ctx, env);
    ctx.storage.sql.exec("CREATE TABLE IF NOT EXISTS note (text TEXT)");
  }
  write(text) { this.ctx.storage.sql.exec("INSERT INTO note VALUES (?)", text); }
  read() { return this.ctx.storage.sql.exec("SELECT text FROM note").toArray().map((row) => row.text); }
  arm(ms) { return this.ctx.storage.setAlarm(Date.now() + ms); }
  alarm() { this.write("alarm of " + this.ctx.id.name); }
}
export default {
  async fetch(request, env) {
    const { pathname, searchParams } = new URL(request.url);
    const thing = env.THING.getByName("one");
    if (pathname === "/healthz") return new Response("ok");
    if (pathname === "/env") return Response.json(Object.entries(env).filter(([, value]) => typeof value === "string"));
    if (pathname === "/write") await thing.write(searchParams.get("text"));
    if (pathname === "/arm") await thing.arm(Number(searchParams.get("ms")));
    return Response.json(await thing.read());
  },
};`;

/** A hand-made Worker, so that only the test of bundling pays for bundling. */
export function toy(source = SOURCE): Bundle {
  return {
    modules: [{ name: "index.js", kind: "esModule", body: Buffer.from(source) }],
    compatibilityDate: "2026-10-01",
    compatibilityFlags: [],
    vars: {},
    durableObjects: [{ binding: "THING", className: "Thing" }],
  };
}

const running = new Set<Runtime>();
const directories: string[] = [];

export async function start(options: Partial<LaunchOptions> = {}): Promise<Runtime> {
  const runtime = await launch({ bundle: toy(), port: 0, state: null, vars: {}, ...options });
  running.add(runtime);
  return runtime;
}

export function directory(): string {
  const path = mkdtempSync(join(tmpdir(), "sluice-test-"));
  directories.push(path);
  return path;
}

/** Bounded: a condition that never holds fails the test. */
export async function until(condition: () => boolean | Promise<boolean>, seconds = 30): Promise<void> {
  for (const end = Date.now() + seconds * 1000; Date.now() < end; ) {
    if (await condition()) return;
    // In real time: this looks at separate processes, whose clock cannot be moved.
    await sleep(25);
  }
  throw new Error(`It did not come to pass within ${seconds} s.`);
}

export async function json<T>(runtime: { url: string }, path: string): Promise<T> {
  return (await (await fetch(runtime.url + path)).json()) as T;
}

afterEach(async () => {
  for (const runtime of running) runtime.kill();
  await Promise.all([...running].map(({ exited }) => exited));
  running.clear();
});

afterAll(() => {
  for (const path of directories) rmSync(path, { recursive: true, force: true });
});
