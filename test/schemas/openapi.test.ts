import { Validator } from "@seriousme/openapi-schema-validator";
import { describe, expect, it } from "vitest";
import { z } from "zod";
import { exactly } from "../../workers/ingress/openapi/described.ts";
import { describeApi } from "../../workers/ingress/openapi/document.ts";
import { routes } from "../../workers/ingress/router.ts";

const description = describeApi();
const operations = Object.entries(description.paths).flatMap(([path, methods]) =>
  Object.entries(methods).map(([method, operation]) => ({ door: `${method.toUpperCase()} ${path}`, path, operation })),
);

/** A router path in OpenAPI's notation. */
const templateOf = (path = "") => path.replaceAll(/:(\w+)\+?/g, "{$1}") || "/";

function refs(value: unknown): string[] {
  if (typeof value !== "object" || value === null) return [];
  return Object.entries(value).flatMap(([name, inside]) => (name === "$ref" ? [inside as string] : refs(inside)));
}

describe("the description", () => {
  it("is valid OpenAPI 3.1, and all that it refers to is there", async () => {
    const validator = new Validator();
    expect(await validator.validate(structuredClone(description))).toEqual({ valid: true });
    expect(validator.version).toBe("3.1");
    for (const ref of refs(description)) {
      const [, ...names] = ref.split("/");
      expect(
        names.reduce<unknown>((at, name) => (at as Record<string, unknown>)?.[name], description),
        ref,
      ).toBeDefined();
    }
  });

  it("has every door of the router, and no other", () => {
    // Routes that take every method are the simulator's, or the answer for paths that do not exist.
    const doors = routes.flatMap(([method, , , path]) => (method === "ALL" ? [] : `${method} ${templateOf(path)}`));
    expect(doors.length).toBeGreaterThan(30);
    expect(operations.map(({ door }) => door).sort()).toEqual(doors.sort());
  });

  it("names each operation once", () => {
    const names = operations.map(({ operation }) => operation.operationId);
    expect(new Set(names).size).toBe(names.length);
  });

  it("has a parameter for each name in a path", () => {
    for (const { door, operation, path } of operations) {
      const named = ((operation.parameters ?? []) as { in: string; name: string }[]).filter((each) => each.in === "path");
      expect(
        named.map(({ name }) => `{${name}}`),
        door,
      ).toEqual(path.match(/\{\w+\}/g) ?? []);
    }
  });

  it("leaves answers open, for who validates by it is not to break when they have more one day", () => {
    const { Eta, JobInput } = description.components.schemas;
    expect(Eta).not.toHaveProperty("additionalProperties");
    // What a client sends is different: an unknown field is refused.
    expect(JobInput).toHaveProperty("additionalProperties", false);
  });
});

/** Tested by the compiler: each line that is expected to be wrong must be. */
describe("a schema of a type", () => {
  type Said = { a: string; b?: number; c: "x" | "y" | null };
  const shape = { a: z.string(), b: z.number().exactOptional(), c: z.enum(["x", "y"]).nullable() };

  it("says what the type says, and is made once", () => {
    const made = exactly<Said>()(() => z.object(shape));
    expect(made()).toBe(made());
  });

  it("says less, more, or another thing -> does not compile", () => {
    const { b: _, ...less } = shape;
    // @ts-expect-error: an optional field is missing
    exactly<Said>()(() => z.object(less));
    // @ts-expect-error: one too many
    exactly<Said>()(() => z.object({ ...shape, d: z.string() }));
    // @ts-expect-error: optional in another way
    exactly<Said>()(() => z.object({ ...shape, b: z.number().nullable() }));
    // @ts-expect-error: a value is missing
    exactly<Said>()(() => z.object({ ...shape, c: z.literal("x").nullable() }));
    // @ts-expect-error: never null
    exactly<Said>()(() => z.object({ ...shape, c: z.enum(["x", "y"]) }));
    // @ts-expect-error: anything
    exactly<Said>()(() => z.unknown());
  });
});
