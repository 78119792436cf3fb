/** Tenants that share a pool, some of whom send jobs that upstream never takes: the coordinator's own steps, over hours, without an object around them. */

import { enqueue } from "../../durable-objects/coordinator/enqueue.ts";
import { noLetters } from "../../durable-objects/coordinator/letters.ts";
import { openBook } from "../../durable-objects/coordinator/opening.ts";
import { settle } from "../../durable-objects/coordinator/settle.ts";
import { CoordinatorStore } from "../../durable-objects/coordinator/store/store.ts";
import { decide, record } from "../../durable-objects/coordinator/turn.ts";
import { jobId } from "../../platform/ids.ts";
import { readSettings } from "../../platform/settings.ts";
import type { Outcome } from "../../schemas/rpc.ts";
import { openStorage } from "./storage.ts";

export const START = 1_700_000_000_000;
const COMMITTED: Outcome = { kind: "committed", usage: null };
const STEP_MS = 200;

/** Sends `count` jobs from second `from` on, and again every `everyMs`; each call ends with `outcome` after `callMs`. */
export type Sender = {
  tenant: string;
  outcome?: Outcome | ((now: number) => Outcome);
  count?: number;
  everyMs?: number;
  from?: number;
  callMs?: number;
};

export type Seen = {
  sent: number;
  /** How many calls were made. `waits`: how long each first call had to wait, s, ascending. */
  calls: number;
  /** How many of them came to nothing. */
  refused: number;
  waits: number[];
};

type Running = { job: string; attempt: number; dispatcher: string; sender: Sender; endsAt: number };

/** What each sender saw in `minutes`, and how often operators were told of each event. */
export function play(senders: Sender[], minutes: number, limits: object = {}): { seen: Seen[]; told: Record<string, number> } {
  const settings = readSettings({
    SLUICE_POOLS: JSON.stringify({ p: { rpm: 500, tpm: 5_000_000, ramp_tpm: null, burst_seconds: 60, ...limits } }),
  });
  const store = new CoordinatorStore(openStorage().open());
  const book = openBook(settings, store, START);
  const random = seeded();
  const seen = new Map(senders.map((sender) => [sender, { sent: 0, calls: 0, refused: 0, waits: [] as number[] }]));
  const told: Record<string, number> = {};
  const sent = new Map<string, { sender: Sender; at: number }>();
  let running: Running[] = [];

  const send = (sender: Sender, now: number) => {
    const { count = 1, tenant } = sender;
    const channel = `c${senders.indexOf(sender)}`;
    const tickets = Array.from({ length: count }, () => {
      const job = jobId(tenant, { channel, number: sent.size + 1, nonce: "000000", at: START });
      sent.set(job, { sender, at: now });
      return { job, pool: "p", priority: 0, tokens: 1_000, acceptedAt: now, notBefore: null, deadline: null };
    });
    seen.get(sender)!.sent += count;
    enqueue(book, { tenant, channel }, tickets, now);
  };
  const step = (now: number) => {
    const ended = running.filter(({ endsAt }) => endsAt <= now);
    running = running.filter(({ endsAt }) => endsAt > now);
    for (const { attempt, dispatcher, job, sender } of ended) {
      const outcome = typeof sender.outcome === "function" ? sender.outcome(now) : (sender.outcome ?? COMMITTED);
      if (outcome.kind !== "committed") seen.get(sender)!.refused++;
      settle(book, { dispatcher, boot: "b", settlements: [{ job, attempt, outcome, headersMs: null }] }, now, random);
    }
    for (const sender of senders) {
      const since = now - START - (sender.from ?? 0) * 1_000;
      if (sender.everyMs ? since >= 0 && since % sender.everyMs === 0 : since === 0) send(sender, now);
    }
  };
  for (let now = START; now < START + minutes * 60_000; now += STEP_MS) {
    decide(book, now, random, step);
    record(book, store, now);
    for (const [dispatcher, leases] of [...book.letters.ahead, ...book.letters.starts]) {
      for (const { attempt, job } of leases) {
        const { at, sender } = sent.get(job)!;
        const known = seen.get(sender)!;
        known.calls++;
        if (attempt === 1) known.waits.push((now - at) / 1_000);
        running.push({ job, attempt, dispatcher, sender, endsAt: now + (sender.callMs ?? 500) });
      }
    }
    book.letters = noLetters();
    for (const { event } of book.conditions.notices.splice(0)) told[event] = (told[event] ?? 0) + 1;
  }
  for (const { waits } of seen.values()) waits.sort((a, b) => a - b);
  return { seen: [...seen.values()], told };
}

/** `started`: the share of the jobs sent that were called at all. `quantile`: how long the first call of that share had to wait at most, s. */
export const started = ({ sent, waits }: Seen): number => waits.length / sent;
export const quantile = ({ waits }: Seen, share: number): number => waits[Math.floor(waits.length * share)] ?? Number.POSITIVE_INFINITY;

function seeded(): () => number {
  let state = 1;
  return () => {
    state = (state * 16_807) % 2_147_483_647;
    return state / 2_147_483_647;
  };
}
