/**
 * What a new follower needs from others: from the coordinator the places of waiting jobs, now and as they change; from dispatchers the deltas. Law: a new
 * follower asks about its own jobs alone, those that begin together ask in one message, and what is already being asked is not asked again.
 */
import { Batcher } from "../../platform/batcher.ts";
import { callCoordinator, callDispatcher } from "../../platform/objects.ts";
import { isEnd } from "../../policy/lifecycle.ts";
import type { FollowCall, Held, Place } from "../../schemas/rpc.ts";
import { find, noteRunning } from "./attempts.ts";
import type { Desk } from "./desk.ts";
import { toldPosition } from "./log.ts";
import { tellPlace } from "./positions.ts";
import type { JobRow } from "./store/store.ts";
import { idOf } from "./view.ts";

/**
 * Jobs of a channel that are asked about when somebody begins to watch it: the oldest, because they run first. If the mailbox slept and forgot that a later
 * one runs, that job's next event tells it: asking about all would make the coordinator look at every job of a long queue.
 */
const ASKED = 1_000;
const TOGETHER = { maxItems: 256, gapMs: 4, regroup: false, abreast: 8 };

export class Inquiries {
  readonly #desk: () => Desk;
  readonly #places = new Batcher<JobRow, Place | null>((rows) => this.#watchPlaces(rows), TOGETHER);
  readonly #deltas = new Batcher<number, null>((jobs) => this.#watchDeltas(jobs), TOGETHER);
  /** Questions under way, by the job's number. */
  readonly #placesAsked = new Map<number, Promise<Place | null>>();
  readonly #deltasAsked = new Map<number, Promise<null>>();

  constructor(desk: () => Desk) {
    this.#desk = desk;
  }

  /** `fresh`: the lobby did not follow the channel before, or only without deltas. */
  async ask(call: FollowCall, fresh: boolean): Promise<void> {
    const desk = this.#desk();
    const named = call.jobs.flatMap(({ id }) => find(desk, id) ?? []);
    const rows = fresh ? [...desk.store.openAfter(0, ASKED), ...named] : named;
    const waiting = rows.filter((row) => !isEnd(row.status) && !desk.running.has(row.n));
    await Promise.all(
      waiting.map(async (row) => {
        const place = await once(this.#placesAsked, row.n, () => this.#places.add(row));
        if (place?.held) recallRunning(desk, row.n, place.held);
        else if (place) tellPlace(desk, idOf(desk.address, row), place);
      }),
    );
    if (!call.deltas) return;
    const running = fresh ? [...desk.running.keys()] : rows.map(({ n }) => n).filter((n) => desk.running.has(n));
    await Promise.all(running.map((n) => once(this.#deltasAsked, n, () => this.#deltas.add(n))));
  }

  /** Has the coordinator tell of these jobs from now on; returns where they stand, null for all if it cannot be reached. */
  async #watchPlaces(rows: JobRow[]): Promise<(Place | null)[]> {
    const { address, env, settings } = this.#desk();
    const wishes = rows.map((row) => ({ job: idOf(address, row), told: toldPosition(row) }));
    const places = await callCoordinator(env, settings.region, (stub) => stub.watch(wishes)).catch(() => []);
    return rows.map((_, index) => places[index] ?? null);
  }

  /** Dispatchers keep the chunks of an attempt until its end: asks now for those that nobody wanted so far. */
  async #watchDeltas(jobs: number[]): Promise<null[]> {
    const desk = this.#desk();
    const held = new Map<string, Held[]>();
    for (const n of new Set(jobs)) {
      const running = desk.running.get(n);
      const row = running && desk.followers.wantsDeltas(n) ? desk.store.job(n) : null;
      if (!running || !row) continue;
      const list = held.get(running.dispatcher) ?? [];
      list.push({ job: idOf(desk.address, row), attempt: running.attempt });
      held.set(running.dispatcher, list);
    }
    const asked = [...held].map(([dispatcher, attempts]) =>
      callDispatcher(desk.env, dispatcher, desk.settings.region, (stub) => stub.watch(attempts)),
    );
    // The deltas are a convenience: the result comes in any case.
    await Promise.allSettled(asked);
    return jobs.map(() => null);
  }
}

/** A question that is already being asked is shared, with its answer. */
function once<T>(asked: Map<number, Promise<T>>, n: number, ask: () => Promise<T>): Promise<T> {
  const known = asked.get(n);
  if (known) return known;
  const answer = ask().finally(() => asked.delete(n));
  asked.set(n, answer);
  return answer;
}

/** A mailbox that slept has forgotten which of its jobs run; the coordinator knows. */
function recallRunning(desk: Desk, n: number, held: NonNullable<Place["held"]>): void {
  const row = desk.running.has(n) ? null : desk.store.job(n);
  if (row?.status !== "queued" || held.attempt < row.attempt) return;
  desk.running.set(n, held);
  noteRunning(desk, row, held.attempt, held.startedAt);
}
