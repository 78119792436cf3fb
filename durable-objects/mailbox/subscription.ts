/** What one socket wants to be told of: a job, or a channel. */
import { siteOf, spotOf } from "../../platform/ids.ts";
import { aTurn } from "../../platform/turns.ts";
import type { JobEvent } from "../../schemas/event.ts";
import { type Looked, NOT_LOOKED, Page, type Readings } from "./backlog.ts";
import type { Desk } from "./desk.ts";
import { EventFrame } from "./frames.ts";
import type { Reader } from "./reader.ts";

export type Subscription = {
  deltas: boolean;
  /** Frames of which the past is being fetched. */
  pending: number;
  /** From which one on events have arrived meanwhile: see held.ts. */
  from: number;
  /** The channel, this very mailbox's, is followed under this name: events come in its order, with cursors. */
  consumer: string | null;
  /** Of a consumer: it was told everything up to here, and is told the rest from the log. Null: it is told of events as they come. */
  place: number | null;
  /** Of a consumer: it was told everything up to here, but for what is still awaited. Goes back when that comes. */
  told: number;
  /** Of a consumer: what it is being told of the log, if there was not room for all of it. */
  page: Page | null;
  /** Of a consumer: where the last page was looked for, and that another turn goes on from there. */
  looked: Looked;
  resting: boolean;
  /** Of a consumer: its cursor. */
  acked: number;
};

/** Of who is no consumer. */
export const UNCONSUMED = { consumer: null, place: null, told: 0, page: null, looked: NOT_LOOKED, resting: false, acked: 0 };

/**
 * Tells a consumer what it has not been told, as much as goes: a page, and the others in turns of their own, each begun by `again`. Ends with it being told of events
 * as they come, or with the reader full.
 */
export function consume(desk: Desk, reader: Reader, subscription: Subscription, again: () => void): void {
  const { page: kept, place: from, resting } = subscription;
  if (from === null || resting || isBusy(reader, siteOf(desk.address.tenant, desk.address.channel))) return;
  const readings: Readings = new Map();
  // A page that began before what is awaited would be the same again, and nothing of it new.
  const page = kept ?? new Page(desk, Math.max(from, subscription.told), subscription.deltas, subscription.looked);
  subscription.looked = page.looked;
  for (subscription.page = page.whole ? page : null; !page.over; ) {
    if (reader.full) return;
    const { event, place } = page.take(desk, readings);
    const cursor = desk.order.safe(place);
    // Sent before: by another subscription, or before an older one that was still awaited.
    if (event && reader.wants(event, subscription.deltas)) reader.put(new EventFrame(event, cursor), true);
    subscription.place = cursor;
    subscription.told = place;
  }
  subscription.page = null;
  if (page.last && page !== kept) {
    // In the turn in which the log was at its end: what comes next comes live.
    subscription.place = null;
    return;
  }
  // There is more; or something may have come since a page was looked for that was kept.
  subscription.resting = true;
  desk.background(
    aTurn().then(() => {
      subscription.resting = false;
      again();
    }),
  );
}

/** Whether a consumer is told of an event as it comes; not what it has acked, nor what has to wait for its turn. */
export function isLive(reader: Reader, { acked, place }: Subscription, event: JobEvent): boolean {
  if (event.place === undefined) return true;
  return event.place > acked && place === null && !reader.full && !isBusy(reader, spotOf(event.job)!.site);
}

/**
 * Whether what a consumer's socket lacks comes first: of its own mailbox, or of any if it was sent more than it dealt with, so that a channel where much
 * happens leaves room for the others. What another mailbox keeps is nothing to its order.
 */
function isBusy(reader: Reader, site: string): boolean {
  return reader.lagging || reader.behind.lacks(site);
}

/** An event that a consumer is not told as it comes waits in the log for its turn. Answers whether it is the first that does. */
export function postpone(desk: Desk, reader: Reader, subscription: Subscription, event: JobEvent & { place: number }): boolean {
  // It was awaited, and passed over.
  if (event.place <= subscription.told) subscription.told = event.place - 1;
  if (subscription.place !== null || event.place <= subscription.acked || !reader.wants(event, subscription.deltas)) return false;
  if (reader.full && !reader.lagging) reader.lags();
  subscription.place = desk.order.safe(event.place - 1);
  return true;
}
