/**
 * The service as a few modules in place of some six hundred. Each test file has a runtime of its own, which asks for every module by
 * itself and gets it with its source map: of what a short test costs, that is three quarters.
 *
 * A module of the service becomes a list of what it exports, and stands in one module with all others: a test that imports it gets what
 * the objects run. So `vi.spyOn` on a class holds there as well; `vi.mock` of one of these modules does not, and is needed nowhere.
 */
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { type OutputChunk, rolldown } from "rolldown";
import type { Plugin } from "vitest/config";

const ROOT = join(import.meta.dirname, "..");
const ROOMS = ["workers", "durable-objects", "platform", "policy", "schemas"];
/** What tests import beside the service, which has it as well. */
const PACKAGES = ["eventsource-parser", "eventsource-parser/stream", "jose", "openai"];
/** As the plugin for the Workers runtime asks of Vite. */
const CONDITIONS = ["workerd", "worker", "module", "browser", "import", "default"];
/** Nobody follows a stack into a package. */
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
    // Who watches, or asks for the tests of what was changed, needs each module as it is now and its importers.
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

/** The chunks by the files they stand for, and the paths of those that others share by the names they are imported by. */
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
  // Nothing is written: the directory is what the paths in the map are relative to.
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
