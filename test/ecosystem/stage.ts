/** `npm start` over an upstream that enforces a small budget, for programs that know about neither. */
import { ledger } from "../e2e/support/client.ts";
import { freePort, npmStart } from "../e2e/support/npm.ts";
import { callsTo, startSimulator, stateDirectory } from "../e2e/support/service.ts";

export const MODEL = "gpt-5-mini";
export const KEY = "sk-dev-alice";
/** Ten calls a second and a small burst: a program that sends more at once must wait, or upstream refuses it. */
const LIMITS = { rpm: 600, tpm: 100_000_000 };
/** The pool's burst is smaller than upstream's: on a busy machine, calls overtake each other by more than a second. */
const BURST_SECONDS = { pool: 1, upstream: 3 };

export type Stage = { baseURL: string; refused: () => Promise<number>; completed: () => Promise<number> };

/** `models`: those of the pool whose limits upstream enforces. */
export async function openStage(models = `${MODEL}*`): Promise<Stage> {
  const upstream = await startSimulator(enforcing(models));
  const pools = { small: { models: [models], ...LIMITS, burst_seconds: BURST_SECONDS.pool }, default: { rpm: 100_000, tpm: 100_000_000 } };
  const port = await freePort();
  await npmStart(port, stateDirectory(), { ...callsTo(upstream), SLUICE_POOLS: JSON.stringify(pools) });
  const refused = async () => {
    const { rejected_429 } = await ledger(upstream);
    return rejected_429.requests + rejected_429.tokens;
  };
  return { baseURL: `http://127.0.0.1:${port}/v1`, refused, completed: async () => (await ledger(upstream)).completed };
}

/** Upstream alone, with the same limits. */
export async function straight(models = `${MODEL}*`): Promise<{ baseURL: string }> {
  return { baseURL: `${(await startSimulator(enforcing(models))).url}/v1` };
}

function enforcing(models: string): object {
  return { speed: 0, limits: { [models]: LIMITS }, burst_seconds: BURST_SECONDS.upstream };
}

/** An array of `count` items. */
export function times<T>(count: number, make: (index: number) => T): T[] {
  return Array.from({ length: count }, (_, index) => make(index));
}
