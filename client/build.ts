/**
 * Makes the package: JavaScript and types in `client/dist`. Node strips no types inside node_modules, so that the sources cannot be it.
 * The types of schemas/ come along as they are, but for zod: what its types say is said by a page of our own, as a client needs nothing installed.
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
  // Words alone: nothing of the client may need them at run time.
  rmSync(file);
}
for (const file of globSync(join(dist, "**/*.d.ts"))) {
  // The compiler rewrites the imports of JavaScript, not those of types.
  const text = readFileSync(file, "utf8").replaceAll(/(from "\.{1,2}\/[^"]+)\.ts"/g, '$1.js"');
  writeFileSync(file, text.replaceAll('from "zod"', 'from "../zod.js"'));
}
copyFileSync(join(here, "zod-types.d.ts"), join(dist, "zod.d.ts"));
