/** Checks the service's answers against its OpenAPI description: anything that is not described fails the test, even a field. */
import Ajv from "ajv/dist/2020.js";
import { expect } from "vitest";
import type { Description } from "../../workers/ingress/openapi/document.ts";
import { call, send } from "./service.ts";

type Schema = Record<string, unknown>;
type Operation = {
  security: Record<string, string[]>[];
  parameters?: { name: string; in: string; schema: Schema }[];
  requestBody?: { content: Record<string, unknown> };
  responses: Record<string, { content?: Record<string, unknown> }>;
};
export type Door = { method: string; template: string; operation: Operation };
type Options = { key?: string; headers?: Record<string, string>; raw?: BodyInit };
type Told = { status: number; headers: Headers; text: string; body: unknown };

export class Described {
  /** Doors that have answered with success. */
  readonly seen = new Set<string>();
  readonly doors: Door[];
  readonly #ajv = new Ajv({ strict: false, allErrors: true });

  private constructor(description: Description) {
    this.doors = Object.entries(description.paths).flatMap(([template, methods]) =>
      Object.entries(methods).map(([method, operation]) => ({
        method: method.toUpperCase(),
        template,
        operation: operation as unknown as Operation,
      })),
    );
    this.#ajv.addSchema({ ...description, components: { schemas: closed(description.components.schemas) } }, "api");
  }

  static async read(): Promise<Described> {
    return new Described((await (await send("/openapi.json")).json()) as Description);
  }

  /** Makes a call and checks its answer: status, content type and body. @throws if something is not described */
  async call<T = Record<string, unknown>>(
    method: string,
    path: string,
    body?: unknown,
    options: Options = {},
  ): Promise<{ status: number; body: T; headers: Headers; text: string }> {
    const door = this.doorOf(method, path);
    const told = await ask(method, path, body, options);
    this.#check(door, told);
    if (told.status >= 300) return told as Told & { body: T };
    this.seen.add(nameOf(door));
    if (body !== undefined) this.#fits(body, [...pointerOf(door), "requestBody", "content", "application/json", "schema"]);
    return told as Told & { body: T };
  }

  doorOf(method: string, path: string): Door {
    const plain = path.split("?")[0]!;
    const fitting = this.doors.filter((door) => door.method === method && patternOf(door.template).test(plain));
    // If several match, the one with the fewest parameters.
    const [door] = fitting.sort((a, b) => a.template.split("{").length - b.template.split("{").length);
    if (!door) throw new Error(`${method} ${path} is not described`);
    return door;
  }

  /** Checks a line of JSONL, or anything else whose schema has a name. */
  is(name: string, value: unknown): void {
    this.#fits(value, ["components", "schemas", name]);
  }

  #check(door: Door, { body, headers, status, text }: Told): void {
    const where = `${nameOf(door)} -> ${status}: ${text.slice(0, 300)}`;
    const said = door.operation.responses[status] ? String(status) : "default";
    expect(door.operation.responses, where).toHaveProperty([said]);
    expect(headers.get("x-request-id"), where).toMatch(/^req_/);
    const { content } = door.operation.responses[said]!;
    if (!content) expect(text, where).toBe("");
    if (!content) return;
    const type = (headers.get("content-type") ?? "").split(";")[0]!;
    expect(content, where).toHaveProperty([type]);
    this.#fits(body, [...pointerOf(door), "responses", said, "content", type, "schema"]);
  }

  #fits(value: unknown, pointer: string[]): void {
    const $ref = `api#/${pointer.map((each) => encodeURIComponent(each.replaceAll("~", "~0").replaceAll("/", "~1"))).join("/")}`;
    const fits = this.#ajv.compile({ $ref });
    fits(value);
    const faults = fits.errors?.map(({ instancePath, message, params }) => `${instancePath} ${message} ${JSON.stringify(params)}`) ?? [];
    expect(faults, `${pointer.join(" ")}: ${JSON.stringify(value)?.slice(0, 300)}`).toEqual([]);
  }
}

export const nameOf = ({ method, template }: Door) => `${method} ${template}`;

const pointerOf = ({ method, template }: Door) => ["paths", template, method.toLowerCase()];

/** A model's name may contain slashes. */
const patternOf = (template: string) => {
  const name = template.startsWith("/v1/models/") ? ".+" : "[^/]+";
  return new RegExp(`^${template.replaceAll(".", "\\.").replaceAll(/\{\w+\}/g, name)}$`);
};

async function ask(method: string, path: string, body: unknown, { headers = {}, key = "sk-dev-alice", raw }: Options): Promise<Told> {
  if (raw === undefined) {
    const answer = await call<unknown>(method, path, body, { key, headers });
    return { ...answer, text: typeof answer.body === "string" ? answer.body : JSON.stringify(answer.body) };
  }
  const response = await send(path, { method, headers: { authorization: `Bearer ${key}`, ...headers }, body: raw });
  const text = await response.text();
  const isJson = response.headers.get("content-type")?.startsWith("application/json;");
  return { status: response.status, headers: response.headers, text, body: isJson ? JSON.parse(text) : text };
}

/** A copy of the schema in which answers, which the description leaves open, allow only the fields that it lists. */
function closed<T>(schema: T): T {
  if (Array.isArray(schema)) return schema.map(closed) as T;
  if (typeof schema !== "object" || schema === null) return schema;
  const inside = Object.fromEntries(Object.entries(schema).map(([name, each]) => [name, closed(each)]));
  const open = schema as Schema;
  const isObject = open.type === "object" && open.properties !== undefined && open.additionalProperties === undefined;
  return { ...inside, ...(isObject && { additionalProperties: false }) } as T;
}
