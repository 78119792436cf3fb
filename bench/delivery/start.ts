/** Processes of the delivery bench: the upstream, and Sluice with it. */
import { fork } from "node:child_process";
import { join } from "node:path";
import { type Bundle, launch, type Runtime } from "../../scripts/runtime.ts";

export const KEY = { authorization: "Bearer sk-dev-alice", "content-type": "application/json" };
export const PROTOCOLS = ["sluice.v1", "bearer.sk-dev-alice"];

export async function startUpstream(): Promise<{ url: string; stop: () => void }> {
  const child = fork(join(import.meta.dirname, "upstream.ts"));
  const port = await new Promise<number>((ready) => child.once("message", (port) => ready(port as number)));
  return { url: `http://127.0.0.1:${port}`, stop: () => void child.kill() };
}

export function startSluice(bundle: Bundle, upstream: string, where: { state: string | null; port: number }): Promise<Runtime> {
  const wide = { rpm: 1e9, tpm: 1e12, ramp_tpm: null };
  const vars = {
    SLUICE_LOCAL: "1",
    SLUICE_POOLS: JSON.stringify({ default: wide }),
    OPENAI_BASE_URL: `${upstream}/v1`,
    UPSTREAM: upstream,
  };
  return launch({ bundle, vars, ...where });
}

/** A job in a channel of its own, or in the one that is named; answers its id. */
export async function submit({ url }: Runtime, wish: object, more: object = {}): Promise<string> {
  const request = { model: "m", messages: [{ role: "user", content: JSON.stringify(wish) }] };
  const response = await fetch(`${url}/v1/jobs`, { method: "POST", headers: KEY, body: JSON.stringify({ request, ...more }) });
  if (response.status !== 202) throw new Error(`refused: ${response.status} ${await response.text()}`);
  return ((await response.json()) as { id: string }).id;
}

/** Calls `work` for each of so many, `parallel` at a time. */
export async function lanes(count: number, parallel: number, work: (index: number) => Promise<void>): Promise<void> {
  let next = 0;
  const lane = async () => {
    while (next < count) await work(next++);
  };
  await Promise.all(Array.from({ length: parallel }, lane));
}

export const pause = (ms: number) => new Promise<void>((done) => setTimeout(done, ms));
