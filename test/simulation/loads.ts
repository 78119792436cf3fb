/** Jobs as a world knows them, and loads of them. */
import { jobId } from "../../platform/ids.ts";
import type { Random } from "./random.ts";

/** Each tenant's one channel. */
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
  /** What it takes. */
  output: number;
  priority: number;
  /** What became of it: how often its result was committed, when its last call left (ms), and what it was told as it came in (s), and when (ms). Kept here: a world of a million has no map of them. */
  done: number;
  sentAt: number | null;
  told: { at: number; p50: number; p95: number } | null;
};

/** Nothing has become of it yet. */
export const UNDONE = { done: 0, sentAt: null, told: null } as const;

export type LoadName = "big first" | "small first" | "shuffled" | "two tenants" | "noisy neighbour" | "steady" | "in bursts";
/** Those whose work is there before it can go: what the limit lets through shows. */
export const LOADS: LoadName[] = ["big first", "small first", "shuffled", "two tenants", "noisy neighbour"];

/** Tokens for each request of an account whose limits bind together. */
export type Scale = { rpm: number; tpm: number };

/** Tokens of the largest job, over those of one that takes as much of the one limit as of the other. */
export const LARGEST = 12;

/** So many jobs that the scarcer resource is needed for about `minutes`. */
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
      // Between tenants service is what was used: where it is measured, all that was reserved is used.
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
      // As much comes as can go, behind a minute's work that stands there already: arrivals are independent of each other (Poisson).
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
      // A fifth of what could go: each five minutes all at once.
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
