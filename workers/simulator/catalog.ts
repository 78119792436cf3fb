import { openAiError, type Problem } from "./errors.ts";

/** What an account may spend on a model, per minute and, where OpenAI has such a limit, per day. */
export interface Limits {
  rpm: number;
  tpm: number;
  rpd?: number | undefined;
  tpd?: number | undefined;
  /** Tokens per minute of the key's project; `tpm` is the organisation's. */
  project_tpm?: number | undefined;
  /** Models with the same family name draw from the same buckets. */
  family?: string | undefined;
}

export interface ModelCard {
  id: string;
  created: number;
  /** Tokens of prompt and answer together. */
  context: number;
  maxOutput: number;
  limits: Limits;
}

// Tier 1 as OpenAI's model pages had it in 2025/26: gpt-4o-mini is the one with a daily limit.
const LARGE: Limits = { rpm: 500, tpm: 500_000 };
const SMALL: Limits = { rpm: 500, tpm: 200_000 };
const TIGHT: Limits = { rpm: 500, tpm: 30_000 };

function card(id: string, released: string, limits: Limits, context = 400_000, maxOutput = 128_000): ModelCard {
  return { id, created: Date.parse(released) / 1000, context, maxOutput, limits };
}

const CARDS = [
  card("gpt-6-sol", "2026-08-20", LARGE),
  card("gpt-6-luna", "2026-08-20", LARGE),
  card("gpt-5.6-sol", "2026-06-11", LARGE),
  card("gpt-5.5", "2026-04-23", LARGE),
  card("gpt-5.4", "2026-03-05", LARGE),
  card("gpt-5.4-mini", "2026-03-17", LARGE),
  card("gpt-5.4-nano", "2026-03-17", SMALL),
  card("gpt-5", "2025-08-07", LARGE),
  card("gpt-5-mini", "2025-08-07", LARGE),
  card("gpt-5-nano", "2025-08-07", SMALL),
  card("gpt-4.1", "2025-04-14", TIGHT, 1_047_576, 32_768),
  card("gpt-4.1-mini", "2025-04-14", SMALL, 1_047_576, 32_768),
  card("gpt-4.1-nano", "2025-04-14", SMALL, 1_047_576, 32_768),
  card("gpt-4o", "2024-05-13", TIGHT, 128_000, 16_384),
  card("gpt-4o-mini", "2024-07-18", { ...SMALL, rpd: 10_000 }, 128_000, 16_384),
];

const BY_ID = new Map(CARDS.map((entry) => [entry.id, entry]));
const SNAPSHOT = /-\d{4}-\d{2}-\d{2}$/;

/** A dated snapshot counts as its model; any name that starts with `sim-` is a model too, for tests that need one of their own. */
export function findModel(id: string): ModelCard | undefined {
  const known = BY_ID.get(id) ?? BY_ID.get(id.replace(SNAPSHOT, ""));
  if (known !== undefined) return known;
  return id.startsWith("sim-") ? { ...BY_ID.get("gpt-5-mini")!, id } : undefined;
}

export function describeModel(id: string, entry: ModelCard): object {
  return { id, object: "model", created: entry.created, owned_by: "system" };
}

export function listModels(): object {
  return { object: "list", data: CARDS.map((entry) => describeModel(entry.id, entry)) };
}

export function unknownModel(id: string): Problem {
  const message = `The model \`${id}\` does not exist or you do not have access to it.`;
  return openAiError(404, message, "invalid_request_error", "model_not_found");
}
