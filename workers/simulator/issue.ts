import type { z } from "zod";
import { invalidRequest, type Problem } from "./errors.ts";

type Issue = z.core.$ZodIssue;

/** One zod issue in OpenAI's words, with the `param` and `code` that OpenAI gives for it. */
export function describeIssue(issue: Issue, body: unknown): Problem {
  const param = pathOf(issue.path);
  const got = at(body, issue.path);
  if (got === undefined) return invalidRequest(`Missing required parameter: '${param}'.`, param, "missing_required_parameter");
  switch (issue.code) {
    case "invalid_type":
      return wrongType(param, article(issue.expected), got);
    case "invalid_union":
      return wrongType(param, "one of a string or array of objects", got);
    case "invalid_value": {
      const values = issue.values.map((value) => `'${String(value)}'`);
      const supported = values.length > 1 ? `${values.slice(0, -1).join(", ")}, and ${values.at(-1)}` : values.join();
      return invalidRequest(`Invalid value: '${String(got)}'. Supported values are: ${supported}.`, param, "invalid_value");
    }
    case "too_small":
      return outOfRange(issue.origin, param, ">=", "below_min", issue.minimum, got);
    case "too_big":
      return outOfRange(issue.origin, param, "<=", "above_max", issue.maximum, got);
    default:
      return invalidRequest(`Invalid value for '${param}': ${issue.message}.`, param, "invalid_value");
  }
}

function wrongType(param: string, expected: string, got: unknown): Problem {
  return invalidRequest(`Invalid type for '${param}': expected ${expected}, but got ${nameOf(got)} instead.`, param, "invalid_type");
}

function outOfRange(origin: string, param: string, sign: string, side: "below_min" | "above_max", bound: unknown, got: unknown): Problem {
  const words = side === "below_min" ? "below minimum" : "above maximum";
  if (origin === "array" || origin === "string") {
    const length = (got as { length: number }).length;
    const code = length === 0 ? `empty_${origin}` : `${origin}_${side}_length`;
    const what = length === 0 ? `empty ${origin}` : `${origin} length ${words}`;
    return invalidRequest(`Invalid '${param}': ${what}. Expected length ${sign} ${String(bound)}, but got ${length} instead.`, param, code);
  }
  const type = Number.isInteger(bound) && Number.isInteger(got) ? "integer" : "decimal";
  const text = `Invalid '${param}': ${type} ${words} value. Expected a value ${sign} ${String(bound)}, but got ${String(got)} instead.`;
  return invalidRequest(text, param, `${type}_${side}_value`);
}

/** A place in the body as OpenAI writes it: `messages[0].content`. */
function pathOf(path: PropertyKey[]): string {
  return path.map((step, index) => (typeof step === "number" ? `[${step}]` : `${index === 0 ? "" : "."}${String(step)}`)).join("");
}

function at(body: unknown, path: PropertyKey[]): unknown {
  return path.reduce<unknown>((value, key) => (value as Record<PropertyKey, unknown> | undefined)?.[key], body);
}

const ARTICLES: Record<string, string> = { array: "an array of objects", object: "an object", record: "an object", int: "an integer" };

function article(expected: string): string {
  return ARTICLES[expected] ?? `a ${expected}`;
}

function nameOf(value: unknown): string {
  if (value === null) return "null";
  if (Array.isArray(value)) return "an array";
  if (Number.isInteger(value)) return "an integer";
  return typeof value === "number" ? "a decimal" : article(typeof value);
}
