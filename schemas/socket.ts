import { z } from "zod";
import { Channel } from "./channel.ts";
import type { JobEvent } from "./event.ts";

/** The subprotocol that a browser names; the pair is `sluice.v1, bearer.<token>`. */
export const SUBPROTOCOL = "sluice.v1";
export const BEARER_SUBPROTOCOL_PREFIX = "bearer.";

/** Jobs that one frame may name. */
export const JOBS_PER_FRAME = 1_000;

/** Of a job's id: its channel takes up to 512 characters of it. */
const ID_LIMIT = 640;
const jobIds = z.array(z.string().min(1).max(ID_LIMIT)).max(JOBS_PER_FRAME);
export const ClientFrame = z.discriminatedUnion("type", [
  z.looseObject({
    type: z.literal("subscribe"),
    jobs: jobIds.nullish(),
    channel: Channel.nullish(),
    after: z.record(z.string(), z.number().int().min(0)).nullish(),
    deltas: z.boolean().nullish(),
  }),
  z.looseObject({ type: z.literal("unsubscribe"), jobs: jobIds.nullish(), channel: Channel.nullish() }),
  z.looseObject({ type: z.literal("ack") }),
]);
export type ClientFrame = z.infer<typeof ClientFrame>;

export type ServerFrame =
  | { type: "subscribed"; jobs: string[]; channel: string | null; deltas: boolean }
  | { type: "unsubscribed"; jobs: string[]; channel: string | null }
  | ({ type: "event" } & JobEvent)
  | { type: "error"; error: { code: string; message: string; param: string | null } };

/** Close codes that Sluice sends; see docs/api.md. */
export const CLOSE = { normal: 1000, tooBig: 1009, protocol: 4400, tokenExpired: 4401, tokenRevoked: 4403 } as const;
