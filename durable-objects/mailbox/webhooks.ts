/**
 * Events on their way to webhooks. Law: an event is written in the commit of its job's end and stays due until the receiver's answer, or the lack of one,
 * is recorded; so it is sent at least once, and a repeat has the same id.
 */

import { type Outside, type Posted, post } from "../../platform/outside.ts";
import { eventOf, RESPONSE_LIMIT } from "../../policy/webhook/event.ts";
import { type Pace, Receivers, type Turn, WIDTH } from "../../policy/webhook/receivers.ts";
import { afterDelivery, retryAfterMs } from "../../policy/webhook/schedule.ts";
import type { WebhookEvent } from "../../schemas/webhook.ts";
import type { Desk } from "./desk.ts";
import { signedHeaders } from "./sign.ts";
import type { DeliveryRow } from "./store/deliveries.ts";
import type { JobRow } from "./store/store.ts";
import { jobOf } from "./view.ts";

/** An answer that takes longer counts, but its receiver is then sent one at a time. */
const SLOW_MS = 5_000;
/** While something is due, the object is woken this often (ms), in case it died meanwhile. */
const WATCHDOG_MS = 30_000;

export class Webhooks {
  readonly #of: () => Desk;
  readonly #outside: Outside;
  /** Job numbers of the requests under way. */
  readonly #underway = new Set<number>();
  /** Null until first needed. */
  #known: Receivers | null = null;

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
    if (gone) return;
    this.#receivers.expect(new URL(url).host, begun_at);
    // The request is held back until the commit is durable.
    this.wake();
  }

  /** Sends an event again, from the start of the schedule, whatever became of it; one that is under way is left alone. */
  again(row: DeliveryRow): void {
    if (this.#underway.has(row.n)) return;
    const now = this.#of().now();
    this.#of().store.deliveries.put({ ...row, status: "pending", begun_at: now, tries: 0, next_at: now });
    this.#receivers.expect(row.host, now);
    this.wake();
  }

  wake(): void {
    const next = this.pump();
    if (next !== Number.POSITIVE_INFINITY) this.#of().wakeBy(next);
  }

  /** Sends what is due, as far as there is room; returns when to come again (ms), Infinity if nothing is open. */
  pump(): number {
    const at = this.#of().now();
    const receivers = this.#receivers;
    for (let turn = receivers.pick(at); turn; turn = receivers.pick(at)) this.#serve(turn, at);
    return Math.min(receivers.next, receivers.busy ? at + WATCHDOG_MS : Number.POSITIVE_INFINITY);
  }

  /** Read from storage once in an object's life, and kept from then on: there may be thousands with open deliveries. */
  get #receivers(): Receivers {
    if (this.#known) return this.#known;
    this.#known = new Receivers();
    for (const { host, next_at } of this.#of().store.deliveries.lanes()) this.#known.set(host, next_at);
    return this.#known;
  }

  #serve({ here, host, room }: Turn, at: number): void {
    const rows = this.#of().store.deliveries.due(host, at, room + here);
    for (const row of rows.filter(({ n }) => !this.#underway.has(n)).slice(0, room)) {
      this.#underway.add(row.n);
      this.#receivers.began(host);
      this.#of().background(this.#send(row));
    }
    this.#receivers.set(host, this.#next(host));
  }

  /** When the first event for a host that is not under way is due; null if there is none. */
  #next(host: string): number | null {
    const ahead = this.#of().store.deliveries.ahead(host, WIDTH + 1);
    return ahead.find(({ n }) => !this.#underway.has(n))?.next_at ?? null;
  }

  async #send(row: DeliveryRow): Promise<void> {
    const { now } = this.#of();
    const begunAt = now();
    let pace: Pace;
    try {
      const posted = await this.#attempt(row);
      pace = posted.status !== null && now() - begunAt < SLOW_MS ? "quick" : "slow";
      this.#record(row.n, posted);
    } catch {
      // It stays due, but is not tried again at once: the alarm comes for it.
      this.#over(row, null, begunAt + WATCHDOG_MS);
      return;
    }
    this.#over(row, pace, 0);
    this.wake();
  }

  /** A request is over; the next to its host comes no sooner than `soonest` (ms). */
  #over({ host, n }: DeliveryRow, pace: Pace | null, soonest: number): void {
    this.#underway.delete(n);
    this.#receivers.ended(host, pace);
    const next = this.#next(host);
    this.#receivers.set(host, next === null ? null : Math.max(next, soonest));
  }

  async #attempt({ n, url }: DeliveryRow): Promise<Posted> {
    const { address, eventOf, now, settings } = this.#of();
    const secrets = settings.webhookSecrets.get(address.tenant);
    // The secrets were taken out of the settings since: nobody could tell that the event is genuine.
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
      // A delivery that was under way when the URL was disabled does not enable it; one that is pending since then was sent by hand, and does.
      if (status === "delivered" && row.status === "pending") store.deliveries.enable(row.url);
      if (verdict.status === "disabled") store.deliveries.disable(row.url, row.host, at);
    });
    // Its job was kept until this delivery closed.
    if (next_at === null) wakeBy(Math.max(at, (store.job(n)?.ended_at ?? at) + retentionMs));
  }
}

/** The event of a job that has ended. */
export function jobEvent({ address, now, store }: Desk, n: number): WebhookEvent {
  const omitted = store.length(n, "response") > RESPONSE_LIMIT;
  const response = omitted ? null : store.text(n, "response");
  return eventOf(jobOf(address, store.job(n)!, { place: null, runningSince: null, now: now() }, response), omitted);
}
