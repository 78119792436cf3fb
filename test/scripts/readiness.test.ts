import { describe, expect, test } from "vitest";
import { notes, problems } from "../../scripts/readiness.ts";
import type { Variable } from "../../scripts/runtime.ts";

const text = (value: string): Variable => ({ kind: "text", value });
const secret = (value: string): Variable => ({ kind: "secret", value });
const POOLS = text('{"default":{"rpm":500,"tpm":200000}}');
const KEYS = JSON.stringify([{ key_sha256: "0".repeat(64), tenant: "acme" }]);
const ready = { vars: { SLUICE_POOLS: POOLS }, stored: ["SLUICE_KEYS", "OPENAI_API_KEY"], withSimulator: false };

describe("a deployment", () => {
  test("is ready with pools, keys and an account", () => {
    expect(problems(ready)).toEqual([]);
  });

  test.each(["SLUICE_LOCAL", "SLUICE_DEV_KEYS"])("is refused with %s", (name) => {
    expect(problems({ ...ready, vars: { ...ready.vars, [name]: text("1") } })).toEqual([expect.stringContaining(name)]);
  });

  test("needs keys", () => {
    expect(problems({ ...ready, stored: ["OPENAI_API_KEY"] })).toEqual([expect.stringContaining("wrangler secret put SLUICE_KEYS")]);
  });

  test("is refused with a variable that is larger than Cloudflare takes, and told where the rest of the keys may stand", () => {
    const list = (count: number) =>
      JSON.stringify(Array.from({ length: count }, (_, n) => ({ key_sha256: String(n).padStart(64, "0"), tenant: `tenant-${n}` })));
    const bring = (more: Record<string, Variable>) => problems({ ...ready, vars: { ...ready.vars, ...more } });
    expect(bring({ SLUICE_KEYS: secret(list(40)) })).toEqual([]);
    expect(bring({ SLUICE_KEYS: secret(list(50)) })).toEqual([expect.stringMatching(/^SLUICE_KEYS has \d+ bytes.* SLUICE_KEYS_2/)]);
    expect(bring({ SLUICE_KEYS_2: secret(list(50)) })).toEqual([expect.stringMatching(/^SLUICE_KEYS_2 has/)]);
    expect(bring({ SLUICE_KEYS_2: text(list(1)) })).toEqual([expect.stringMatching(/^SLUICE_KEYS_2 must be a secret/)]);
    const pools = JSON.stringify({ default: { rpm: 500, tpm: 200_000, models: Array.from({ length: 400 }, (_, n) => `漢字-${n}`) } });
    expect(bring({ SLUICE_POOLS: text(pools) })).toEqual([expect.stringMatching(/^SLUICE_POOLS has \d+ bytes.* Shorten it\.$/)]);
  });

  test("needs an account, an endpoint, or the word that the simulator is meant", () => {
    const without = { ...ready, stored: ["SLUICE_KEYS"] };
    expect(problems(without)).toEqual([expect.stringContaining("--with-simulator")]);
    expect(problems({ ...without, withSimulator: true })).toEqual([]);
    expect(problems({ ...without, vars: { ...ready.vars, OPENAI_BASE_URL: text("https://example.com/v1") } })).toEqual([]);
  });

  test("a secret that it brings along blank, or a list of no keys, is as good as none, whatever is stored", () => {
    const bring = (more: Record<string, Variable>) => problems({ ...ready, vars: { ...ready.vars, ...more } });
    for (const blank of [secret("  "), text("  ")]) {
      expect(bring({ OPENAI_API_KEY: blank })).toEqual([expect.stringContaining("wrangler secret put OPENAI_API_KEY")]);
    }
    for (const none of [secret("[]"), secret(" [ ] "), secret(""), text("")]) {
      expect(bring({ SLUICE_KEYS: none })).toEqual([expect.stringContaining("wrangler secret put SLUICE_KEYS")]);
    }
    expect(bring({ SLUICE_KEYS: secret("[") })).toEqual(["SLUICE_KEYS is not valid JSON."]);
  });

  test("keeps its secrets secret", () => {
    const vars = { ...ready.vars, OPENAI_API_KEY: text("sk-1") };
    expect(problems({ ...ready, vars })).toEqual([expect.stringMatching(/^OPENAI_API_KEY must be a secret/)]);
  });

  test("without a secret for browser tokens goes ahead, and says what is missing", () => {
    expect(notes(ready)).toEqual([expect.stringContaining("wrangler secret put SLUICE_TOKEN_SECRET")]);
    expect(notes({ ...ready, stored: ["SLUICE_TOKEN_SECRET"] })).toEqual([]);
    expect(problems({ ...ready, vars: { ...ready.vars, SLUICE_TOKEN_SECRET: secret("short") } })).toEqual([
      expect.stringContaining("SLUICE_TOKEN_SECRET"),
    ]);
  });

  test("is refused with pools that do not parse", () => {
    expect(problems({ ...ready, vars: { SLUICE_POOLS: text("{") } })).toEqual(["SLUICE_POOLS is not valid JSON."]);
  });

  test("says so if Cloudflare cannot be asked, and why", () => {
    const ask = (message: string) => problems({ ...ready, stored: new Error(message) });
    expect(ask("it's necessary to set a CLOUDFLARE_API_TOKEN environment variable")).toEqual([expect.stringContaining("wrangler login")]);
    expect(ask("This Worker does not exist [code: 10007]")).toEqual([expect.stringContaining("The Worker does not exist yet")]);
    expect(ask("boom")).toEqual([expect.stringContaining("boom")]);
  });

  test("that brings its secrets along need not ask", () => {
    const vars = { ...ready.vars, SLUICE_KEYS: secret(KEYS), OPENAI_API_KEY: secret("sk-1") };
    const offline = (more: Record<string, Variable>) => problems({ ...ready, vars: { ...vars, ...more }, stored: new Error("offline") });
    expect(offline({})).toEqual([]);
    expect(offline({ SLUICE_KEYS: secret("[]") })).toEqual([expect.stringContaining("SLUICE_KEYS")]);
    expect(offline({ OPENAI_API_KEY: secret(" ") })).toEqual([expect.stringContaining("OPENAI_API_KEY")]);
  });
});
