/**
 * What takes turns in a pool is a flow (as fair queueing has it): a tenant's live work, or what its batches ask for. Law: batches have what live work leaves. While
 * live jobs wait they go ahead, whoever's they are; a batch of anybody's holds up none but by its small share.
 */

/** The live work goes ahead a thousand to one: too little to be felt, and yet a batch is not starved by a pool that is never idle. */
const BATCH_SHARE = 1 / 1_000;

/** A tenant's name holds no slash. */
const BATCHES = "/batches";

/** By name; that of a tenant's live work is the tenant's own. */
export function flowOf(tenant: string, batch: boolean): string {
  return batch ? tenant + BATCHES : tenant;
}

export function isBatches(flow: string): boolean {
  return flow.endsWith(BATCHES);
}

export function tenantOfFlow(flow: string): string {
  return isBatches(flow) ? flow.slice(0, -BATCHES.length) : flow;
}

/** Its part where all have work waiting, by that of its tenant. */
export function weightOfFlow(flow: string, weightOf: (tenant: string) => number): number {
  return weightOf(tenantOfFlow(flow)) * (isBatches(flow) ? BATCH_SHARE : 1);
}
