import { z } from "zod";

/** Longest channel name, in characters. The name is part of every job id. */
export const CHANNEL_LIMIT = 128;
/** Channels with this prefix are Sluice's own, such as the mailboxes of jobs sent without a channel. */
export const RESERVED_CHANNEL_PREFIX = "~";

/** A name that is stored and looked up again. Half a surrogate pair (a name cut in the middle of an emoji) would come back as a different character. */
export const Name = z.string().refine((name) => name.isWellFormed(), "must be well-formed Unicode");

/** A channel name as clients write it. */
export const Channel = Name.min(1)
  .max(CHANNEL_LIMIT)
  .refine((name) => !name.startsWith(RESERVED_CHANNEL_PREFIX), `must not begin with "${RESERVED_CHANNEL_PREFIX}", which is reserved`);
