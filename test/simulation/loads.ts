/** Jobs as a simulated world knows them, and loads made of them. */
import { jobId } from "../../platform/ids.ts";
import type { Random } from "./random.ts";

/** Every tenant has one channel. */
export const CHANNEL = "c";
export const POOL = "p";

export type SimJob = {
  id: string;
  tenant: string;
  /** When it is submitted, ms. */
  at: number;
  prompt: number;
  /** The most that the answer may take, tokens. */
  most: number;
  /** What it takes, tokens. */
  output: number;
  priority: number;
  /**
   * What became of it: how often its result was committed, when its last call left (ms), what it was told when it came in (s), and when that was (ms). Kept
   * here, because a world of a million jobs keeps no map of them.
   */
  done: number;
  sentAt: number | null;
  told: { at: number; p50: number; p95: number } | null;
};

/** Nothing has happened to it yet. */
export const UNDONE = { done: 0, sentAt: null, told: null } as const;

export type LoadName = "big first" | "small first" | "shuffled" | "two tenants" | "noisy neighbour" | "steady" | "in bursts";
/** Loads whose work is there before it can go: they show what the limit lets through. */
export const LOADS: LoadName[] = ["big first", "small first", "shuffled", "two tenants", "noisy neighbour"];

/** An account's limits. Both bind together at `tpm / rpm` tokens per request. */
export type Scale = { rpm: number; tpm: number };

/** Tokens of the largest job, relative to one that takes the same share of both limits. */
export const LARGEST = 12;

/** Enough jobs to need the scarcer resource for about `minutes`. */
export function makeLoad(name: LoadName, { rpm, tpm }: Scale, minutes: number, random: Random): SimJob[] {
  const balanced = tpm / rpm;
  const requests = rpm * minutes;
  const make = (index: number, tenant: string, tokens: number, more: Partial<SimJob> = {}): SimJob => {
    const most = Math.max(1, Math.round(tokens / 2));
    return {
      id: jobId(tenant, { channel: CHANNEL, number: index, nonce: "000000", at: 0 }),
      tenant,
      at: 0,
      prompt: Math.max(1, Math.round(tokens) - most),
      most,
      // Between tenants, service is what was used: where it is measured, everything reserved is used.
      output: name === "two tenants" ? most : Math.max(1, Math.min(most, Math.round(random.lognormal(most / 3, 0.8)))),
      priority: 0,
      ...UNDONE,
      ...more,
    };
  };
  const big = () => balanced * random.between(LARGEST / 2, LARGEST);
  const small = () => balanced * random.between(0.02, 0.1);
  const tenth = Math.round(requests / 10);
  switch (name) {
    case "big first":
      return Array.from({ length: requests }, (_, index) => make(index, "a", index < tenth ? big() : small()));
    case "small first":
      return Array.from({ length: requests }, (_, index) => make(index, "a", index < requests - tenth ? small() : big()));
    case "shuffled":
      return Array.from({ length: requests }, (_, index) =>
        make(index, `t${index % 4}`, Math.min(balanced * LARGEST, random.lognormal(balanced / 2, 1)), {
          priority: random.chance(0.1) ? -600 : 0,
        }),
      );
    case "two tenants":
      return [
        ...Array.from({ length: tenth }, (_, index) => make(index, "big", big())),
        ...Array.from({ length: requests - tenth }, (_, index) => make(tenth + index, "small", small())),
      ];
    case "steady": {
      // As much arrives as can go, behind a minute's work that is already there; arrivals are independent of each other (Poisson).
      let at = 0;
      const atOnce = Math.round(requests / (minutes + 1));
      return Array.from({ length: requests }, (_, index) => {
        if (index >= atOnce) at -= (Math.log(1 - random.next()) * 60_000) / rpm;
        const tokens = Math.min(balanced * LARGEST, random.lognormal(balanced / 2, 1));
        const tenant = `t${Math.min(7, Math.floor(-Math.log2(1 - random.next())))}`;
        return make(index, tenant, tokens, { at, priority: random.chance(0.1) ? 30 : 0 });
      });
    }
    case "in bursts":
      // A fifth of what could go, all at once every five minutes.
      return Array.from({ length: Math.round(requests / 5) }, (_, index) =>
        make(index, "a", balanced / 2, { at: Math.floor(index / rpm) * 300_000 }),
      );
    case "noisy neighbour":
      return [
        ...Array.from({ length: requests }, (_, index) => make(index, "noisy", random.lognormal(balanced / 2, 0.7))),
        ...Array.from({ length: Math.max(3, Math.round(minutes * 20)) }, (_, index) =>
          make(requests + index, "quiet", balanced / 4, { at: index * 3_000 + random.between(0, 500) }),
        ),
      ];
  }
}
