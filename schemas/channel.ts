import { z } from "zod";

/** Characters of a channel name: it travels in every job id. */
export const CHANNEL_LIMIT = 128;
/** Channels that begin so are Sluice's own (mailboxes of jobs sent without a channel). */
export const RESERVED_CHANNEL_PREFIX = "~";

/** A name that is stored and found again. Half a surrogate pair would come back as another character: a name cut in the middle of an emoji, say. */
export const Name = z.string().refine((name) => name.isWellFormed(), "must be well-formed Unicode");

/** A channel as clients name it. */
export const Channel = Name.min(1)
  .max(CHANNEL_LIMIT)
  .refine((name) => !name.startsWith(RESERVED_CHANNEL_PREFIX), `channel names beginning with "${RESERVED_CHANNEL_PREFIX}" are reserved`);
