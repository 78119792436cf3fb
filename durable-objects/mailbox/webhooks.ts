/**
 * Events on their way to webhooks. Law: an event is written in the commit of its job's end and stays due until a receiver's answer, or the lack of one,
 * is written down; so it is sent at least once, and what is sent twice bears the same id.
 */

import { type Outside, type Posted, post } from "../../platform/outside.ts";
import { eventOf, RESPONSE_LIMIT } from "../../policy/webhook/event.ts";
import { afterDelivery, retryAfterMs } from "../../policy/webhook/schedule.ts";
import type { WebhookEvent } from "../../schemas/webhook.ts";
import type { Desk } from "./desk.ts";
import { signedHeaders } from "./sign.ts";
import type { DeliveryRow, Lane } from "./store/deliveries.ts";
import type { JobRow } from "./store/store.ts";
import { jobOf } from "./view.ts";

/** Requests under way: of the six that may wait for headers in one object, two stay free. */
const WIDTH = 4;
/** To one host: one that is slow leaves room for the others. One that did not answer in time the last time is sent one at a time. */
const WIDTH_PER_HOST = 2;
/** To all hosts together that did not; and what one of which nothing is known leaves free before it takes a second. */
const WIDTH_SLOW = 2;
/** To these and those of which nothing is known together: one that is known to be quick need not wait for them. */
const WIDTH_UNPROVEN = 3;
/** So many hosts are known by how they answered. */
const PACES_LIMIT = 4_000;
/** An answer that takes longer is not in time, though it counts. */
const SLOW_MS = 5_000;
/** While something is due, the object is woken this often (ms): it may have died over it. */
const WATCHDOG_MS = 30_000;

export class Webhooks {
  readonly #of: () => Desk;
  readonly #outside: Outside;
  /** Job number -> host, of the requests under way. */
  readonly #underway = new Map<number, string>();
  /** How hosts answered the last time, the one that did so longest ago first. Forgotten with the object, and found out again. */
  readonly #pace = new Map<string, "quick" | "slow">();
  /** Hosts with something ahead, the one that was served last at the end. */
  #served: string[] = [];

  constructor(desk: () => Desk, outside: Outside) {
    this.#of = desk;
    this.#outside = outside;
  }

  /** Writes a job's end and its event, both or neither, and sends it. `url`: the job's webhook. */
  tell({ n, ended_at }: Pick<JobRow, "n" | "ended_at">, url: string, writeEnd: () => void): void {
    const { now, store } = this.#of();
    const begun_at = ended_at ?? now();
    const gone = store.deliveries.isGone(url);
    const fate = gone ? ({ status: "disabled", next_at: null } as const) : ({ status: "pending", next_at: begun_at } as const);
    store.sql.transaction(() => {
      writeEnd();
      store.deliveries.add({ n, url, host: new URL(url).host, begun_at, ...fate });
    });
    // The request is held back until the commit is durable.
    if (!gone) this.wake();
  }

  /** Sends an event from the start of the schedule, whatever became of it; one that is under way is let be. */
  again(row: DeliveryRow): void {
    if (this.#underway.has(row.n)) return;
    const now = this.#of().now();
    this.#of().store.deliveries.put({ ...row, status: "pending", begun_at: now, tries: 0, next_at: now });
    this.wake();
  }

  wake(): void {
    const next = this.pump();
    if (next !== Number.POSITIVE_INFINITY) this.#of().wakeBy(next);
  }

  /** Sends what is due, as far as there is room; answers when to come again (ms), Infinity if nothing is open. */
  pump(): number {
    const { now, store } = this.#of();
    const at = now();
    // Every end of a request pumps again.
    if (this.#underway.size >= WIDTH) return at + WATCHDOG_MS;
    const lanes = store.deliveries.lanes();
    for (const { host } of this.#inTurn(lanes.filter(({ next_at }) => next_at <= at))) this.#serve(host, at);
    return Math.min(...lanes.map(({ next_at }) => (next_at <= at ? at + WATCHDOG_MS : next_at)));
  }

  /** Those that were served least lately first, of several the one that waits longest. */
  #inTurn(lanes: Lane[]): Lane[] {
    const due = new Set(lanes.map(({ host }) => host));
    this.#served = this.#served.filter((host) => due.has(host));
    const turn = new Map(this.#served.map((host, index) => [host, index]));
    return lanes.sort((a, b) => (turn.get(a.host) ?? -1) - (turn.get(b.host) ?? -1) || a.next_at - b.next_at);
  }

  #serve(host: string, at: number): void {
    const { here, room } = this.#room(host);
    if (room <= 0) return;
    const rows = this.#of().store.deliveries.due(host, at, room + here);
    const fresh = rows.filter(({ n }) => !this.#underway.has(n)).slice(0, room);
    if (fresh.length === 0) return;
    this.#served = [...this.#served.filter((each) => each !== host), host];
    for (const row of fresh) {
      this.#underway.set(row.n, host);
      this.#of().background(this.#send(row));
    }
  }

  /** `here`: of the requests under way, those to this host; `room`: for how many more. */
  #room(host: string): { here: number; room: number } {
    const pace = this.#pace.get(host);
    const underway = [...this.#underway.values()];
    const here = underway.filter((each) => each === host).length;
    const slow = underway.filter((each) => this.#pace.get(each) === "slow").length;
    const unproven = underway.filter((each) => this.#pace.get(each) !== "quick").length;
    const free = WIDTH - underway.length;
    if (pace === "quick") return { here, room: Math.min(free, WIDTH_PER_HOST - here) };
    const wide = pace === "slow" ? Math.min(1 - here, WIDTH_SLOW - slow) : Math.max(1 - here, free - WIDTH_SLOW);
    return { here, room: Math.min(free, wide, WIDTH_UNPROVEN - unproven) };
  }

  async #send(row: DeliveryRow): Promise<void> {
    const { now } = this.#of();
    const begunAt = now();
    try {
      const posted = await this.#attempt(row);
      const inTime = posted.status !== null && now() - begunAt < SLOW_MS;
      this.#learn(row.host, inTime ? "quick" : "slow");
      this.#record(row.n, posted);
    } catch {
      // It stays due. Not to be tried again at once: the alarm comes for it.
      this.#underway.delete(row.n);
      return;
    }
    this.#underway.delete(row.n);
    this.wake();
  }

  #learn(host: string, pace: "quick" | "slow"): void {
    this.#pace.delete(host);
    this.#pace.set(host, pace);
    const [longest] = this.#pace.keys();
    if (this.#pace.size > PACES_LIMIT) this.#pace.delete(longest!);
  }

  async #attempt({ n, url }: DeliveryRow): Promise<Posted> {
    const { address, eventOf, now, settings } = this.#of();
    const secrets = settings.webhookSecrets.get(address.tenant);
    // Taken out of the settings since: nobody could tell that the event is genuine.
    if (!secrets) return { status: null, retryAfter: null, error: "unsigned" };
    const event = eventOf(n);
    const body = JSON.stringify(event);
    const at = Math.floor(now() / 1_000);
    return post(this.#outside, url, await signedHeaders(secrets, event.id, at, body), body);
  }

  #record(n: number, { error, retryAfter, status: answered }: Posted): void {
    const { now, retentionMs, store, wakeBy } = this.#of();
    const row = store.deliveries.get(n);
    if (!row) return;
    const at = now();
    const answer = { status: answered, retryAfterMs: retryAfterMs(retryAfter, at, Date.parse) };
    const verdict = afterDelivery(answer, { begunAt: row.begun_at, tries: row.tries }, at, this.#outside.random());
    // Another event's attempt may have met a 410 meanwhile: then this one is not tried again.
    const status = verdict.status === "pending" ? row.status : verdict.status;
    const next_at = verdict.status === "pending" && status === "pending" ? verdict.nextAt : null;
    const counts = { tries: row.tries + 1, attempts: row.attempts + 1 };
    store.sql.transaction(() => {
      store.deliveries.put({ ...row, ...counts, status, next_at, last_at: at, last_status: answered, last_error: error });
      // What was under way when the URL was disabled says nothing of it; what is sent since then was sent by hand.
      if (status === "delivered" && row.status === "pending") store.deliveries.enable(row.url);
      if (verdict.status === "disabled") store.deliveries.disable(row.url, row.host, at);
    });
    // Its job was kept for this.
    if (next_at === null) wakeBy(Math.max(at, (store.job(n)?.ended_at ?? at) + retentionMs));
  }
}

/** The event of a job that has ended. */
export function jobEvent({ address, now, store }: Desk, n: number): WebhookEvent {
  const omitted = store.length(n, "response") > RESPONSE_LIMIT;
  const response = omitted ? null : store.text(n, "response");
  return eventOf(jobOf(address, store.job(n)!, { place: null, runningSince: null, now: now() }, response), omitted);
}
