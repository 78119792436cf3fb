/** The whole service, and the simulated upstream on its own, as processes that end with the test. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { inject, onTestFinished } from "vitest";
import { type Bundle, launch, type Runtime } from "../../../scripts/runtime.ts";

/** Bundled once for all files by `bundles.ts`. */
declare module "vitest" {
  export interface ProvidedContext {
    service: Bundle;
    simulator: Bundle;
  }
}

export type Options = { state?: string; port?: number; vars?: Record<string, string> };

/** Runs the service as `npm start` does; by default on a free port and with a state directory of its own. */
export async function startService({ state = stateDirectory(), port = 0, vars = {} }: Options = {}): Promise<Runtime> {
  const own = { OPENAI_API_KEY: "", OPENAI_BASE_URL: "", SLUICE_LOCAL: "1", ...vars };
  return tied(await launch({ bundle: inject("service"), port, front: true, state, vars: own }));
}

/** Runs an upstream that outlives the service that calls it, as does its ledger. */
export async function startSimulator(settings: object = {}, port = 0): Promise<Runtime> {
  const vars = { SIMULATOR_SETTINGS: JSON.stringify(settings) };
  return tied(await launch({ bundle: inject("simulator"), port, state: null, vars, health: null }));
}

/** Variables that make a service call this upstream. */
export function callsTo(upstream: { url: string }): Record<string, string> {
  return { OPENAI_API_KEY: "sk-e2e", OPENAI_BASE_URL: `${upstream.url}/v1` };
}

/** A directory that is removed when the test is over. */
export function stateDirectory(): string {
  const state = mkdtempSync(join(tmpdir(), "sluice-e2e-"));
  onTestFinished(() => rmSync(state, { recursive: true, force: true, maxRetries: 5 }));
  return state;
}

/** Starts the same service again after a crash or a stop: same port, same state. */
export function startAgain(before: Runtime, state: string, vars: Record<string, string>): Promise<Runtime> {
  return startService({ state, port: before.port, vars });
}

/** Sends SIGKILL and waits until nothing of the service runs any more. */
export async function crash(runtime: Runtime): Promise<void> {
  runtime.kill();
  await runtime.exited;
}

function tied(runtime: Runtime): Runtime {
  onTestFinished(() => crash(runtime));
  return runtime;
}

/** Pools: one for the models that the tests use, and the default. The first may spend a minute's worth at once, unless `limits` say otherwise. */
export function pools(limits: object): string {
  const model = { models: ["gpt-5-mini*"], ramp_tpm: null, burst_seconds: 60, ...limits };
  return JSON.stringify({ "gpt-5-mini": model, default: { rpm: 100_000, tpm: 100_000_000 } });
}

/** Settings with which the simulator enforces the limits of such a pool. */
export function enforced({ rpm, tpm, burst_seconds }: { rpm: number; tpm: number; burst_seconds: number }): object {
  return { limits: { "gpt-5-mini*": { rpm, tpm } }, burst_seconds };
}
