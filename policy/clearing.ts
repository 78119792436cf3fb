/**
 * How a backlog clears if nothing more comes: dominant-resource fairness as a fluid (Ghodsi et al., NSDI 2011; progressive filling), over buckets that refill.
 * All jobs of a flow are taken to be alike, so the cost is quadratic in the number of flows, however many jobs wait. Decisions made job by job differ from it
 * by one job of each flow, and where large and small jobs of one flow alternate.
 */

/** Waiting jobs of one tenant, either its live work or its batches. `caps`: the tenant's own limits, which both share; units per ms, null means none. */
export type Crowd = { id: string; tenant: string; jobs: number; tokens: number; weight: number; isBatch: boolean; caps: Rates };
type Rates = { requests: number | null; tokens: number | null };
/** One limit of the pool. `level`: what may be spent of it at once, units; negative is a debt. `whole`: the highest possible level. */
export type Source = { counts: "requests" | "tokens"; perMs: number; level: number; whole: number };
/** When half, nearly all and all of its jobs have started, ms from now. */
export type Cleared = { id: string; half: number; nearly: number; last: number };

const HAIR = 1e-9;
const MARKS = { half: 0.5, nearly: 0.95, last: 1 } as const;

/** A flow under way. `each`: tokens per job. `cost`: ms of the scarcest limit's rate that a job takes. `left`: jobs. `rate`, `cap`: jobs per ms. */
type Flow = { crowd: Crowd; each: number; cost: number; left: number; rate: number; cap: number; cleared: Cleared };

export function clear(crowds: readonly Crowd[], sources: readonly Source[]): Cleared[] {
  const pool = sources.map((source) => ({ ...source }));
  const flows = crowds.filter(({ jobs }) => jobs > 0).map((crowd) => flowOf(crowd, pool));
  let at = 0;
  for (let waiting = flows; waiting.length > 0; waiting = flows.filter(({ left }) => left > HAIR)) {
    for (const flow of waiting) flow.rate = 0;
    share(waiting, pool);
    const ms = untilNext(waiting, pool);
    advance(waiting, pool, at, ms);
    at += ms;
  }
  return flows.map(({ cleared }) => cleared);
}

function flowOf(crowd: Crowd, pool: readonly Source[]): Flow {
  const each = crowd.tokens / crowd.jobs;
  const cost = Math.max(HAIR, ...pool.map((source) => amountOf(source, each) / source.perMs));
  return { crowd, each, cost, left: crowd.jobs, rate: 0, cap: 0, cleared: { id: crowd.id, half: 0, nearly: 0, last: 0 } };
}

/** Sets each flow's rate. Live work goes first; batches get what it leaves, of their tenant's own limits too. */
function share(waiting: readonly Flow[], pool: readonly Source[]): void {
  const room = pool.map(({ level, perMs }) => (level > HAIR ? Number.POSITIVE_INFINITY : level < -HAIR ? 0 : perMs));
  const live = waiting.filter(({ crowd }) => !crowd.isBatch);
  for (const flow of waiting) flow.cap = capOf(flow, undefined);
  fill(live, pool, room);
  const own = new Map(live.map((flow) => [flow.crowd.tenant, flow]));
  const batches = waiting.filter(({ crowd }) => crowd.isBatch);
  for (const flow of batches) flow.cap = capOf(flow, own.get(flow.crowd.tenant));
  fill(batches, pool, room);
}

/** Progressive filling: all flows grow together, by weight and cost, until a limit of the pool is reached. A flow that reaches its own cap stops growing. */
function fill(flows: readonly Flow[], pool: readonly Source[], room: number[]): void {
  const ownEnd = (flow: Flow) => flow.cap / paceOf(flow);
  const growing = flows.some(({ cap }) => Number.isFinite(cap)) ? [...flows].sort((a, b) => ownEnd(a) - ownEnd(b) || 0) : flows;
  const need = pool.map((source) => growing.reduce((sum, flow) => sum + amountOf(source, flow.each) * paceOf(flow), 0));
  let shares = 0;
  for (const [index, flow] of growing.entries()) {
    const toPool = Math.min(ATONCE, ...room.map((left, at) => (need[at]! > HAIR ? left / need[at]! : ATONCE)));
    const step = Math.max(0, Math.min(toPool, ownEnd(flow) - shares));
    shares += step;
    room.forEach((left, at) => {
      room[at] = left - need[at]! * step;
    });
    if (step < ownEnd(flow) - (shares - step)) {
      for (const other of growing.slice(index)) other.rate = paceOf(other) * shares;
      return;
    }
    flow.rate = flow.cap;
    pool.forEach((source, at) => {
      need[at]! -= amountOf(source, flow.each) * paceOf(flow);
    });
  }
}

/** The share of the pool's rate if nothing limits it: so large that all starts at once. */
const ATONCE = 1e9;

/** Jobs per ms for a share of 1. */
function paceOf({ cost, crowd }: Flow): number {
  return crowd.weight / cost;
}

/** Jobs per ms that the tenant's own limits allow, after the tenant's live work has taken its part. */
function capOf({ crowd: { caps }, each }: Flow, live: Flow | undefined): number {
  const taken = live?.rate ?? 0;
  const requests = caps.requests === null ? Number.POSITIVE_INFINITY : caps.requests - taken;
  const tokens = caps.tokens === null ? Number.POSITIVE_INFINITY : (caps.tokens - taken * (live?.each ?? 0)) / each;
  return Math.max(0, Math.min(requests, tokens));
}

/** ms until a flow is done, or a limit is used up or its debt paid off. */
function untilNext(waiting: readonly Flow[], pool: readonly Source[]): number {
  let ms = Number.POSITIVE_INFINITY;
  for (const { left, rate } of waiting) if (rate > 0) ms = Math.min(ms, left / rate);
  for (const source of pool) {
    const gain = source.perMs - spending(waiting, source);
    if (source.level > HAIR && gain < 0) ms = Math.min(ms, source.level / -gain);
    if (source.level < -HAIR) ms = Math.min(ms, -source.level / source.perMs);
  }
  return ms;
}

function advance(waiting: readonly Flow[], pool: Source[], at: number, ms: number): void {
  for (const source of pool) {
    const level = Math.min(source.whole, source.level + (source.perMs - spending(waiting, source)) * ms);
    source.level = Math.abs(level) < HAIR * source.perMs ? 0 : level;
  }
  for (const flow of waiting) {
    const { cleared, crowd, left, rate } = flow;
    if (rate === 0) continue;
    flow.left = Math.max(0, left - rate * ms);
    for (const [mark, part] of Object.entries(MARKS) as [keyof typeof MARKS, number][]) {
      // On average, a job starts when half of it has been let through.
      const before = crowd.jobs - (Math.ceil(crowd.jobs * part) - 1 / 2);
      if (left > before && flow.left <= before) cleared[mark] = at + (left - before) / rate;
    }
  }
}

function spending(waiting: readonly Flow[], source: Source): number {
  return waiting.reduce((sum, { each, rate }) => sum + amountOf(source, each) * rate, 0);
}

function amountOf({ counts }: Source, each: number): number {
  return counts === "requests" ? 1 : each;
}
