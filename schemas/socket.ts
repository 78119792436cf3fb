import { z } from "zod";
import { Channel, Name } from "./channel.ts";
import type { ToldEvent } from "./event.ts";

/** The subprotocol that browsers offer, as the pair `sluice.v1, bearer.<token>`. */
export const SUBPROTOCOL = "sluice.v1";
export const BEARER_SUBPROTOCOL_PREFIX = "bearer.";

/** On sockets that an ingress door opens for itself: delta events carry each chunk as upstream wrote it (policy/verbatim.ts). Clients cannot send it. */
export const VERBATIM_HEADER = "x-sluice-verbatim";

/** Also on a door's own sockets: its caller waits for the job with this number. */
export const CALLER_HEADER = "x-sluice-caller";

/** Jobs that one frame may name, in each of `jobs` and `after`. */
export const JOBS_PER_FRAME = 1_000;
/** Characters of a frame: room for that many of the longest job ids, twice. */
export const FRAME_LIMIT = 2_000_000;
/** Jobs and channels that one socket may follow at a time. */
export const SUBSCRIPTIONS_LIMIT = 10_000;
/** For all sockets of one object together, though each may always have one: some 30 MB of its memory, twice that with the longest ids. */
export const ALL_SUBSCRIPTIONS_LIMIT = 50_000;

/** Names under which a channel remembers how far a consumer has come: this many for keys, and this many for tokens. */
export const CONSUMERS_LIMIT = 100;
const consumer = Name.min(1).max(64);

/** Longest job id in characters; the channel takes up to 512 of them. */
const ID_LIMIT = 640;
const jobId = z.string().min(1).max(ID_LIMIT);
const jobIds = z.array(jobId).max(JOBS_PER_FRAME);
const after = z
  .record(jobId, z.number().int().min(0).max(Number.MAX_SAFE_INTEGER))
  .refine((seqs) => Object.keys(seqs).length <= JOBS_PER_FRAME, `may name at most ${JOBS_PER_FRAME} jobs`);
export const ClientFrame = z.discriminatedUnion("type", [
  z.looseObject({
    type: z.literal("subscribe"),
    jobs: jobIds.nullish(),
    channel: Channel.nullish(),
    after: after.nullish(),
    deltas: z.boolean().nullish(),
    /** Under this name the channel resumes after what was acked, whoever connects with it. */
    consumer: consumer.nullish(),
  }),
  z.looseObject({ type: z.literal("unsubscribe"), jobs: jobIds.nullish(), channel: Channel.nullish() }),
  z.looseObject({
    type: z.literal("ack"),
    /** Events handled since the last such ack. A client that has sent one is never sent more than a window ahead of its acks. */
    frames: z.number().int().min(0).max(Number.MAX_SAFE_INTEGER).nullish(),
    /** For a channel followed as a consumer: everything up to the cursor has been handled for good. */
    channel: Channel.nullish(),
    cursor: z.number().int().min(0).max(Number.MAX_SAFE_INTEGER).nullish(),
  }),
]);
export type ClientFrame = z.infer<typeof ClientFrame>;

export type ServerFrame =
  | { type: "subscribed"; jobs: string[]; channel: string | null; deltas: boolean; consumer?: string; cursor?: number; resumed?: boolean }
  | { type: "unsubscribed"; jobs: string[]; channel: string | null }
  | ({ type: "event"; cursor?: number } & ToldEvent)
  | { type: "ended"; jobs: string[] }
  | { type: "lagging" }
  | { type: "error"; error: { code: string; message: string; param: string | null } };

/** Close codes that Sluice sends; see docs/api.md. */
export const CLOSE = {
  normal: 1000,
  binary: 1003,
  tooBig: 1009,
  protocol: 4400,
  tokenExpired: 4401,
  tokenRevoked: 4403,
  tooSlow: 4408,
  tooMany: 4429,
} as const;
