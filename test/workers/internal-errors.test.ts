/** What operators are told about a thrown error: where it happened, and nothing of what was being worked on. */
import { reset } from "cloudflare:test";
import { afterEach, beforeEach, describe, expect, it, type MockInstance, vi } from "vitest";
import type { ErrorBody } from "../../schemas/problem.ts";
import { factsOf } from "../../workers/ingress/internal-error.ts";
import { Coordinator, Mailbox } from "../support/entry.ts";
import { call, crash, inside, job, mailboxOf, send, submit } from "../support/service.ts";
import { resetWorld, world } from "../support/world.ts";

const PROMPT = "my diary of today";
const KEY = "sk-dev-alice";

let logged: MockInstance<typeof console.error>;
beforeEach(() => {
  resetWorld();
  logged = vi.spyOn(console, "error").mockImplementation(() => {});
});
afterEach(async () => {
  vi.restoreAllMocks();
  await reset();
});

type Told = Record<string, string | null>;
const all = () => logged.mock.calls.map(([line]) => String(line));
const told = (event = "internal_error") => all().flatMap((line) => (line.includes(`"event":"${event}"`) ? [JSON.parse(line) as Told] : []));

describe("what is thrown", () => {
  it("is answered 500, and logged once under the request's id: by its route, its kind and where it was thrown", async () => {
    vi.spyOn(Coordinator.prototype, "inspect").mockRejectedValue(new TypeError(`cannot read ${PROMPT}`));
    const { status, body, headers } = await call<ErrorBody>("GET", "/v1/queue?pool=secret", undefined, { key: "sk-dev-operator" });
    expect([status, body.error.code]).toEqual([500, "internal_error"]);
    expect(told()).toEqual([
      {
        level: "error",
        event: "internal_error",
        request_id: headers.get("x-request-id"),
        method: "GET",
        route: "/v1/queue",
        error: "TypeError",
        stack: expect.stringMatching(/^at /),
      },
    ]);
    expect(all().join()).not.toMatch(/secret|diary|sk-dev/);
  });

  it("names no job", async () => {
    const { id } = await submit();
    vi.spyOn(Mailbox.prototype, "get").mockRejectedValue(new Error(`no ${id}`));
    expect((await call("GET", `/v1/jobs/${id}`)).status).toBe(500);
    expect(told()).toMatchObject([{ route: "/v1/jobs/:id" }]);
    expect(all().join()).not.toContain(id);
  });

  it.each([
    ["/v1/jobs", job({}, { messages: [{ role: "user", content: PROMPT }] })],
    ["/v1/chat/completions", { model: "gpt-5-mini", messages: [{ role: "user", content: PROMPT }] }],
  ])("%s: no prompt and no key is in the log, though the error repeats them", async (path, body) => {
    vi.spyOn(Mailbox.prototype, "claim").mockRejectedValue(new Error(`${KEY} sent\n    at ${PROMPT}\n`));
    expect((await call("POST", path, body, { headers: { "idempotency-key": "k" } })).status).toBe(500);
    expect(told()).toMatchObject([{ route: path, method: "POST" }]);
    expect(all().join()).not.toMatch(/diary|sk-dev|"k"/);
  });

  it("is not what is expected: a refusal, or too much at once", async () => {
    vi.spyOn(Coordinator.prototype, "inspect").mockRejectedValue(Object.assign(new Error("busy"), { overloaded: true }));
    await call("GET", "/v1/queue", undefined, { key: "sk-dev-operator" });
    await call("GET", "/v1/jobs", undefined, { key: "sk-nobody" });
    expect(told()).toEqual([]);
  });
});

describe("settings that are malformed", () => {
  it.each(["/healthz", "/v1/queue"])("%s: the log says which, and what is wrong", async (path) => {
    world.env.SLUICE_TIMEOUTS = "{";
    const response = await send(path, { headers: { authorization: "Bearer sk-dev-operator" } });
    expect([response.status, await response.text()]).toEqual([500, expect.not.stringContaining("SLUICE")]);
    expect(told()).toMatchObject([{ route: path, error: "SettingsError", message: "SLUICE_TIMEOUTS is not valid JSON." }]);
  });

  it.each([
    ["a secret that is none", { SLUICE_KEYS: `[{"key_sha256":"${"0".repeat(64)}","tenant":"t","webhook_secrets":["hunter2"]}]` }],
    ["a key in the wrong place", { SLUICE_KEYS: `[{"key_sha256":"${"0".repeat(64)}","tenant":"t","hunter2":1}]` }],
    ["a short secret", { SLUICE_TOKEN_SECRET: "hunter2" }],
    ["an alert's URL", { SLUICE_ALERT_URL: "gopher://hunter2" }],
    ["half of a list of keys", { SLUICE_KEYS: '["hunter2"' }],
  ])("%s: it is not repeated", async (_, env) => {
    Object.assign(world.env, env);
    expect((await send("/healthz")).status).toBe(500);
    expect(told()).toMatchObject([{ error: "SettingsError", message: expect.stringContaining("SLUICE_") }]);
    expect(all().join()).not.toContain("hunter2");
  });
});

it("an object that a newer program wrote: the log says which migration is not known", async () => {
  const { id } = await submit();
  await inside(mailboxOf(id), (_, { storage }) => void storage.sql.exec("INSERT INTO migrations (id) VALUES ('999_later')"));
  await crash();
  expect((await call("GET", `/v1/jobs/${id}`)).status).toBe(500);
  const message = 'This database has the migration "999_later" where this version of Sluice has "none".';
  expect(told("unknown_migration")[0]).toEqual({ level: "error", event: "unknown_migration", message });
  expect(told()).toMatchObject([{ route: "/v1/jobs/:id", error: "Error" }]);
});

describe("the facts of an error", () => {
  it("are its frames, without a message that looks like them", () => {
    const { stack } = factsOf(new Error("one\n    at two\n    at three"));
    expect(stack).toMatch(/^at /);
    expect(stack).not.toMatch(/two|three/);
  });

  it("are its kind alone, if its message was changed since", () => {
    const error = new Error("one\n    at two");
    // The stack is written when it is first read.
    expect(error.stack).toContain("two");
    error.message = "other";
    expect(factsOf(error)).toEqual({ error: "Error", stack: "" });
  });

  it("are no more than its type, if it is no error", () => {
    expect(factsOf("a text")).toEqual({ error: "string" });
  });
});
