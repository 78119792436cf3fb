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
  /** Frames whose past is still being fetched. */
  pending: number;
  /** The number of the first event that arrived meanwhile: see held.ts. */
  from: number;
  /** The name under which this mailbox's own channel is followed: events come in the channel's order, with cursors. Null if it is not a consumer's. */
  consumer: string | null;
  /** For a consumer: it was told everything up to this place, and is told the rest from the log. Null: it is told of events as they come. */
  place: number | null;
  /** For a consumer: it was told everything up to this place, except what is still awaited. Goes back when that comes. */
  told: number;
  /** For a consumer: the page of the log that it is being told, if there was no room for all of it. */
  page: Page | null;
  /** For a consumer: from where the last page was looked for; `resting`: another turn goes on from there. */
  looked: Looked;
  resting: boolean;
  /** For a consumer: its cursor. */
  acked: number;
};

/** For a subscription that is not a consumer's. */
export const UNCONSUMED = { consumer: null, place: null, told: 0, page: null, looked: NOT_LOOKED, resting: false, acked: 0 };

/**
 * Tells a consumer what it has not been told, as much as its reader takes: one page, and further ones in turns of their own, each begun by `again`. Ends when
 * the consumer can be told of events as they come, or the reader is full.
 */
export function consume(desk: Desk, reader: Reader, subscription: Subscription, again: () => void): void {
  const { page: kept, place: from, resting } = subscription;
  if (from === null || resting || isBusy(reader, siteOf(desk.address.tenant, desk.address.channel))) return;
  const readings: Readings = new Map();
  // From `told` on: a page that begins before what is awaited would be the same again, with nothing new.
  const page = kept ?? new Page(desk, Math.max(from, subscription.told), subscription.deltas, subscription.looked);
  subscription.looked = page.looked;
  for (subscription.page = page.whole ? page : null; !page.over; ) {
    if (reader.full) return;
    const { event, place } = page.take(desk, readings);
    const cursor = desk.order.safe(place);
    // It may have been sent before: by another subscription, or ahead of an older event that was still awaited.
    if (event && reader.wants(event, subscription.deltas)) reader.put(new EventFrame(event, cursor), true);
    subscription.place = cursor;
    subscription.told = place;
  }
  subscription.page = null;
  if (page.last && page !== kept) {
    // Still in the turn in which the log was at its end: what comes next comes live.
    subscription.place = null;
    return;
  }
  // There is more; or the page was a kept one, and something may have come since it was made.
  subscription.resting = true;
  desk.background(
    aTurn().then(() => {
      subscription.resting = false;
      again();
    }),
  );
}

/** Whether a consumer is told of an event as it comes: not if it has acked the event, or the event has to wait for its turn. */
export function isLive(reader: Reader, { acked, place }: Subscription, event: JobEvent): boolean {
  if (event.place === undefined) return true;
  return event.place > acked && place === null && !reader.full && !isBusy(reader, spotOf(event.job)!.site);
}

/**
 * Whether what a consumer's socket lacks comes first: from its own mailbox, or from any if it was sent more than it dealt with, so that a busy channel
 * leaves room for the others. What another mailbox has yet to send does not matter to this channel's order.
 */
function isBusy(reader: Reader, site: string): boolean {
  return reader.lagging || reader.behind.lacks(site);
}

/** An event that a consumer is not told as it comes waits in the log for its turn. Returns whether it is the first that waits. */
export function postpone(desk: Desk, reader: Reader, subscription: Subscription, event: JobEvent & { place: number }): boolean {
  // It was awaited, and skipped when later events were told.
  if (event.place <= subscription.told) subscription.told = event.place - 1;
  if (subscription.place !== null || event.place <= subscription.acked || !reader.wants(event, subscription.deltas)) return false;
  if (reader.full && !reader.lagging) reader.lags();
  subscription.place = desk.order.safe(event.place - 1);
  return true;
}
