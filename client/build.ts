/**
 * Makes the package: JavaScript and types in `client/dist`. Node does not strip types inside node_modules, so the sources cannot be the package. The types of
 * schemas/ are included unchanged, except for zod's: a file of our own stands in for them, so that a client needs nothing installed.
 */
import { execFileSync } from "node:child_process";
import { copyFileSync, globSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";

const here = import.meta.dirname;
const dist = join(here, "dist");

rmSync(dist, { recursive: true, force: true });
const compiler = join(dirname(createRequire(import.meta.url).resolve("typescript/package.json")), "bin/tsc");
execFileSync(process.execPath, [compiler, "-p", join(here, "tsconfig.build.json")], { stdio: "inherit" });
for (const file of globSync(join(dist, "schemas/*.js"))) {
  // Only their types are used; nothing in the client may need them at run time.
  rmSync(file);
}
for (const file of globSync(join(dist, "**/*.d.ts"))) {
  // The compiler rewrites imports in JavaScript, but not in declaration files.
  const text = readFileSync(file, "utf8").replaceAll(/(from "\.{1,2}\/[^"]+)\.ts"/g, '$1.js"');
  writeFileSync(file, text.replaceAll('from "zod"', 'from "../zod.js"'));
}
copyFileSync(join(here, "zod-types.d.ts"), join(dist, "zod.d.ts"));
