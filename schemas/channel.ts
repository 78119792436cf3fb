import { z } from "zod";

/** Characters of a channel name: it travels in every job id. */
export const CHANNEL_LIMIT = 128;
/** Channels that begin so are Sluice's own (mailboxes of jobs sent without a channel). */
export const RESERVED_CHANNEL_PREFIX = "~";

/** A channel as clients name it. */
export const Channel = z
  .string()
  .min(1)
  .max(CHANNEL_LIMIT)
  .refine((name) => !name.startsWith(RESERVED_CHANNEL_PREFIX), `channel names beginning with "${RESERVED_CHANNEL_PREFIX}" are reserved`);
