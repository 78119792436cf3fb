/**
 * Makes the page one module of the Worker, `dashboard/dist/page.js`: its markup with style and script inside, and the policy that lets a browser run only
 * these. wrangler calls it before each bundle (`[build]` of wrangler.toml), and vitest.config.ts before each run, so nobody has to remember it.
 */
import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { rolldown } from "rolldown";

const here = import.meta.dirname;
const dist = join(here, "dist");

const script = await bundled(join(here, "page.ts"));
const style = ["frame.css", "queue.css"].map((name) => readFileSync(join(here, "styles", name), "utf8")).join("");
// A function's result is inserted unchanged; in a replacement string, `$&` would mean something.
const html = readFileSync(join(here, "page.html"), "utf8")
  .replace("/* styles */", () => style)
  .replace("/* page.ts */", () => script);
const policy = [
  "default-src 'none'",
  `script-src ${hashOf(script)}`,
  `style-src ${hashOf(style)}`,
  "img-src data:",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
  // No text becomes markup, wherever it comes from.
  "require-trusted-types-for 'script'",
  "trusted-types 'none'",
].join("; ");

mkdirSync(dist, { recursive: true });
// Another bundle may be reading the file, so it is replaced in one step.
const draft = join(dist, `page.${process.pid}.tmp`);
writeFileSync(draft, `export const page = ${JSON.stringify({ html, policy })};\n`);
renameSync(draft, join(dist, "page.js"));

async function bundled(input: string): Promise<string> {
  const bundle = await rolldown({ input, platform: "browser" });
  const { output } = await bundle.generate({ format: "iife", minify: true });
  await bundle.close();
  const code = output[0].code.trim();
  if (/<\/script|<!--/i.test(code)) throw new Error("The script of the page holds what would end it: </script or <!--.");
  return code;
}

function hashOf(text: string): string {
  return `'sha256-${createHash("sha256").update(text).digest("base64")}'`;
}
