/**
 * `npm run deploy`: checks what a deployment needs, then runs `wrangler deploy` with the arguments given.
 * `-- --check` only checks; `-- --with-simulator` deploys without an OpenAI account behind it.
 */
import { spawn } from "node:child_process";
import { createRequire } from "node:module";
import { join } from "node:path";
import { notes, problems } from "./readiness.ts";
import { bundle, wrangler } from "./runtime.ts";
import { fail } from "./serve.ts";

const root = join(import.meta.dirname, "..");
const config = join(root, "wrangler.toml");
const own = ["--check", "--with-simulator"];
const given = process.argv.slice(2);
const simulated = given.includes("--with-simulator");
const passed = [...given.filter((argument) => !own.includes(argument)), ...(simulated ? ["--var", "SLUICE_SIMULATOR:1"] : [])];

try {
  const { vars } = await bundle(config, passed);
  const stored = await storedSecrets();
  const found = problems({ vars, stored, withSimulator: simulated });
  if (found.length > 0) throw new Error(`Not ready to deploy:\n${found.map((problem) => `  - ${problem}`).join("\n")}`);
  for (const note of notes({ vars, stored })) console.log(note);
  console.log("Ready to deploy.");
  if (!given.includes("--check")) deploy();
} catch (error) {
  fail(error);
}

/** @returns the names of the stored secrets; their values stay with Cloudflare. */
async function storedSecrets(): Promise<string[] | Error> {
  try {
    const listed = await wrangler(["secret", "list", "--format", "json", "--config", config, ...target(passed)]);
    return (JSON.parse(listed) as { name: string }[]).map(({ name }) => name);
  } catch (error) {
    return error as Error;
  }
}

/** The arguments that select a Worker. */
function target(args: readonly string[]): string[] {
  const chosen: string[] = [];
  for (const [n, argument] of args.entries()) {
    if (/^(--env|-e|--name)$/.test(argument)) chosen.push(argument, args[n + 1] ?? "");
    else if (/^--(env|name)=/.test(argument)) chosen.push(argument);
  }
  return chosen;
}

function deploy(): void {
  const cli = createRequire(import.meta.url).resolve("wrangler");
  const child = spawn(process.execPath, ["--no-warnings", cli, "deploy", "--config", config, ...passed], { stdio: "inherit", cwd: root });
  child.on("exit", (code) => {
    process.exitCode = code ?? 1;
  });
}
