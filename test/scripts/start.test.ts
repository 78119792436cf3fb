import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { join } from "node:path";
import { afterEach, describe, expect, test } from "vitest";
import { directory, until } from "./toy.ts";

/** It takes two seconds on an idle machine, because it bundles. */
const UP_SECONDS = 12;
const root = join(import.meta.dirname, "../..");
let child: ChildProcess | null = null;
let said = "";

function npmStart(environment: Record<string, string>): Promise<number | null> {
  said = "";
  const env = { PATH: process.env.PATH, PORT: "0", SLUICE_STATE: directory(), ...environment };
  const started = spawn(process.execPath, [join(root, "scripts/start.ts")], { env, cwd: root });
  for (const stream of [started.stdout, started.stderr]) {
    stream.setEncoding("utf8").on("data", (text: string) => {
      said += text;
    });
  }
  child = started;
  return new Promise((done) => started.once("exit", done));
}

afterEach(() => {
  child?.kill("SIGKILL");
});

describe("npm start", () => {
  test("prints a line that works when pasted, and ends in order", async () => {
    const ended = npmStart({ SIMULATOR_SETTINGS: '{"speed":0}' });
    await until(() => /curl .*\n/.test(said), UP_SECONDS);
    const [line] = /curl .*/.exec(said) ?? [];
    expect(JSON.parse(execFileSync("sh", ["-c", line!], { encoding: "utf8" }))).toMatchObject({ object: "job", model: "gpt-5-mini" });
    child?.kill("SIGTERM");
    expect(await ended).toBe(0);
  }, 20_000);

  test("shows no key, and Ctrl-C ends it with 130", async () => {
    const ended = npmStart({ OPENAI_API_KEY: "sk-very-secret", OPENAI_BASE_URL: "http://127.0.0.1:9/v1" });
    await until(() => said.includes("Sluice is up"), UP_SECONDS);
    expect(said).not.toContain("sk-very-secret");
    child?.kill("SIGINT");
    expect(await ended).toBe(130);
  }, 20_000);

  test("kill -9 of npm does not leave it behind", async () => {
    said = "";
    // As npm does on Debian: with a shell between npm and the script.
    const npm = spawn("sh", ["-c", '"$0" -c "$1 scripts/start.ts; exit" & wait', "sh", process.execPath], {
      env: { PATH: process.env.PATH, PORT: "0", SLUICE_STATE: directory(), npm_lifecycle_event: "start" },
      cwd: root,
    });
    npm.stdout.setEncoding("utf8").on("data", (text: string) => {
      said += text;
    });
    await until(() => said.includes("Sluice is up"), UP_SECONDS);
    const [, url] = /jobs\s+(\S+)\/v1\/jobs/.exec(said) ?? [];
    npm.kill("SIGKILL");
    await until(() =>
      fetch(`${url}/healthz`).then(
        () => false,
        () => true,
      ),
    );
  }, 20_000);

  test("a setting that is wrong is one line and exit code 1", async () => {
    expect(await npmStart({ SLUICE_POOLS: "{" })).toBe(1);
    expect(said).toBe("sluice: SLUICE_POOLS is not valid JSON.\n");
  }, 20_000);

  test("a state directory that cannot be made is one line and exit code 1", async () => {
    expect(await npmStart({ SLUICE_STATE: "/proc/x" })).toBe(1);
    expect(said).toMatch(/^sluice: The state directory \/proc\/x cannot be created \(E[A-Z]+\): set SLUICE_STATE to another path\.\n$/);
  }, 20_000);
});
