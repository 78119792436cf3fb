import { writePhrase } from "./prose.ts";
import type { Random } from "./random.ts";

type Schema = Record<string, unknown>;

// Deep enough for real schemas. Below this, only required properties are written, so that a recursive schema ends.
const DEEP = 5;
const BOTTOM = 24;

/** A plausible value for the common parts of JSON Schema (what OpenAI's structured outputs allow, and a little more). */
export function valueFor(schema: unknown, random: Random, root: Schema = asSchema(schema), depth = 0): unknown {
  const rules = resolve(asSchema(schema), root, depth);
  if ("const" in rules) return rules.const;
  if (Array.isArray(rules.enum) && rules.enum.length > 0) return random.pick(rules.enum);
  if (depth > BOTTOM) return null;
  switch (typeOf(rules)) {
    case "object":
      return objectFor(rules, random, root, depth);
    case "array":
      return arrayFor(rules, random, root, depth);
    case "integer":
      return Math.round(numberFor(rules, random, 1));
    case "number":
      return numberFor(rules, random, 0.01);
    case "boolean":
      return random.next() < 0.5;
    case "null":
      return null;
    default:
      return stringFor(rules, random);
  }
}

function asSchema(schema: unknown): Schema {
  return typeof schema === "object" && schema !== null && !Array.isArray(schema) ? (schema as Schema) : {};
}

/** Follows `$ref`, merges `allOf`, and takes the first branch of a choice (deep down, a `null` branch if there is one). */
function resolve(schema: Schema, root: Schema, depth: number, hops = 0): Schema {
  if (hops > BOTTOM) return {};
  if (typeof schema.$ref === "string") {
    const steps = schema.$ref.replace(/^#\/?/, "").split("/").filter(Boolean);
    const target = steps.reduce<unknown>((value, step) => asSchema(value)[step], root);
    return resolve(asSchema(target), root, depth, hops + 1);
  }
  const { allOf, anyOf, oneOf, ...rest } = schema;
  const branches = [anyOf, oneOf].find((list) => Array.isArray(list) && list.length > 0) as unknown[] | undefined;
  const easy = depth > DEEP ? branches?.find((branch) => asSchema(branch).type === "null") : undefined;
  const parts = [...(Array.isArray(allOf) ? allOf : []), ...(branches ? [easy ?? branches[0]] : [])];
  return parts.reduce<Schema>((merged, branch) => merge(merged, resolve(asSchema(branch), root, depth, hops + 1)), rest);
}

function merge(left: Schema, right: Schema): Schema {
  const properties = { ...asSchema(left.properties), ...asSchema(right.properties) };
  const required = [...asList(left.required), ...asList(right.required)];
  const both: Schema = { ...left, ...right };
  if (Object.keys(properties).length > 0) both.properties = properties;
  if (required.length > 0) both.required = required;
  return both;
}

function asList(value: unknown): unknown[] {
  return Array.isArray(value) ? value : [];
}

function typeOf(rules: Schema): unknown {
  const type = rules.type;
  if (Array.isArray(type)) return type.find((name) => name !== "null") ?? "null";
  if (type !== undefined) return type;
  if ("properties" in rules) return "object";
  return "items" in rules ? "array" : "string";
}

function objectFor(rules: Schema, random: Random, root: Schema, depth: number): Schema {
  const properties = asSchema(rules.properties);
  const required = asList(rules.required);
  const names = Object.keys(properties).filter((name) => required.includes(name) || depth < DEEP);
  return Object.fromEntries(names.map((name) => [name, valueFor(properties[name], random, root, depth + 1)]));
}

function arrayFor(rules: Schema, random: Random, root: Schema, depth: number): unknown[] {
  const least = asNumber(rules.minItems) ?? (depth > DEEP ? 0 : 1);
  const most = asNumber(rules.maxItems) ?? Math.max(least, depth > DEEP ? 0 : 3);
  const length = depth > DEEP ? least : random.integer(Math.min(least, most), most);
  return Array.from({ length }, () => valueFor(rules.items, random, root, depth + 1));
}

function numberFor(rules: Schema, random: Random, step: number): number {
  const floor = asNumber(rules.minimum) ?? plus(asNumber(rules.exclusiveMinimum), step);
  const ceiling = asNumber(rules.maximum) ?? plus(asNumber(rules.exclusiveMaximum), -step);
  const low = floor ?? Math.min(step, ceiling ?? step);
  const unit = asNumber(rules.multipleOf) ?? step;
  const first = Math.ceil(low / unit);
  const value = random.integer(first, Math.max(first, Math.floor((ceiling ?? low + 100) / unit))) * unit;
  return Number(value.toFixed(6));
}

function plus(value: number | undefined, step: number): number | undefined {
  return value === undefined ? undefined : value + step;
}

function asNumber(value: unknown): number | undefined {
  return typeof value === "number" ? value : undefined;
}

function stringFor(rules: Schema, random: Random): string {
  const day = () => `20${random.integer(20, 29)}-0${random.integer(1, 9)}-${random.integer(10, 28)}`;
  const time = () => `${random.integer(10, 23)}:${random.integer(10, 59)}:${random.integer(10, 59)}Z`;
  const hex = (length: number) => Array.from({ length }, () => random.integer(0, 15).toString(16)).join("");
  switch (rules.format) {
    case "date":
      return day();
    case "time":
      return time();
    case "date-time":
      return `${day()}T${time()}`;
    case "email":
      return `${random.letters(6).toLowerCase()}@example.com`;
    case "uri":
      return `https://example.com/${random.letters(6)}`;
    case "uuid":
      return `${hex(8)}-${hex(4)}-4${hex(3)}-8${hex(3)}-${hex(12)}`;
    default: {
      const least = asNumber(rules.minLength) ?? 0;
      const text = writePhrase(random).padEnd(least, " more");
      return text.slice(0, asNumber(rules.maxLength) ?? undefined);
    }
  }
}
