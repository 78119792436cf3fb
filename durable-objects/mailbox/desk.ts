/** What the steps of a mailbox share: its storage, what it remembers of running jobs, and who is told of events. */
import type { Env } from "../../platform/objects.ts";
import type { Settings } from "../../platform/settings.ts";
import type { JobEnd } from "../../schemas/job.ts";
import type { MailboxAddress } from "../../schemas/rpc.ts";
import type { WebhookEvent } from "../../schemas/webhook.ts";
import type { Calls } from "./calls.ts";
import type { Followers } from "./followers.ts";
import type { Inquiries } from "./inquiries.ts";
import type { Order } from "./order.ts";
import type { Room } from "./room.ts";
import type { MailboxStore } from "./store/store.ts";
import type { Streams } from "./streams.ts";
import type { Webhooks } from "./webhooks.ts";

/** A running attempt. Lost with the object; the coordinator knows the same. */
export type Running = { attempt: number; dispatcher: string; startedAt: number };

export type Desk = {
  readonly address: MailboxAddress;
  readonly env: Env;
  readonly settings: Settings;
  readonly store: MailboxStore;
  readonly running: Map<number, Running>;
  /** The dispatcher that the coordinator named when it confirmed a job, until that attempt is opened: another's lease of the same attempt is void. */
  readonly promised: Map<number, { attempt: number; dispatcher: string }>;
  readonly followers: Followers;
  readonly inquiries: Inquiries;
  readonly order: Order;
  readonly streams: Streams;
  readonly calls: Calls;
  readonly webhooks: Webhooks;
  /** Whether the door of a job's caller is there. */
  readonly called: (n: number) => boolean;
  /** What a webhook is told of a job. */
  readonly eventOf: (n: number) => WebhookEvent;
  /** ms since the epoch. */
  readonly now: () => number;
  readonly background: (work: Promise<unknown>) => void;
  /** A job has ended. */
  readonly ended: (status: JobEnd) => void;
  readonly room: Room;
  /** How long an ended job is kept, ms. */
  readonly retentionMs: number;
  /** Makes sure that the object is awake by then (ms). */
  readonly wakeBy: (at: number) => void;
};
