/** How a pool stands, in words. */
import type { PoolState } from "../../schemas/queue.ts";
import { counted, duration, name, percent } from "./words.ts";

/** How much attention it needs. */
export type Tone = "calm" | "warn" | "bad";

export type ConditionView = { tone: Tone; state: string; words: string };

type Pool = Pick<PoolState, "condition" | "depth" | "in_flight">;

/** `everything`: an operator has paused everything. `now` in ms. */
export function conditionOf(pool: Pool, everything: boolean, now: number): ConditionView {
  const { code, reason, share, since, state } = pool.condition;
  const lasting = since === null ? "" : ` for ${duration(now / 1_000 - since)}`;
  const named = code === null ? "" : ` (${name(code)})`;
  switch (state) {
    case "normal":
      return { tone: "calm", state, words: "Runs within its limits." };
    case "paused": {
      const by = everything ? "Paused together with all pools" : "Paused by an operator";
      return { tone: "warn", state, words: `${by}${lasting}: nothing starts.` };
    }
    case "halted":
      return {
        tone: "bad",
        state,
        words: `Halted${lasting}: ${HALTED[reason ?? ""] ?? "its calls cannot succeed"}${named}. Somebody must act. ${probe(pool, now)}`,
      };
    case "open":
      return { tone: "bad", state, words: `Upstream has been down${lasting}${named}: only probes start. ${probe(pool, now)}` };
    case "slowed":
      return { tone: "warn", state, words: `${slowed(reason, share, lasting, named)}${next(pool, now)}` };
  }
}

const HALTED: Record<string, string> = {
  billing: "upstream says that the account cannot pay",
  credentials: "upstream refuses the key",
  region: "upstream refuses the region that calls come from",
};

function slowed(reason: string | null, share: number, lasting: string, named: string): string {
  if (reason === "lowered_limit") return `Some jobs have been too large for a lowered limit${lasting}: they wait, the others go on.`;
  const cut = share < 1 ? ` ${percent(share)} of the rate may be used.` : "";
  if (reason === "slow_down") return `Slowed down at upstream's request${lasting}${named}.${cut}`;
  return `Upstream has been refusing nearly all calls for their rate${lasting}${named}: one is sent at a time.${cut}`;
}

/** For a slowed pool. */
function next({ condition: { next_probe_at } }: Pool, now: number): string {
  if (next_probe_at === null) return "";
  const seconds = next_probe_at - now / 1_000;
  return seconds < 1 ? " The next test call may start at any moment." : ` The next test call starts in ${duration(Math.ceil(seconds))}.`;
}

/** For a pool that stands still. */
function probe({ condition: { failed_probes, next_probe_at }, depth, in_flight }: Pool, now: number): string {
  const failed = failed_probes > 0 ? ` ${counted(failed_probes, "probe")} failed so far.` : "";
  if (next_probe_at === null) return `${in_flight > 0 ? "A probe is running." : "No probe is planned."}${failed}`;
  // A probe is a job's call.
  if (depth === 0) return `The next job will be the probe.${failed}`;
  const seconds = next_probe_at - now / 1_000;
  return `${seconds < 1 ? "The next probe is due." : `The next probe starts in ${duration(Math.ceil(seconds))}.`}${failed}`;
}
