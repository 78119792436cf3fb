import { z } from "zod";
import { CHANNEL_LIMIT, RESERVED_CHANNEL_PREFIX } from "./job.ts";

export const Action = z.enum(["read", "submit", "cancel"]);
export type Action = z.infer<typeof Action>;

/** Seconds: 15 minutes unless asked otherwise, a day at most. */
export const TOKEN_LIFETIME = { standard: 900, most: 86_400 } as const;
/** Names that one token may carry, of each kind. */
const NAMES = 50;
/** Characters of a token: it travels in a header, and what it grants in a socket's attachment of 16 KB. */
export const TOKEN_LIMIT = 6_000;

const channel = z
  .string()
  .min(1)
  .max(CHANNEL_LIMIT)
  .refine((name) => !name.startsWith(RESERVED_CHANNEL_PREFIX), "no such channel can be");

/** The body of `POST /v1/tokens`. */
export const TokenInput = z.strictObject({
  channels: z.array(channel).max(NAMES).default([]),
  jobs: z.array(z.string().min(1)).max(NAMES).default([]),
  actions: z.array(Action).min(1).default(["read"]),
  models: z.array(z.string().min(1).max(256)).min(1).max(NAMES).nullable().default(null),
  expires_in: z.number().int().min(1).max(TOKEN_LIFETIME.most).default(TOKEN_LIFETIME.standard),
});
export type TokenInput = z.infer<typeof TokenInput>;

/** What a browser token allows. */
export const Grant = z.object({
  /** The key that made it, by the first digits of its SHA-256: a key that is taken away takes its tokens along. */
  key: z.string().length(16),
  channels: z.array(z.string()),
  jobs: z.array(z.string()),
  actions: z.array(Action),
  /** Patterns as in SLUICE_KEYS; null is any. */
  models: z.array(z.string()).nullable(),
});
/** `expiresAt`: ms since the epoch. */
export type Grant = z.infer<typeof Grant> & { expiresAt: number };

export const KEY_ID_DIGITS = 16;
/** By this header the ingress tells a mailbox what a socket's token allows; what a client sends under the name is thrown away. */
export const GRANT_HEADER = "x-sluice-grant";
