/** The whole service, and the simulated upstream by itself, as processes of their own that end with the test. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { inject, onTestFinished } from "vitest";
import { type Bundle, launch, type Runtime } from "../../../scripts/runtime.ts";

/** Made once for all files by `bundles.ts`. */
declare module "vitest" {
  export interface ProvidedContext {
    service: Bundle;
    simulator: Bundle;
  }
}

export type Options = { state?: string; port?: number; vars?: Record<string, string> };

/** As `npm start` runs it. On a free port and a state directory of its own, unless told otherwise. */
export async function startService({ state = stateDirectory(), port = 0, vars = {} }: Options = {}): Promise<Runtime> {
  const own = { OPENAI_API_KEY: "", OPENAI_BASE_URL: "", SLUICE_LOCAL: "1", ...vars };
  return tied(await launch({ bundle: inject("service"), port, front: true, state, vars: own }));
}

/** The upstream outlives the service that calls it, and so does its ledger. */
export async function startSimulator(settings: object = {}, port = 0): Promise<Runtime> {
  const vars = { SIMULATOR_SETTINGS: JSON.stringify(settings) };
  return tied(await launch({ bundle: inject("simulator"), port, state: null, vars, health: null }));
}

/** What makes a service call that simulator. */
export function callsTo(upstream: { url: string }): Record<string, string> {
  return { OPENAI_API_KEY: "sk-e2e", OPENAI_BASE_URL: `${upstream.url}/v1` };
}

/** Removed when the test is over. */
export function stateDirectory(): string {
  const state = mkdtempSync(join(tmpdir(), "sluice-e2e-"));
  onTestFinished(() => rmSync(state, { recursive: true, force: true, maxRetries: 5 }));
  return state;
}

/** The same service again, after a crash or a stop: same place, same memory. */
export function startAgain(before: Runtime, state: string, vars: Record<string, string>): Promise<Runtime> {
  return startService({ state, port: before.port, vars });
}

/** SIGKILL, and the certainty that nothing of it runs any more. */
export async function crash(runtime: Runtime): Promise<void> {
  runtime.kill();
  await runtime.exited;
}

function tied(runtime: Runtime): Runtime {
  onTestFinished(() => crash(runtime));
  return runtime;
}

/** A pool for the models that the tests use, and none of the others. A minute's burst may go at once, unless `limits` say otherwise. */
export function pools(limits: object): string {
  const model = { models: ["gpt-5-mini*"], ramp_tpm: null, burst_seconds: 60, ...limits };
  return JSON.stringify({ "gpt-5-mini": model, default: { rpm: 100_000, tpm: 100_000_000 } });
}

/** The limits of such a pool as the simulator enforces them. */
export function enforced({ rpm, tpm, burst_seconds }: { rpm: number; tpm: number; burst_seconds: number }): object {
  return { limits: { "gpt-5-mini*": { rpm, tpm } }, burst_seconds };
}
