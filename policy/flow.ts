/**
 * What takes turns in a pool is a flow (the term of fair queueing): a tenant's live work, or the work of its batches. Law: batches get what live work leaves.
 * Waiting live jobs go first, whoever's they are; batches delay them only by their small share.
 */

/** Live work goes ahead a thousand to one: a batch's share is too small to be felt, yet a batch does not starve in a pool that is never idle. */
const BATCH_SHARE = 1 / 1_000;

/** A tenant's name contains no slash. */
const BATCHES = "/batches";

/** A flow's name; a tenant's live work has the name of the tenant. */
export function flowOf(tenant: string, batch: boolean): string {
  return batch ? tenant + BATCHES : tenant;
}

export function isBatches(flow: string): boolean {
  return flow.endsWith(BATCHES);
}

export function tenantOfFlow(flow: string): string {
  return isBatches(flow) ? flow.slice(0, -BATCHES.length) : flow;
}

/** A flow's weight, from that of its tenant. */
export function weightOfFlow(flow: string, weightOf: (tenant: string) => number): number {
  return weightOf(tenantOfFlow(flow)) * (isBatches(flow) ? BATCH_SHARE : 1);
}
