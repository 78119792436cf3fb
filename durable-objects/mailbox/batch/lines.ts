/** A line of an input file, read as OpenAI reads it. */
import { parseExact } from "../../../platform/exact-json.ts";
import type { ByteLine } from "../../../platform/lines.ts";
import { type Priced, price, type Raised } from "../../../policy/admission.ts";
import { type BatchError, BatchLine } from "../../../schemas/batch.ts";
import { ChatRequest } from "../../../schemas/job.ts";
import type { PoolsConfig } from "../../../schemas/settings.ts";
import { LINE_LIMIT } from "./input.ts";

export type Request = { customId: string; priced: Priced };
/** `customId`: empty if it is itself invalid. `beyond`: the pool whose configured limits cannot hold the line. */
type Unread = { ok: false; error: BatchError; customId: string; beyond?: string };
export type Parsed = { ok: true; request: Request } | Unread;
/** The pools, as configured and as raised; and the models that the batch's key lets through, null for any. */
export type Limits = { pools: PoolsConfig; raised: Raised; models: readonly string[] | null };

/** A line that fails in an unforeseen way is invalid too: if this threw, the batch would wait for ever. */
export function parseLine(line: ByteLine, limits: Limits): Parsed {
  try {
    return parse(line, limits);
  } catch {
    const error = { code: "invalid_request", message: "This line cannot be read.", param: null, line: line.line };
    return { ok: false, error, customId: "" };
  }
}

function parse({ line, text, tooLong }: ByteLine, { models, pools, raised }: Limits): Parsed {
  let customId = "";
  const refuse = (code: string, message: string, param: string | null): Unread => ({
    ...{ ok: false, customId },
    error: { code, message, param, line },
  });
  if (tooLong) return refuse("line_too_long", `This line is longer than ${LINE_LIMIT} bytes.`, null);
  let raw: unknown;
  try {
    raw = parseExact(text);
  } catch {
    return refuse("invalid_json_line", "This line is not parseable as valid JSON.", null);
  }
  const parsed = BatchLine.safeParse(raw);
  if (!parsed.success) {
    const issue = parsed.error.issues[0];
    const param = issue?.path.join(".") || null;
    const code = { method: "invalid_method", url: "invalid_url" }[param ?? ""] ?? "missing_required_parameter";
    return refuse(code, `${param ?? "line"}: ${issue?.message ?? "malformed"}`, param);
  }
  const { body } = parsed.data;
  customId = parsed.data.custom_id;
  const request = ChatRequest.safeParse(body);
  if (!request.success) {
    const issue = request.error.issues[0];
    const param = ["body", ...(issue?.path ?? [])].join(".");
    return refuse("invalid_request", `${param}: ${issue?.message ?? "malformed"}`, param);
  }
  const priced = price(request.data, pools, [models], raised);
  if (priced.ok) return { ok: true, request: { customId, priced } };
  const { code, message, param } = priced.problem;
  const refused = refuse(code ?? "invalid_request", message, param?.replace(/^request/, "body") ?? null);
  return priced.beyond === undefined ? refused : { ...refused, beyond: priced.beyond };
}
