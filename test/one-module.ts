/**
 * The service as a few modules instead of some six hundred. Each test file has a runtime of its own, which requests every module
 * separately, with its source map: that is three quarters of what a short test costs.
 *
 * Each module of the service becomes a list of its exports, and its code goes into one module with all the others. So a test that imports
 * it gets what the objects run, and `vi.spyOn` on a class works there too; `vi.mock` of one of these modules does not, and no test needs it.
 */
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { type OutputChunk, rolldown } from "rolldown";
import type { Plugin } from "vitest/config";

const ROOT = join(import.meta.dirname, "..");
const ROOMS = ["workers", "durable-objects", "platform", "policy", "schemas"];
/** Packages that tests import themselves, besides the service. */
const PACKAGES = ["eventsource-parser", "eventsource-parser/stream", "jose", "openai"];
/** Export conditions, as the plugin for the Workers runtime sets them in Vite. */
const CONDITIONS = ["workerd", "worker", "module", "browser", "import", "default"];
/** For packages: nobody follows a stack trace into them. */
const NO_MAP = { mappings: "" } as const;

export function oneModule(): Plugin {
  let built: ReturnType<typeof build> | undefined;
  let bypassed = false;
  const chunks = () => {
    if (bypassed) return;
    built ??= build();
    return built;
  };
  return {
    name: "one-module",
    enforce: "pre",
    // Watching, and running only the tests of what changed, need each module as it is now, and its importers.
    configureVitest({ vitest: { config } }) {
      bypassed = config.watch || Boolean(config.changed) || Boolean(config.related);
    },
    async resolveId(source) {
      return source.startsWith("./") ? (await chunks())?.shared.get(source) : undefined;
    },
    async load(id) {
      const chunk = (await chunks())?.byId.get(id);
      if (!chunk) return;
      return { code: chunk.code, map: chunk.name === "service" ? chunk.map : NO_MAP };
    },
  };
}

/** `byId`: the chunks, by the file that each stands for. `shared`: the paths of chunks that others import, by the name they import. */
async function build() {
  const files = ROOMS.flatMap((room) => readdirSync(join(ROOT, room), { recursive: true }).map((path) => join(ROOT, room, String(path))));
  const input = [...files.filter((path) => path.endsWith(".ts")), ...PACKAGES];
  const bundle = await rolldown({
    cwd: ROOT,
    input: Object.fromEntries(input.map((path, n) => [`entry-${n}`, path])),
    external: [/^cloudflare:/, /^node:/],
    platform: "browser",
    resolve: { conditionNames: CONDITIONS },
  });
  const groups = [
    { name: "packages", test: /\/node_modules\//, priority: 1 },
    { name: "service", test: /./ },
  ];
  // Nothing is written: `dir` is what the paths in the source map are relative to.
  const { output } = await bundle.generate({ dir: ROOT, sourcemap: "hidden", comments: false, codeSplitting: { groups } });
  await bundle.close();
  const byId = new Map<string, OutputChunk>();
  const shared = new Map<string, string>();
  for (const chunk of output) {
    if (chunk.type !== "chunk") continue;
    const path = join(ROOT, chunk.fileName);
    byId.set(chunk.facadeModuleId ?? path, chunk);
    if (!chunk.facadeModuleId) shared.set(`./${chunk.fileName}`, path);
  }
  return { byId, shared };
}
