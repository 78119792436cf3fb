/** The service that the demo works with: one that already runs, or one of its own. */
import { join } from "node:path";
import { bundle, launch } from "../../../scripts/runtime.ts";
import { Sluice, TimeoutError } from "../../index.ts";
import { type Api, call, upstreamStats } from "./api.ts";
import { KEYS, MODEL, OPERATOR_KEY } from "./work.ts";

export type Service = {
  url: string;
  /** Described in words, for the first line. */
  what: string;
  /** Whether the simulator answers its calls; if not, they cost money. */
  simulated: boolean;
  /** Rejects if the demo's own service ends by itself. */
  broken: Promise<never>;
  /** Ends the demo's own service; leaves any other alone. */
  stop: () => Promise<void>;
  kill: () => void;
};

/**
 * Small, so that the demo takes half a minute, and with a short burst, so that the rate shows. The simulator counts the prompt plus the most that may be
 * answered, the stricter of the two readings of OpenAI's rule.
 */
const LIMITS = { rpm: 600, tpm: 120_000 };
const BURST_SECONDS = 5;
const VARS = {
  SLUICE_POOLS: JSON.stringify({ [MODEL]: { models: [`${MODEL}*`], ...LIMITS, burst_seconds: BURST_SECONDS } }),
  SIMULATOR_SETTINGS: JSON.stringify({ limits: { [`${MODEL}*`]: LIMITS }, burst_seconds: BURST_SECONDS, charge: "sum" }),
  SLUICE_LOCAL: "1",
  // Nothing that the developer has set for the real service may reach the demo.
  OPENAI_API_KEY: "",
  OPENAI_BASE_URL: "",
  SLUICE_KEYS: "",
};

const PROBE_SECONDS = 20;

const root = join(import.meta.dirname, "../../..");

/** @param port where to look for a running service; 0: nowhere. */
export async function openService(port: number, signal: AbortSignal): Promise<Service> {
  return (port === 0 ? null : await runningService(port, signal)) ?? (await ownService());
}

async function ownService(): Promise<Service> {
  const runtime = await launch({ bundle: await bundle(join(root, "wrangler.toml")), port: 0, state: null, vars: VARS });
  let stopping = false;
  const broken = runtime.exited.then((code) =>
    stopping
      ? new Promise<never>(() => {})
      : Promise.reject(new Error(`The service stopped unexpectedly (${code === null ? "killed" : `exit code ${code}`}).`)),
  );
  broken.catch(() => {}); // whoever awaits it reports it
  const ending = <T>(end: () => T): T => {
    stopping = true;
    return end();
  };
  const what = `started for this demo, ${LIMITS.rpm} requests and ${LIMITS.tpm.toLocaleString("en")} tokens per minute, with the simulator as upstream`;
  return { url: runtime.url, what, simulated: true, broken, stop: () => ending(runtime.stop), kill: () => ending(runtime.kill) };
}

async function runningService(port: number, signal: AbortSignal): Promise<Service | null> {
  const api: Api = { url: `http://127.0.0.1:${port}`, signal };
  if (!(await answers(api, null, "/healthz", "status", "ok"))) return null;
  const doors = [...KEYS.values()].map((key) => answers(api, key, "/v1/jobs?limit=1", "object", "list"));
  if ((await Promise.all([...doors, answers(api, OPERATOR_KEY, "/v1/queue", "object", "queue")])).includes(false)) return null;
  const simulated = await callsSimulator(api);
  const what = `already running, with ${simulated ? "the simulator" : "a real endpoint"} as upstream`;
  return { url: api.url, what, simulated, broken: new Promise(() => {}), stop: async () => {}, kill: () => {} };
}

/** Whether this is Sluice's answer: anything may listen on a port. */
async function answers(api: Api, key: string | null, path: string, field: string, value: string): Promise<boolean> {
  try {
    const response = await call(api, key, path);
    const body = (await response.json()) as Record<string, unknown> | null;
    return response.status === 200 && body?.[field] === value;
  } catch {
    api.signal.throwIfAborted();
    return false;
  }
}

/** No call tells which upstream a service uses, so submit one small job and see whether the simulator counted it. */
async function callsSimulator(api: Api): Promise<boolean> {
  const before = await upstreamStats(api).catch(() => null);
  if (before === null) return false;
  const [key] = KEYS.values();
  const { signal } = api;
  const sluice = new Sluice({ url: api.url, token: key! });
  const request = { model: MODEL, messages: [{ role: "user", content: "Say hello." }], max_completion_tokens: 16 };
  const { id } = await sluice.submit({ channel: "demo-probe", request }, { signal });
  await sluice.wait(id, { timeoutMs: PROBE_SECONDS * 1_000, signal }).catch((error) => {
    if (!(error instanceof TimeoutError)) throw error;
    throw new Error(
      `The running service is busy: a small job did not finish within ${PROBE_SECONDS} s. Set PORT=0 to start another service.`,
    );
  });
  return (await upstreamStats(api)).calls > before.calls;
}
