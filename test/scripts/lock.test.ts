import { spawn } from "node:child_process";
import { chmodSync, existsSync, mkdirSync, readFileSync, realpathSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";
import { expect, test } from "vitest";
import { configText, moduleFile } from "../../scripts/runtime/config.ts";
import { inspect } from "../../scripts/runtime/processes.ts";
import { directory, json, start, toy, until } from "./toy.ts";

const binary: string = createRequire(import.meta.url)("workerd").default;
const lockOf = (state: string) => join(state, "runtime.json");

test("a state that a live Sluice holds is refused, and nothing of it is touched", async () => {
  const state = directory();
  const first = await start({ state });
  await expect(start({ state })).rejects.toThrow(
    `Sluice is already running with this state directory (pid ${first.pid}, port ${first.port}`,
  );
  expect(await json(first, "/write?text=still")).toEqual(["still"]);
  await first.stop();
  expect(existsSync(lockOf(state))).toBe(false);
  expect(await json(await start({ state }), "/read")).toEqual(["still"]);
});

test("a state that a live Sluice holds is refused under another name of its directory as well", async () => {
  const state = directory();
  const link = `${state}-link`;
  symlinkSync(state, link);
  await start({ state });
  await expect(start({ state: link })).rejects.toThrow("Sluice is already running with this state directory");
  rmSync(link);
});

test("a state that is held by a Sluice that does not listen yet is refused without a port", async () => {
  const state = realpathSync(directory());
  const { pid } = await start({ state });
  writeFileSync(lockOf(state), JSON.stringify({ ...JSON.parse(readFileSync(lockOf(state), "utf8")), port: null }));
  await expect(start({ state })).rejects.toThrow(`Sluice is already running with this state directory (pid ${pid}, ${state}).`);
});

test.each(["an empty lock file", "no lock file"])("a state that can only be read, with %s, is refused by its name", async (kind) => {
  const state = realpathSync(directory());
  mkdirSync(join(state, "objects"));
  if (kind === "an empty lock file") writeFileSync(lockOf(state), "");
  chmodSync(state, 0o555);
  const isRoot = process.geteuid?.() === 0;
  if (isRoot) process.seteuid?.(65_534); // root may write anywhere
  try {
    await expect(start({ state })).rejects.toThrow(
      `The state directory ${state} cannot be written (EACCES): set SLUICE_STATE to another path.`,
    );
  } finally {
    if (isRoot) process.seteuid?.(0);
    chmodSync(state, 0o755);
  }
});

test("of two that start at once, one gets the state", async () => {
  const state = directory();
  const outcomes = await Promise.allSettled([start({ state }), start({ state })]);
  expect(outcomes.map(({ status }) => status).sort()).toEqual(["fulfilled", "rejected"]);
});

test("an orphan is killed before its state is taken over", async () => {
  const state = directory();
  const orphan = await abandon(state);
  expect(inspect(orphan.pid)).not.toBeNull();
  const runtime = await start({ state });
  expect(inspect(orphan.pid)).toBeNull();
  expect(JSON.parse(readFileSync(lockOf(state), "utf8"))).toMatchObject({ pid: runtime.pid, port: runtime.port, parent: process.pid });
});

test("a lock whose process id is somebody else's by now is stale", async () => {
  const state = directory();
  const bystander = spawn("sleep", ["30"]);
  writeFileSync(lockOf(state), JSON.stringify({ id: "x", parent: 1, pid: bystander.pid, port: 1, startedAt: 1 }));
  await start({ state });
  expect(inspect(bystander.pid!)).not.toBeNull();
  bystander.kill();
});

test.each(["", "{", "null"])("a lock that reads %j is stale", async (content) => {
  const state = directory();
  writeFileSync(lockOf(state), content);
  await start({ state });
});

test("workerd dies with a script that is killed by -9", async () => {
  const state = directory();
  writeFileSync(join(state, "bundle.json"), JSON.stringify({ ...toy(), modules: [] }));
  const runtime = pathToFileURL(join(import.meta.dirname, "../../scripts/runtime.ts")).href;
  const source = Buffer.from(toy().modules[0]!.body).toString("base64");
  const script = `import { launch } from ${JSON.stringify(runtime)};
    const modules = [{ name: "index.js", kind: "esModule", body: Buffer.from("${source}", "base64") }];
    const bundle = { ...${JSON.stringify({ ...toy(), modules: [] })}, modules };
    console.log((await launch({ bundle, port: 0, state: ${JSON.stringify(state)}, vars: {} })).pid);`;
  const parent = spawn(process.execPath, ["--input-type=module", "-e", script], { stdio: ["ignore", "pipe", "inherit"] });
  const pid = Number(await firstLine(parent.stdout));
  expect(inspect(pid)).not.toBeNull();
  parent.kill("SIGKILL");
  await until(() => inspect(pid) === null);
  await start({ state });
});

/** A workerd on this state, started by a shell that has since ended, with the lock that names both of them. */
async function abandon(state: string): Promise<{ pid: number }> {
  const bundle = toy();
  mkdirSync(join(state, "objects"));
  writeFileSync(join(state, "config.capnp"), configText(bundle, {}));
  writeFileSync(join(state, moduleFile(0)), bundle.modules[0]!.body);
  const args = [binary, "serve", "--socket-addr=http=127.0.0.1:0", `--directory-path=objects=${state}/objects`, `${state}/config.capnp`];
  const shell = spawn("sh", ["-c", '"$@" >/dev/null 2>&1 & echo $!', "sh", ...args], { stdio: ["ignore", "pipe", "inherit"] });
  const pid = Number(await firstLine(shell.stdout));
  await until(() => inspect(pid) !== null && inspect(shell.pid!) === null);
  writeFileSync(lockOf(state), JSON.stringify({ id: "x", parent: shell.pid, pid, port: 1, startedAt: 1 }));
  return { pid };
}

async function firstLine(stream: NodeJS.ReadableStream): Promise<string> {
  for await (const line of createInterface(stream)) return line;
  throw new Error("It said nothing.");
}
