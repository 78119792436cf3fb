import { existsSync, readdirSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test, vi } from "vitest";
import { inspect } from "../../scripts/runtime/processes.ts";
import { bundle } from "../../scripts/runtime.ts";
import { directory, json, start, toy, until } from "./toy.ts";

test("rows and a past-due alarm survive kill -9, and the object still knows its name", async () => {
  const state = directory();
  const first = await start({ state });
  await json(first, "/write?text=row");
  await json(first, "/arm?ms=300");
  first.kill();
  // In real time: the runtime's own clock cannot be moved, and the alarm must come due while no runtime is up.
  await new Promise((done) => setTimeout(done, 400));
  const second = await start({ state });
  await until(async () => (await json<string[]>(second, "/read")).length === 2);
  expect(await json(second, "/read")).toEqual(["row", "alarm of one"]);
});

test("a launch right after kill() waits for the dead and then starts", async () => {
  const state = directory();
  for (let n = 0; n < 5; n++) {
    const runtime = await start({ state });
    expect(await json(runtime, `/write?text=${n}`)).toHaveLength(n + 1);
    runtime.kill();
  }
});

test("a state of null is gone after the end", async () => {
  const runtime = await start();
  const objects = /objects=(\S+)\/objects /.exec(inspect(runtime.pid)!.command)![1]!;
  expect(existsSync(objects)).toBe(true);
  await runtime.stop();
  expect(existsSync(objects)).toBe(false);
});

test("a state directory is made with its parents; one in a file's place is named", async () => {
  const state = join(directory(), "a/b");
  await start({ state });
  expect(existsSync(join(state, "objects"))).toBe(true);
  const file = join(state, "file");
  writeFileSync(file, "");
  for (const taken of [file, join(file, "x")])
    await expect(start({ state: taken })).rejects.toThrow(`The state directory ${taken} cannot be created (ENOTDIR)`);
});

test("a taken port is named", async () => {
  const server = createServer().listen(0, "127.0.0.1");
  await new Promise((done) => server.once("listening", done));
  const { port } = server.address() as { port: number };
  await expect(start({ port })).rejects.toThrow(`Port ${port} on 127.0.0.1 is already in use: set PORT to another.`);
  server.close();
});

test("a Worker that cannot start says why", async () => {
  await expect(start({ bundle: toy("export default {{") })).rejects.toThrow(/exit code 1[\s\S]*SyntaxError/);
});

test("a Worker that never gets healthy says what it answered, and does not stay", async () => {
  const state = directory();
  const sick = `export default { fetch: () => new Response("no", { status: 503 }) };`;
  const bundle = { ...toy(sick), durableObjects: [] };
  await expect(start({ bundle, state, patienceMs: 200 })).rejects.toThrow("/healthz did not answer 200 within 0.2 s (last: 503)");
  expect(existsSync(join(state, "runtime.json"))).toBe(false);
});

test("exited tells how workerd ended", async () => {
  const stopped = await start();
  await stopped.stop();
  const killed = await start();
  killed.kill();
  expect(await killed.exited).toBeNull();
  expect(inspect(stopped.pid)).toBeNull();
});

test("an open WebSocket does not hold up a stop for long", async () => {
  const source = `export default { fetch(request) {
    if (new URL(request.url).pathname === "/healthz") return new Response("ok");
    const [client, server] = Object.values(new WebSocketPair());
    server.accept();
    return new Response(null, { status: 101, webSocket: client });
  } };`;
  const runtime = await start({ bundle: { ...toy(source), durableObjects: [] } });
  const socket = new WebSocket(runtime.url.replace("http", "ws"));
  await new Promise((done) => socket.addEventListener("open", done));
  const began = performance.now();
  await runtime.stop();
  expect(performance.now() - began).toBeLessThan(4_000);
});

test("secrets are neither on the command line nor left in a file", async () => {
  const before = configs();
  const runtime = await start({ vars: { OPENAI_API_KEY: "sk-very-secret" } });
  expect(inspect(runtime.pid)!.command).not.toContain("sk-very-secret");
  expect(configs().filter((name) => !before.includes(name) && inspect(runtime.pid)!.command.includes(name))).toEqual([]);
});

test("what wrangler would upload is what runs: modules, variables, objects", async () => {
  const folder = directory();
  writeFileSync(join(folder, "page.html"), "<b>é</b>");
  writeFileSync(
    join(folder, "index.ts"),
    `import { DurableObject } from "cloudflare:workers";
     import page from "./page.html";
     export class Thing extends DurableObject<object> { say(): string { return page + this.ctx.id.name; } }
     export default { fetch: async (_: Request, env: any) => Response.json([await env.THING.getByName("x").say(), env.TEXT, env.TABLE]) };`,
  );
  writeFileSync(
    join(folder, "wrangler.toml"),
    `name = "toy"
     main = "index.ts"
     compatibility_date = "2026-10-01"
     vars = { TEXT = "a\\"b", TABLE = { deep = [1, "x"] } }
     durable_objects.bindings = [{ name = "THING", class_name = "Thing" }]
     migrations = [{ tag = "v1", new_sqlite_classes = ["Thing"] }]`,
  );
  const built = await bundle(join(folder, "wrangler.toml"));
  const runtime = await start({ bundle: built, health: null });
  expect(await json(runtime, "/")).toEqual(["<b>é</b>x", 'a"b', { deep: [1, "x"] }]);
}, 15_000);

test("a Worker that does not bundle fails with wrangler's words", async () => {
  const folder = directory();
  writeFileSync(join(folder, "index.ts"), `import "./missing.ts";`);
  writeFileSync(join(folder, "wrangler.toml"), `name = "toy"\nmain = "index.ts"\ncompatibility_date = "2026-10-01"`);
  await expect(bundle(join(folder, "wrangler.toml"))).rejects.toThrow("missing.ts");
}, 15_000);

test.each([
  ["the build command", (path: string) => `Error: EACCES: permission denied, mkdir '${path}'`],
  ["wrangler", (path: string) => `A permission error occurred while accessing the file system.\n\n  Affected path: ${path}\n`],
])(
  "a folder in which %s may not write is one line: which path, and what to do",
  async (_, words) => {
    const folder = directory();
    const path = join(folder, "dashboard/dist");
    writeFileSync(join(folder, "refuse.mjs"), `console.error(${JSON.stringify(words(path))}); process.exit(1);`);
    const toml = `name = "toy"\nmain = "index.js"\ncompatibility_date = "2026-10-01"\n[build]\ncommand = "node refuse.mjs"`;
    writeFileSync(join(folder, "wrangler.toml"), toml);
    await expect(bundle(join(folder, "wrangler.toml"))).rejects.toThrow(
      new Error(
        `The Worker cannot be built: no permission for ${path}. Building writes in ${folder}: let this user write there, or start from a copy that this user owns.`,
      ),
    );
  },
  15_000,
);

test("a home directory that cannot be used is not needed", async () => {
  const folder = directory();
  writeFileSync(join(folder, "index.js"), "export default {}");
  writeFileSync(join(folder, "wrangler.toml"), `name = "toy"\nmain = "index.js"\ncompatibility_date = "2026-10-01"`);
  // A file: nothing can be found or made in it, whoever runs this.
  vi.stubEnv("HOME", join(folder, "index.js"));
  vi.stubEnv("XDG_CONFIG_HOME", join(folder, "index.js"));
  try {
    expect((await bundle(join(folder, "wrangler.toml"))).modules.length).toBe(1);
  } finally {
    vi.unstubAllEnvs();
  }
}, 15_000);

function configs(): string[] {
  return readdirSync(tmpdir()).filter((name) => name.startsWith("sluice-config-"));
}
