import { execFile } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { startService, stateDirectory } from "./support/service.ts";

const root = join(import.meta.dirname, "../..");
const run = promisify(execFile);

/** A program of somebody else's, in a directory of its own, with the packed client and nothing more. */
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

/** Each `@ts-expect-error` fails if there is none: the types would then say nothing. */
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
