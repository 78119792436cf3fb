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
/** When half, nearly all and all of its jobs have started, ms from now; Infinity if that never comes. */
export type Cleared = { id: string; half: number; nearly: number; last: number };

const HAIR = 1e-9;
const MARKS = { half: 0.5, nearly: 0.95, last: 1 } as const;

/** A limit of the pool, in ms of its rate: in units, the smallest rates would be taken for rounding. */
type Limit = { level: number; whole: number };
/**
 * A flow under way. `each`: tokens per job. `costs`: what a job takes of each limit, in ms of its rate; `cost`: the most of these. `left`: jobs. `rate`, `cap`:
 * jobs per ms. `due`: the part of a job that must be let through before it starts.
 */
type Flow = {
  crowd: Crowd;
  each: number;
  costs: number[];
  cost: number;
  due: number;
  left: number;
  rate: number;
  cap: number;
  cleared: Cleared;
};

export function clear(crowds: readonly Crowd[], sources: readonly Source[]): Cleared[] {
  const pool = sources.map(({ level, perMs, whole }) => ({ level: level / perMs, whole: whole / perMs }));
  const flows = crowds.filter(({ jobs }) => jobs > 0).map((crowd) => flowOf(crowd, sources));
  let at = 0;
  for (let waiting = flows; waiting.length > 0; waiting = flows.filter(({ left }) => left > HAIR)) {
    for (const flow of waiting) flow.rate = 0;
    share(waiting, pool);
    const ms = untilNext(waiting, pool);
    if (!Number.isFinite(ms)) break;
    advance(waiting, pool, at, ms);
    at += ms;
  }
  return flows.map(({ cleared }) => cleared);
}

function flowOf(crowd: Crowd, sources: readonly Source[]): Flow {
  const each = crowd.tokens / crowd.jobs;
  const amounts = sources.map(({ counts }) => (counts === "requests" ? 1 : each));
  const costs = sources.map(({ perMs }, at) => amounts[at]! / perMs);
  // On average, a job starts when half of it has been let through. If a limit never holds that much, the job starts when the limit is full.
  const due = Math.min(1 / 2, ...sources.map(({ whole }, at) => whole / amounts[at]!));
  const never = Number.POSITIVE_INFINITY;
  const cleared = { id: crowd.id, half: never, nearly: never, last: never };
  return { crowd, each, costs, cost: Math.max(HAIR, ...costs), due, left: crowd.jobs, rate: 0, cap: 0, cleared };
}

/** Sets each flow's rate. Live work goes first; batches get what it leaves, of their tenant's own limits too. */
function share(waiting: readonly Flow[], pool: readonly Limit[]): void {
  const room = pool.map(({ level }) => (level > HAIR ? Number.POSITIVE_INFINITY : level < -HAIR ? 0 : 1));
  const live = waiting.filter(({ crowd }) => !crowd.isBatch);
  for (const flow of waiting) flow.cap = capOf(flow, undefined);
  fill(live, room);
  const own = new Map(live.map((flow) => [flow.crowd.tenant, flow]));
  const batches = waiting.filter(({ crowd }) => crowd.isBatch);
  for (const flow of batches) flow.cap = capOf(flow, own.get(flow.crowd.tenant));
  fill(batches, room);
}

/**
 * Progressive filling: all flows grow together, by weight and cost, until a limit of the pool is reached. A flow that reaches its own cap stops growing. `room`:
 * the part of each limit's rate that is left.
 */
function fill(flows: readonly Flow[], room: number[]): void {
  const ownEnd = (flow: Flow) => flow.cap / paceOf(flow);
  const growing = flows.some(({ cap }) => Number.isFinite(cap)) ? [...flows].sort((a, b) => ownEnd(a) - ownEnd(b) || 0) : flows;
  const need = room.map((_, at) => growing.reduce((sum, flow) => sum + flow.costs[at]! * paceOf(flow), 0));
  const none = HAIR * Math.max(...need);
  let shares = 0;
  for (const [index, flow] of growing.entries()) {
    const toPool = Math.min(ATONCE, ...room.map((left, at) => (need[at]! > none ? left / need[at]! : ATONCE)));
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
    flow.costs.forEach((cost, at) => {
      need[at]! -= cost * paceOf(flow);
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
function untilNext(waiting: readonly Flow[], pool: readonly Limit[]): number {
  let ms = Number.POSITIVE_INFINITY;
  for (const { left, rate } of waiting) if (rate > 0) ms = Math.min(ms, left / rate);
  for (const [at, { level }] of pool.entries()) {
    const gain = 1 - spending(waiting, at);
    if (level > HAIR && gain < 0) ms = Math.min(ms, level / -gain);
    if (level < -HAIR) ms = Math.min(ms, -level);
  }
  return ms;
}

function advance(waiting: readonly Flow[], pool: Limit[], at: number, ms: number): void {
  for (const [index, limit] of pool.entries()) {
    const level = Math.min(limit.whole, limit.level + (1 - spending(waiting, index)) * ms);
    limit.level = Math.abs(level) < HAIR * Math.max(1, ms) ? 0 : level;
  }
  for (const flow of waiting) {
    const { cleared, crowd, due, left, rate } = flow;
    if (rate === 0) continue;
    flow.left = Math.max(0, left - rate * ms);
    for (const [mark, part] of Object.entries(MARKS) as [keyof typeof MARKS, number][]) {
      const before = crowd.jobs - (Math.ceil(crowd.jobs * part) - 1 + due);
      if (flow.left <= before && !Number.isFinite(cleared[mark])) cleared[mark] = at + (left - before) / rate;
    }
  }
}

/** The part of a limit's rate that is spent. */
function spending(waiting: readonly Flow[], limit: number): number {
  return waiting.reduce((sum, { costs, rate }) => sum + costs[limit]! * rate, 0);
}
