import { type ChildProcess, spawn } from "node:child_process";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { afterEach, describe, expect, test } from "vitest";
import { bundle } from "../../scripts/runtime.ts";
import { openLine } from "../e2e/support/line.ts";
import { directory, start, toy, until } from "./toy.ts";

const root = join(import.meta.dirname, "../..");
let child: ChildProcess | null = null;
let said = "";

function demo(args: string[], environment: Record<string, string> = {}): Promise<number | null> {
  said = "";
  // PORT=0: keeps the tests away from a service that a developer runs beside them.
  const env = { PATH: process.env.PATH, PORT: "0", ...environment };
  const started = spawn(process.execPath, [join(root, "client/cli/demo.ts"), ...args], { env, cwd: root });
  for (const stream of [started.stdout, started.stderr]) {
    stream.setEncoding("utf8").on("data", (text: string) => {
      said += text;
    });
  }
  child = started;
  return new Promise((done) => started.once("exit", done));
}

/** A row of the closing table. */
function row(name: string): string | undefined {
  return said
    .split("\n")
    .find((line) => line.startsWith(`  ${name}  `))
    ?.slice(name.length + 2)
    .trim();
}

afterEach(() => {
  child?.kill("SIGKILL");
});

describe("npm run demo", () => {
  test("does its jobs with a service of its own, in plain lines, and ends with the table", async () => {
    // Whatever else listens on the port is left alone.
    const stranger = await start();
    expect(await demo(["--jobs", "60"], { PORT: String(stranger.port) })).toBe(0);
    expect(said).toMatch(/^\s+Sending 60 jobs to http:\S+: started for this demo, 600 requests and 120,000 tokens per minute/);
    expect(said).toMatch(/\d s {2}alice +\d+\/40 done, \d+ in flight, last job: .*; bob +\d+\/20 done/);
    expect(said).toMatch(/bob's answer came in \d+ pieces, identical to the result\./);
    expect(row("completed / failed")).toBe("60 / 0");
    expect(row("429s from upstream")).toBe("0");
    expect(row("theoretical optimum")).toMatch(/^\d+\.\d\d s, by (tokens per minute|the longest call)$/);
    // No schedule beats the optimum, and nothing stands still for long.
    expect(Number(row("time / optimum"))).toBeGreaterThan(1);
    expect(Number(row("time / optimum"))).toBeLessThan(3);
    expect(row("alice")).toMatch(/^40 +40 +[\d,]+ +\d+\.\d\d s +\d+\.\d\d s +/);
    expect(row("bob")).toMatch(/^20 +20 +/);
    expect(said).not.toMatch(CONTROL);
  }, 30_000);

  test("Ctrl-C ends it with 130 and leaves nothing behind", async () => {
    const temporary = directory();
    const ended = demo(["--jobs", "300"], { TMPDIR: temporary });
    await until(() => said.includes("jobs to http"));
    await until(() => /[1-9]\d* in flight/.test(said));
    const url = /http:\/\/\S+\d/.exec(said)![0];
    child?.kill("SIGINT");
    expect(await ended).toBe(130);
    await expect(fetch(`${url}/healthz`)).rejects.toThrow();
    expect(readdirSync(temporary)).toEqual([]);
  }, 20_000);

  test("uses the service that runs already, goes on after the connection dropped, and leaves the service running", async () => {
    const built = await bundle(join(root, "wrangler.toml"));
    const service = await start({ bundle: built, vars: { SLUICE_LOCAL: "1", OPENAI_API_KEY: "", OPENAI_BASE_URL: "" } });
    const line = await openLine(service.port);
    const ended = demo(["--jobs", "30"], { PORT: String(line.port) });
    // Plain lines come every three seconds; the answer that is watched takes four.
    await until(() => / 3\.\d s {2}/.test(said), 15);
    line.cut();
    line.mend();
    expect(await ended).toBe(0);
    expect(said).toContain(`30 jobs to http://127.0.0.1:${line.port}: already running, with the simulator as upstream`);
    expect(said).toContain("identical to the result.");
    expect(row("completed / failed")).toBe("30 / 0");
    expect(row("connections lost and resumed")).toBe("2");
    expect(row("theoretical optimum")).toMatch(/^\d+\.\d\d s, by the longest call$/);
    expect(row("bob")).toMatch(/they never did$/);
    expect((await fetch(`${service.url}/healthz`)).status).toBe(200);
  }, 40_000);

  test("does not spend money unasked", async () => {
    const built = await bundle(join(root, "wrangler.toml"));
    const upstream = await start({ bundle: toy(REAL), health: null });
    const vars = { SLUICE_LOCAL: "1", OPENAI_API_KEY: "sk-test", OPENAI_BASE_URL: `${upstream.url}/v1` };
    const service = await start({ bundle: built, vars });
    expect(await demo(["--jobs", "30"], { PORT: String(service.port) })).toBe(1);
    expect(said).toContain("demo: The running service calls a real endpoint, which costs money. Pass --spend");
  }, 20_000);

  test("a wrong argument is one line and exit code 1", async () => {
    expect(await demo(["--jobs", "many"])).toBe(1);
    expect(said).toBe("demo: --jobs must be a whole number from 3 to 5000.\n");
  });
});

/** An endpoint that answers and is not the simulator. */
const REAL = `import { DurableObject } from "cloudflare:workers";
export class Thing extends DurableObject {}
export default {
  fetch() {
    const piece = { id: "x", object: "chat.completion.chunk", created: 1, model: "gpt-5-mini" };
    const chunk = { ...piece, choices: [{ index: 0, delta: { role: "assistant", content: "Hello." }, finish_reason: "stop" }] };
    const usage = { ...piece, choices: [], usage: { prompt_tokens: 1, completion_tokens: 2, total_tokens: 3 } };
    const body = [chunk, usage].map((each) => "data: " + JSON.stringify(each) + "\\n\\n").join("") + "data: [DONE]\\n\\n";
    return new Response(body, { headers: { "content-type": "text/event-stream" } });
  },
};`;

/** Control characters, except the end of a line. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: these must not appear
const CONTROL = /[\u0000-\u0009\u000b-\u001f\u007f]/;
