/** `components` of the description: every schema by name, as JSON Schema. */
import { z } from "zod";
import { Message } from "../../../schemas/job.ts";
import * as batch from "./answers/batch.ts";
import * as job from "./answers/job.ts";
import * as lists from "./answers/lists.ts";
import { Pool, PoolCondition, PoolState, QueueState, Simulation, Tenant } from "./answers/queue.ts";
import * as webhook from "./answers/webhook.ts";
import { JobWhy } from "./answers/why.ts";
import { bodies } from "./bodies.ts";

export type Schema = { [keyword: string]: unknown; properties?: Record<string, Schema> };

const ANSWERS = { ...batch, ...job, ...lists, ...webhook, JobWhy, Pool, PoolCondition, PoolState, QueueState, Simulation, Tenant };

export type SchemaName = keyof typeof ANSWERS | keyof ReturnType<typeof bodies>;

const placeOf = (name: string) => `#/components/schemas/${name}`;

export const schemaRef = (name: SchemaName): Schema => ({ $ref: placeOf(name) });

export function schemas(): Record<string, Schema> {
  const answers = Object.entries(ANSWERS).map(([name, made]) => [name, made()] as const);
  return { ...bodySchemas(), ...written(answers, "output") };
}

function bodySchemas(): Record<string, Schema> {
  const all = Object.entries(bodies());
  const made = written(
    all.map(([name, { schema }]) => [name, schema]),
    "input",
  );
  for (const [name, { fields, text }] of all) {
    made[name]!.description = text;
    for (const [field, told] of Object.entries(fields)) made[name]!.properties![field]!.description = told;
  }
  return made;
}

function written(named: (readonly [string, z.ZodType])[], io: "input" | "output"): Record<string, Schema> {
  const names = z.registry<{ id: string }>();
  for (const [name, schema] of named) names.add(schema, { id: name });
  const { schemas } = z.toJSONSchema(names, { io, uri: placeOf, unrepresentable: "any", override: (context) => mended(context, io) });
  // Their position already names them, so `$id` is redundant.
  return Object.fromEntries(Object.entries(schemas).map(([name, { $schema: _, $id: __, ...schema }]) => [name, schema as Schema]));
}

type Written = Parameters<NonNullable<NonNullable<Parameters<typeof z.toJSONSchema>[1]>["override"]>>[0];

function mended({ jsonSchema, zodSchema }: Written, io: "input" | "output"): void {
  // Answers may get more fields one day; clients generated from this description must not break then.
  if (io === "output" && jsonSchema.additionalProperties === false) delete jsonSchema.additionalProperties;
  // JavaScript's safe-integer range is not a limit of the API.
  if (jsonSchema.minimum === Number.MIN_SAFE_INTEGER) delete jsonSchema.minimum;
  if (jsonSchema.maximum === Number.MAX_SAFE_INTEGER) delete jsonSchema.maximum;
  // Messages are validated one by one, but described here as a whole.
  if (zodSchema._zod.def.type === "custom") Object.assign(jsonSchema, plain(Message));
}

function plain(schema: z.ZodType): object {
  const { $schema: _, ...rest } = z.toJSONSchema(schema, { io: "input" });
  return rest;
}
