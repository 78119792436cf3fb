import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { delimiter, dirname, join, resolve } from "node:path";

export type Module = { name: string; kind: "esModule" | "commonJsModule" | "text" | "json" | "data" | "wasm"; body: Uint8Array };
export type Variable = { kind: "text" | "json" | "secret"; value: string };

/** What `wrangler deploy` would upload. The first module is the main one. */
export type Bundle = {
  modules: Module[];
  compatibilityDate: string;
  compatibilityFlags: string[];
  vars: Record<string, Variable>;
  durableObjects: { binding: string; className: string }[];
};

type Binding = { name: string; type: string; text?: string; json?: unknown; class_name?: string; script_name?: string };
type Metadata = { main_module: string; bindings: Binding[]; compatibility_date: string; compatibility_flags?: string[] };

const KINDS: Record<string, Module["kind"]> = {
  "application/javascript+module": "esModule",
  "application/javascript": "commonJsModule",
  "application/json": "json",
  "application/octet-stream": "data",
  "application/wasm": "wasm",
  "text/plain": "text",
};

/**
 * Bundles the Worker of a wrangler.toml. `--outfile` makes wrangler write exactly the form that it would upload: code, module types, bindings and compatibility
 * settings in one, so the toml need not be parsed again here.
 * Takes 1.0 to 1.5 s, of which wrangler's own start is 0.7; a cache is not worth a stale bundle.
 */
export async function bundle(config: string, wranglerArguments: readonly string[] = []): Promise<Bundle> {
  const directory = await mkdtemp(join(tmpdir(), "sluice-bundle-"));
  try {
    const file = join(directory, "worker.form");
    const path = resolve(config);
    // wrangler keeps its settings in the home directory, which a service's user may not have. A dry run needs none of them.
    const home = { HOME: directory, XDG_CONFIG_HOME: directory };
    // wrangler runs the build command of a wrangler.toml in its own working directory.
    const cwd = dirname(path);
    await wrangler(["deploy", "--dry-run", "--outfile", file, "--config", path, ...wranglerArguments], cwd, home).catch((error) => {
      throw refused(error, cwd);
    });
    return await readForm(await readFile(file));
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

/** What wrangler, or the build command, says of a path that it has no permission for. */
const REFUSED = /\b(?:EACCES|EPERM|EROFS)\b[^'\n]*'([^'\n]+)'|Affected path: ([^\n"'\\]+)/;

/** One line instead of wrangler's hundred, if a path refused it; otherwise the error itself. */
function refused(error: Error, cwd: string): Error {
  const [, named, affected] = REFUSED.exec(error.message) ?? [];
  const path = named ?? affected?.trim();
  if (path === undefined) return error;
  const remedy = `Building writes in ${cwd}: let this user write there, or start from a copy that this user owns.`;
  return new Error(`The Worker cannot be built: no permission for ${path}. ${remedy}`);
}

/** @returns the standard output of wrangler, run in `cwd`. @throws with all of its output, if it fails. */
export function wrangler(args: readonly string[], cwd = process.cwd(), environment: NodeJS.ProcessEnv = {}): Promise<string> {
  // The package's main file is also its command line; its `bin` would only start a second Node around it.
  const cli = createRequire(import.meta.url).resolve("wrangler");
  return new Promise((done, fail) => {
    const options = { cwd, env: { ...process.env, ...QUIET, PATH, ...environment }, maxBuffer: 64 * 1024 * 1024 };
    const child = execFile(process.execPath, ["--no-warnings", cli, ...args], options, (error, stdout, stderr) => {
      if (error === null) done(stdout);
      else fail(new Error(`wrangler ${args[0]} failed:\n${[stderr, stdout].join("\n").trim() || error.message}`));
    });
    child.stdin?.end();
  });
}

/** The banner looks for a newer version on the network, which must not be required. */
const QUIET = { WRANGLER_HIDE_BANNER: "true", WRANGLER_SEND_METRICS: "false", WRANGLER_WRITE_LOGS: "false", NO_COLOR: "1" };
/** Puts this Node, which strips types, first for wrangler's build commands; the machine's own may be older. */
const PATH = [dirname(process.execPath), process.env.PATH].join(delimiter);

async function readForm(bytes: Buffer): Promise<Bundle> {
  const boundary = bytes.subarray(2, bytes.indexOf("\r\n")).toString("latin1");
  const form = await new Response(new Uint8Array(bytes), {
    headers: { "content-type": `multipart/form-data; boundary=${boundary}` },
  }).formData();
  const metadata: Metadata = JSON.parse(String(form.get("metadata")));
  const modules: Module[] = [];
  for (const [name, part] of form) {
    if (typeof part === "string" || part.type === "application/source-map") continue;
    const kind = KINDS[part.type];
    if (kind === undefined) throw new Error(`The local runner does not support modules of type ${part.type} (${name}).`);
    // workerd resolves "./x" to the module called "x".
    modules.push({ name: name.replace(/^\.\//, ""), kind, body: new Uint8Array(await part.arrayBuffer()) });
  }
  modules.sort((a, b) => Number(b.name === metadata.main_module) - Number(a.name === metadata.main_module));
  return {
    modules,
    compatibilityDate: metadata.compatibility_date,
    compatibilityFlags: metadata.compatibility_flags ?? [],
    ...readBindings(metadata.bindings),
  };
}

function readBindings(bindings: Binding[]): Pick<Bundle, "vars" | "durableObjects"> {
  const vars: Bundle["vars"] = {};
  const durableObjects: Bundle["durableObjects"] = [];
  for (const { name, type, text, json, class_name, script_name } of bindings) {
    if (type === "plain_text") vars[name] = { kind: "text", value: text ?? "" };
    else if (type === "secret_text") vars[name] = { kind: "secret", value: text ?? "" };
    else if (type === "json") vars[name] = { kind: "json", value: JSON.stringify(json) };
    else if (type === "durable_object_namespace" && class_name !== undefined && script_name === undefined) {
      durableObjects.push({ binding: name, className: class_name });
    } else throw new Error(`The local runner does not support bindings of type ${type} (${name}).`);
  }
  return { vars, durableObjects };
}
