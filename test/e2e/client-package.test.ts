import { execFile, spawn } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect, onTestFinished, test } from "vitest";
import { job, submit, until } from "./support/client.ts";
import { pools, startService, stateDirectory } from "./support/service.ts";

const root = join(import.meta.dirname, "../..");
const run = promisify(execFile);

/** Sets up somebody else's program: a directory of its own, with the packed client and nothing more. */
async function install(): Promise<string> {
  const directory = stateDirectory();
  const packed = await run("npm", ["pack", join(root, "client"), "--pack-destination", directory, "--json"], { cwd: root });
  const { filename } = (JSON.parse(packed.stdout) as { filename: string }[])[0]!;
  writeFileSync(join(directory, "package.json"), '{ "private": true, "type": "module" }');
  await run("npm", ["install", "--offline", "--no-audit", "--no-fund", `./${filename}`], { cwd: directory });
  return directory;
}

function exampleOf(readme: string, block: RegExp): string {
  return block.exec(readFileSync(join(root, readme), "utf8"))![1]!;
}

test("the packed client, installed offline -> the examples of both READMEs run in plain Node, and its types need nothing else", async () => {
  const directory = await install();
  const { url } = await startService();
  const example = exampleOf("client/README.md", /```js\n([\s\S]*?)```/);
  writeFileSync(join(directory, "example.js"), example.replace("http://127.0.0.1:8787", url));
  const { stdout, stderr } = await run(process.execPath, ["example.js"], { cwd: directory, timeout: 60_000 });
  const [same, ...jobs] = stdout.trim().split("\n");
  expect(same).toBe("true");
  expect(new Set(jobs).size).toBe(20);
  expect(jobs.every((id) => id.startsWith("job_"))).toBe(true);
  expect(stderr).toBe("");

  const short = exampleOf("README.md", /```js\n(import [\s\S]*?)```/);
  writeFileSync(join(directory, "short.js"), short.replace("http://127.0.0.1:8787", url));
  expect((await run(process.execPath, ["short.js"], { cwd: directory, timeout: 60_000 })).stdout.length).toBeGreaterThan(10);

  writeFileSync(join(directory, "typed.ts"), TYPED);
  const strict = ["--ignoreConfig", "--noEmit", "--strict", "--exactOptionalPropertyTypes", "--skipLibCheck", "false", "--types", ""];
  const platform = ["--target", "ES2024", "--module", "NodeNext", "--lib", "ES2024,DOM"];
  const compiler = join(root, "node_modules/typescript/bin/tsc");
  await run(process.execPath, [compiler, ...strict, ...platform, "typed.ts"], { cwd: directory }).catch(({ stdout: said }) => {
    throw new Error(said);
  });
});

test("the README's WebSocket, in plain Node -> it is told an answer many windows long to its end, for it acks what it has dealt with", async () => {
  const limits = { rpm: 1_000_000, tpm: 1_000_000_000 };
  const simulator = JSON.stringify({ speed: 0, limits: { "gpt-5-mini*": limits } });
  const service = await startService({ vars: { SLUICE_POOLS: pools(limits), SIMULATOR_SETTINGS: simulator } });
  const example = exampleOf("README.md", /```js\n(const socket [\s\S]*?)```/);
  const file = join(stateDirectory(), "socket.js");
  // Printed by the example's own socket once its subscription is confirmed.
  const announce = 'socket.addEventListener("message", ({ data }) => JSON.parse(data).type === "subscribed" && console.log("subscribed"));';
  writeFileSync(file, `${example.replace("ws://127.0.0.1:8787", service.url.replace("http", "ws"))}${announce}`);
  const child = spawn(process.execPath, [file]);
  onTestFinished(() => void child.kill());
  let output = "";
  child.stdout.on("data", (text) => {
    output += text;
  });
  await until("the subscription", async () => output.includes("subscribed"));
  const metadata = { simulate_tokens: "8000" };
  const { id } = await submit(service, job({ channel: "demo" }, { max_completion_tokens: 8_000, metadata }));
  await until("the end", async () => output.includes(" completed "));
  expect(output).toMatch(new RegExp(`^${id} \\d+ completed `, "m"));
});

/** A `@ts-expect-error` without an error fails to compile: the types would then check nothing. */
const TYPED = `import { type Event, isEnd, type Job, type JobInput, RateLimitError, Sluice, textOf } from "sluice-client";
const messages = [{ role: "user", content: "Hello." }];
export const input: JobInput = { request: { model: "m", messages, temperature: 1 }, channel: null, retry: "safe", metadata: { a: "b" } };
// @ts-expect-error: no such field
export const misspelt: JobInput = { request: { model: "m", messages }, chanel: "x" };
// @ts-expect-error: no such policy
export const policy: JobInput = { request: { model: "m", messages }, retry: "perhaps" };
// @ts-expect-error: no model
export const without: JobInput = { request: { messages } };
const sluice = new Sluice({ url: "", token: async () => "t" });
export const job: Promise<Job> = sluice.submit(input, { signal: AbortSignal.timeout(1) });
export async function read(): Promise<string> {
  let text = "";
  for await (const event of sluice.stream("job_1", { after: 3 })) {
    text += textOf(event);
    if (event.event === "position") text += event.data.position.toFixed();
    if (isEnd(event)) text += event.data.status;
    // @ts-expect-error: no such event
    if (event.event === "done") break;
  }
  return text;
}
export const wait = (error: unknown, _event: Event): number | null => (error instanceof RateLimitError ? error.retryAfter : null);
`;
