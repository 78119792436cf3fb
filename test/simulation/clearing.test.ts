import { describe, expect, it } from "vitest";
import { type Crowd, clear, type Source } from "../../policy/clearing.ts";
import type { SimJob } from "./loads.ts";
import { runSluice } from "./run.ts";

const SCALE = { rpm: 3_000, tpm: 6_000_000 };

/** What stands in line when the world begins. */
function crowdsOf(jobs: readonly SimJob[]): Crowd[] {
  const byTenant = [...Map.groupBy(jobs, ({ tenant }) => tenant)];
  return byTenant.map(([id, own]) => {
    const tokens = own.reduce((sum, { most, prompt }) => sum + prompt + most, 0);
    return { id, tenant: id, jobs: own.length, tokens, weight: 1, isBatch: false, caps: { requests: null, tokens: null } };
  });
}

/** What is left of a minute's buckets once these jobs have started. */
function sourcesOf(begun: Iterable<SimJob>, ms: number): Source[] {
  const spent = { requests: 0, tokens: 0 };
  for (const { most, prompt } of begun) {
    spent.requests++;
    spent.tokens += prompt + most;
  }
  const limits = { requests: SCALE.rpm, tokens: SCALE.tpm };
  return (["requests", "tokens"] as const).map((counts) => {
    const perMs = limits[counts] / 60_000;
    return { counts, perMs, whole: limits[counts], level: Math.min(limits[counts], limits[counts] + perMs * ms - spent[counts]) };
  });
}

/** By then the work of a minute has gone at once, and whoever came first had most of it. */
const BEGUN_MS = 40_000;

describe("how a backlog clears, held against the coordinator's own code in virtual time", () => {
  it.each(["two tenants", "shuffled", "big first"] as const)(
    "%s -> when half, nearly all and the last of each start is told within a twentieth",
    (load) => {
      const { jobs, sluice } = runSluice({ rule: "bucket 60 s", load, scale: SCALE, minutes: 6, seed: 1 });
      const begun = new Set(sluice.starts.filter(({ at }) => at <= BEGUN_MS).map(({ job }) => job));
      const waiting = jobs.filter((job) => !begun.has(job));
      const starts = Map.groupBy(
        sluice.starts.filter(({ job }) => !begun.has(job)),
        ({ job }) => job.tenant,
      );
      expect(waiting.length).toBeGreaterThan(5_000);
      for (const { half, id, last, nearly } of clear(crowdsOf(waiting), sourcesOf(begun, BEGUN_MS))) {
        const own = starts.get(id)!;
        const seen = [0.5, 0.95, 1].map((part) => own[Math.ceil(own.length * part) - 1]!.at - BEGUN_MS);
        [half, nearly, last].forEach((told, index) => {
          expect(Math.abs(told - seen[index]!), `${id}: ${told} ms told, ${seen[index]} seen`).toBeLessThanOrEqual(seen[index]! / 20);
        });
      }
    },
  );
});
