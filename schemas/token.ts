import { z } from "zod";
import { Channel } from "./channel.ts";

export const Action = z.enum(["read", "submit", "cancel"]);
export type Action = z.infer<typeof Action>;

/** Seconds: 15 minutes by default, a day at most. */
export const TOKEN_LIFETIME = { standard: 900, most: 86_400 } as const;
/** Names of each kind that one token may carry. */
const NAMES = 50;
/** Characters of a token. It travels in a header, and what it grants is kept in a socket's attachment of 16 KB. */
export const TOKEN_LIMIT = 6_000;

const seconds = z.number().int().min(1).max(TOKEN_LIFETIME.most);
const MAX_JOBS = 1_000_000;

/** Submitted with a job: asks for a token for that job alone. */
export const JobToken = z.strictObject({
  actions: z
    .array(z.enum(["read", "cancel"]))
    .min(1)
    .optional(),
  expires_in: seconds.optional(),
});
export type JobToken = z.infer<typeof JobToken>;

/** The body of `POST /v1/tokens/revoke`. */
export const RevokeInput = z.strictObject({ token: z.string().min(1).max(TOKEN_LIMIT) });

/** As in SLUICE_POOLS: anywhere but at its end, a `*` would match nothing. */
const Pattern = z
  .string()
  .min(1)
  .max(256)
  .regex(/^[^*]*\*?$/, "may have a * only as its last character");

/** The body of `POST /v1/tokens`. */
export const TokenInput = z.strictObject({
  channels: z.array(Channel).max(NAMES).default([]),
  jobs: z.array(z.string().min(1)).max(NAMES).default([]),
  actions: z.array(Action).min(1).default(["read"]),
  models: z.array(Pattern).min(1).max(NAMES).nullable().default(null),
  /** Jobs that may be submitted with it; null is any number. */
  max_jobs: z.number().int().min(1).max(MAX_JOBS).nullable().default(null),
  expires_in: seconds.default(TOKEN_LIFETIME.standard),
});
export type TokenInput = z.infer<typeof TokenInput>;

/** What a browser token allows. */
export const Grant = z.object({
  /** First digits of the SHA-256 of the key that made the token: removing the key removes its tokens. */
  key: z.string().length(16),
  /** The token's own name, by which it can be revoked. Tokens older than this field have none. */
  id: z.string().default(""),
  channels: z.array(z.string()),
  jobs: z.array(z.string()),
  actions: z.array(Action),
  /** Patterns as in SLUICE_KEYS; null is any model. */
  models: z.array(z.string()).nullable(),
  /** Jobs that may be submitted with it. */
  maxJobs: z.number().nullable().default(null),
});
/** `expiresAt`: ms since the epoch. */
export type Grant = z.infer<typeof Grant> & { expiresAt: number };

/** What a mailbox needs to know of the token that a call was made with. */
export type Pass = Pick<Grant, "id" | "maxJobs" | "expiresAt">;

export const KEY_ID_DIGITS = 16;
/** Header by which the ingress tells a mailbox what a socket's token allows. A client's own header of that name is dropped. */
export const GRANT_HEADER = "x-sluice-grant";
