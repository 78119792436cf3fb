/** Submits, follows and shows jobs until all of them have ended. */
import { setTimeout as sleep } from "node:timers/promises";
import { type Job, Sluice, type Submitted, type Subscription } from "../../index.ts";
import { type Api, poolOf, upstreamBurstSeconds, upstreamStats } from "./api.ts";
import type { Budget } from "./figures.ts";
import type { Screen, View } from "./screen.ts";
import type { Service } from "./service.ts";
import { Shown } from "./shown.ts";
import { seconds, Track } from "./track.ts";
import { chooseShown, KEYS, MODEL, makeJobs, OPERATOR_KEY, reservedTokens, type Work } from "./work.ts";

export type Run = {
  tracks: Track[];
  shown: Shown | null;
  /** On the clock of the tracks, seconds. */
  began: number;
  seconds: number;
  /** Tokens of all submitted jobs, by the API's rule. */
  reserved: number;
  /** Null if the service does not say. */
  budget: Budget | null;
  /** Null if the upstream is not the simulator. */
  rejected: number | null;
  drops: number;
};

/** A tenant at work. */
type Party = { track: Track; sluice: Sluice; jobs: Work[]; events: Subscription; last: string; drops: number };

type Stage = { api: Api; parties: Party[]; shown: Shown | null; began: number; allOver: () => void; failed: (error: unknown) => void };

/** In how many turns the larger tenant submits. */
const TURNS = 20;
const POLL_MS = 1_500;
const FRAME_MS = 80;
/** How long a service may be away, for example during a restart. */
const PATIENCE_MS = 30_000;

export async function run(service: Service, count: number, screen: Screen, signal: AbortSignal): Promise<Run> {
  const ending = new AbortController();
  const api: Api = { url: service.url, signal: AbortSignal.any([signal, ending.signal]) };
  const over = Promise.withResolvers<void>();
  const failed = Promise.withResolvers<never>();
  const stage: Stage = { api, parties: [], shown: null, began: 0, allOver: over.resolve, failed: failed.reject };
  stage.parties = makeParties(stage, count);
  signal.addEventListener("abort", () => failed.reject(signal.reason), { once: true });
  failed.promise.catch(() => {}); // it may come when nobody is waiting any more
  const guarded = <T>(work: Promise<T>) => Promise.race([work, failed.promise, service.broken]);
  try {
    const before = await guarded(look(api, service.simulated));
    await guarded(Promise.all(stage.parties.map(({ events }) => events.ready)));
    stage.began = seconds();
    void animate(stage, screen).catch(failed.reject);
    await guarded(submitAll(stage, service.simulated));
    await guarded(over.promise);
    const took = seconds() - stage.began;
    screen.show(viewOf(stage));
    const rejected = before.rejected === null ? null : ((await look(api, true)).rejected ?? 0) - before.rejected;
    const reserved = stage.parties.flatMap(({ jobs }) => jobs).reduce((sum, job) => sum + reservedTokens(job), 0);
    const drops = stage.parties.reduce((sum, party) => sum + party.drops, 0);
    return {
      tracks: stage.parties.map(({ track }) => track),
      shown: stage.shown,
      began: stage.began,
      seconds: took,
      reserved,
      budget: before.budget,
      rejected,
      drops,
    };
  } finally {
    ending.abort();
    screen.close();
  }
}

/** The first tenant asks for twice as much as the second: fairness shows while both wait. */
function makeParties(stage: Stage, count: number): Party[] {
  const second = Math.floor(count / 3);
  const { url, signal } = stage.api;
  // A channel of the run's own: whatever comes in it belongs to the run.
  const channel = `demo-${Date.now().toString(36)}`;
  return [...KEYS].map(([tenant, key], index) => {
    const jobs = makeJobs(channel, index === 0 ? count - second : second);
    const track = new Track(tenant, jobs.length);
    const sluice = new Sluice({ url, token: key });
    const onConnection = (state: "open" | "lost") => {
      if (state === "lost") party.drops++;
    };
    const events = sluice.subscribe(channel, { signal, patienceMs: PATIENCE_MS, onConnection });
    const party: Party = { track, sluice, jobs, events, last: "not submitted", drops: 0 };
    void follow(stage, events, track);
    return party;
  });
}

async function follow(stage: Stage, events: Subscription, listener: Track | Shown): Promise<void> {
  try {
    for await (const event of events) {
      listener.take(event);
      endIfOver(stage);
    }
  } catch (error) {
    stage.failed(error);
  }
}

function endIfOver({ parties, shown, allOver }: Stage): void {
  if (parties.every(({ track }) => track.over) && shown?.over !== false) allOver();
}

/**
 * By turns, so that neither tenant is first: a large burst could hold all jobs of the first, and the two would never wait together. Turns are of equal size:
 * what the burst lets through at once is then shared alike as well.
 */
async function submitAll(stage: Stage, simulated: boolean): Promise<void> {
  const { api, parties } = stage;
  const watchedParty = parties.at(-1)!;
  const watched = chooseShown(watchedParty.jobs, simulated);
  const answers = new Map(parties.map((party): [Party, Submitted[]] => [party, []]));
  const most = Math.max(...parties.map(({ jobs }) => jobs.length));
  const turn = Math.ceil(most / TURNS);
  for (let from = 0; from < most; from += turn) {
    for (const [{ jobs, sluice }, own] of answers) {
      const some = jobs.slice(from, from + turn);
      if (some.length > 0) for await (const answer of sluice.submitMany(some, { signal: api.signal })) own.push(answer);
    }
  }
  for (const [party, own] of answers) {
    party.track.accept(own.flatMap((answer) => (answer.ok ? answer.job.id : [])));
    void poll(api, party);
  }
  const shown = answers.get(watchedParty)![watched];
  if (shown?.ok) {
    stage.shown = new Shown(watchedParty.track.tenant);
    void follow(stage, watchedParty.sluice.stream(shown.job.id, { signal: api.signal, patienceMs: PATIENCE_MS }), stage.shown);
  }
  endIfOver(stage);
}

/** What the budget allows now, and what the simulator has refused so far. */
async function look(api: Api, simulated: boolean): Promise<{ budget: Budget | null; rejected: number | null }> {
  const pool = await poolOf(api, OPERATOR_KEY, MODEL);
  if (!simulated) {
    const burst = pool?.free;
    return { budget: pool && burst ? { limits: pool.limits, burst } : null, rejected: null };
  }
  const { requests, tokens } = (await upstreamStats(api)).rejected_429;
  if (pool === null) return { budget: null, rejected: requests + tokens };
  const minutes = (await upstreamBurstSeconds(api)) / 60;
  const { limits, used } = pool;
  // Everything that upstream lets through, not just the part that Sluice dares to use.
  const burst = { requests: limits.rpm * minutes - used.requests, tokens: limits.tpm * minutes - used.tokens };
  return { budget: { limits, burst }, rejected: requests + tokens };
}

/** Polls where the tenant's last job stands. A failed poll is ignored; the next one will do. */
async function poll(api: Api, party: Party): Promise<void> {
  const id = party.track.accepted?.at(-1);
  while (id !== undefined && !api.signal.aborted && !party.track.over) {
    const job = await party.sluice.get(id, { signal: api.signal }).catch(() => null);
    if (job !== null) party.last = describe(job);
    await sleep(POLL_MS, undefined, { signal: api.signal }).catch(() => {});
  }
}

function describe({ status, position, eta }: Job): string {
  if (status !== "queued" || position === null || eta === null) return status;
  return `position ${position}, starts in about ${eta.p50.toFixed(1)} s`;
}

async function animate(stage: Stage, screen: Screen): Promise<void> {
  while (!stage.api.signal.aborted) {
    screen.show(viewOf(stage));
    await sleep(FRAME_MS, undefined, { signal: stage.api.signal }).catch(() => {});
  }
}

function viewOf({ parties, shown, began }: Stage): View {
  const tenants = parties.map(({ track, last }) => {
    const { tenant: name, total, ended: done, running } = track;
    return { name, total, done, running, last: track.over ? "ended" : last };
  });
  const of = shown === null ? "" : `${shown.tenant}'s answer as it arrives:`;
  return { seconds: seconds() - began, tenants, text: { of, text: shown?.text ?? "" } };
}
