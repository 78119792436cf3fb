import { z } from "zod";

/**
 * Of a limit, per minute or per day: from a request a week up. Outside this range times and sums lose their meaning, and a zero too many or too few is better
 * refused.
 */
const rate = z.number().min(0.0001).max(1e12);
const limit = rate.nullable().default(null);

/** The pool for models that no other pool takes. */
export const DEFAULT_POOL = "default";

/** One upstream limit, shared by the models that match. `*` at the end of a pattern matches any rest. */
export const PoolConfig = z.strictObject({
  /** If missing: the model with the pool's own name; for the default pool, none by name. */
  models: z.array(z.string().min(1)).optional(),
  rpm: rate,
  tpm: rate,
  rpd: limit,
  tpd: limit,
  concurrency: z.number().int().positive().nullable().default(null),
  /** How much of a rate may be spent at once, in seconds of it. Null: a second, up to a minute where headers show such a bucket; of a window, a tenth. */
  burst_seconds: z.number().min(0.001).max(86_400).nullable().default(null),
  /**
   * Upstream counts in windows of this many seconds instead of refilling a bucket. Sluice then remembers what was taken when, so that no window,
   * wherever it begins, can overflow. Null: a bucket, as OpenAI's headers show.
   */
  window_seconds: z.number().min(0.001).max(86_400).nullable().default(null),
  /** How much later a call may reach upstream than another that was admitted at the same time. */
  transit_ms: z.number().min(0).max(60_000).default(1_000),
  /** Above this many input tokens a minute, traffic grows by at most half per quarter of an hour. Null: as fast as the limits allow. */
  ramp_tpm: rate.nullable().default(1_000_000),
  /**
   * Whether to follow upstream's headers. Lowered limits and what others spend are followed at once, raised limits up to `max_rpm`, `max_tpm`, `max_rpd`
   * and `max_tpd` (by default `rpm`, `tpm`, `rpd`, `tpd`). With `refund`, tokens that an answer did not use are free again where headers show it.
   * False: everything stays as configured.
   */
  learn: z
    .union([
      z.literal(false),
      z.strictObject({
        max_rpm: rate.optional(),
        max_tpm: rate.optional(),
        max_rpd: rate.optional(),
        max_tpd: rate.optional(),
        refund: z.boolean().optional(),
      }),
    ])
    .default({}),
  /** Output tokens reserved when a request sets no maximum. */
  default_output_tokens: z.number().int().positive().default(1_000),
});
export type PoolConfig = z.infer<typeof PoolConfig>;

export const PoolsConfig = z
  .record(z.string().min(1).max(64), PoolConfig)
  .refine((pools) => Object.keys(pools).length > 0, "must name at least one pool")
  .transform((pools) => Object.fromEntries(Object.entries(pools).map(([id, pool]) => [id, { ...pool, models: modelsOf(id, pool) }])))
  .superRefine((pools, context) => {
    const owners = new Map<string, string>();
    for (const [id, { models }] of Object.entries(pools)) {
      const refuse = (message: string) => context.addIssue({ code: "custom", path: [id, "models"], message });
      for (const pattern of models) {
        if (pattern.slice(0, -1).includes("*")) refuse(`may have a * only as the last character of a pattern, unlike "${pattern}"`);
        const owner = owners.get(pattern) ?? id;
        if (owner !== id) refuse(`must not name "${pattern}", which the pool "${owner}" already has`);
        owners.set(pattern, owner);
      }
    }
  });
export type PoolsConfig = z.infer<typeof PoolsConfig>;

function modelsOf(id: string, { models }: PoolConfig): string[] {
  return models ?? (id === DEFAULT_POOL ? [] : [id]);
}

export const Role = z.enum(["submit", "read", "operate"]);
export type Role = z.infer<typeof Role>;

/** A signing secret in the format of the Standard Webhooks specification: 24 to 64 bytes. */
const WebhookSecret = z
  .string()
  .regex(
    /^whsec_(?:(?:[A-Za-z0-9+/]{4}){8,20}(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?|(?:[A-Za-z0-9+/]{4}){21}(?:[A-Za-z0-9+/]{2}==)?)$/,
    "must be whsec_ followed by 24 to 64 bytes in base64",
  );

/** A backend's or an operator's key. Only its SHA-256 is kept. */
export const KeyConfig = z.strictObject({
  key_sha256: z.string().regex(/^[0-9a-fA-F]{64}$/, "must be 64 hexadecimal digits"),
  tenant: z
    .string()
    .min(1)
    .max(64)
    .regex(/^[A-Za-z0-9_.-]+$/, "may have only letters, digits, and _ . -"),
  roles: z.array(Role).min(1).default(["submit", "read"]),
  /** 1 if none of the tenant's keys sets it. */
  weight: z.number().min(0.001).max(1_000_000).optional(),
  models: z.array(z.string().min(1)).nullable().default(null),
  rpm: limit,
  tpm: limit,
  max_queued: z.number().int().positive().nullable().default(null),
  /** What to do with a `/v1/chat/completions` job whose caller has gone and does not come back. */
  on_disconnect: z.enum(["cancel", "keep"]).default("cancel"),
  /** Secrets that sign the tenant's webhooks; every webhook carries a signature for each. Two while a receiver moves from one to the other. */
  webhook_secrets: z.array(WebhookSecret).max(2).default([]),
});
export type KeyConfig = z.infer<typeof KeyConfig>;

/** Fields that belong to the tenant: any of its keys may set them, but two keys must not disagree. */
const OF_TENANT = ["weight", "rpm", "tpm", "max_queued"] as const;

export const KeysConfig = z.array(KeyConfig).superRefine((keys, context) => {
  const places = new Map<string, number>();
  const said = new Map<string, number>();
  for (const [place, key] of keys.entries()) {
    const refuse = (field: string, message: string) => context.addIssue({ code: "custom", path: [place, field], message });
    const hash = key.key_sha256.toLowerCase();
    const twin = places.get(hash);
    if (twin !== undefined) refuse("key_sha256", `is the same as in entry ${twin}`);
    places.set(hash, place);
    for (const field of OF_TENANT) {
      const value = key[field] ?? null;
      if (value === null) continue;
      const name = `${key.tenant} ${field}`;
      if ((said.get(name) ?? value) !== value) refuse(field, `differs from that of another key of the tenant "${key.tenant}"`);
      said.set(name, value);
    }
  }
});

/** Seconds after which an upstream call is abandoned. */
export const TimeoutsConfig = z.strictObject({
  /** From the request to its response headers. */
  first_byte: z.number().positive().default(300),
  /** Longest silence on the stream. As long as `total`, so that no pause is cut off: a model may think for minutes after its first word. */
  idle: z.number().positive().default(600),
  /** The whole call; OpenAI's SDKs wait ten minutes. */
  total: z.number().positive().default(600),
});
export type TimeoutsConfig = z.infer<typeof TimeoutsConfig>;
