import { createHash } from "node:crypto";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { DEVELOPMENT_WEBHOOK_SECRET, readSettings, tenantOf, text } from "../../platform/settings.ts";

const sha256 = (key: string): string => createHash("sha256").update(key).digest("hex");
const SECRET = "sk-live-0123456789-secret";
const key = (more: object = {}) => ({ key_sha256: sha256("k"), tenant: "acme", ...more });
const other = (name: string, more: object = {}) => key({ key_sha256: sha256(name), ...more });
const keys = (...all: unknown[]) => ({ SLUICE_KEYS: JSON.stringify(all) });
const DEVELOPMENT = { "sk-dev-alice": "alice", "sk-dev-bob": "bob", "sk-dev-operator": "operator" };

describe("without any variable", () => {
  it("there is a pool of a small account, no key and no simulator's window", () => {
    const settings = readSettings({});
    expect(settings.local).toBe(false);
    expect(settings.keys.size).toBe(0);
    expect(settings.pools.default).toMatchObject({ rpm: 500, tpm: 200_000, rpd: null, tpd: null, concurrency: null, burst_seconds: null });
    expect(settings).toMatchObject({ region: "wnam", maxDispatchers: 128, retentionMs: 72 * 3_600_000 });
    expect(settings.timeouts).toEqual({ first_byte: 300, idle: 600, total: 600 });
  });

  it("blank ones count as unset", () => {
    const blank = Object.fromEntries(NAMES.map((name) => [name, "  "]));
    expect(readSettings(blank)).toEqual(readSettings({}));
  });
});

describe("the secret of browser tokens", () => {
  it("is one of development in local mode, and none elsewhere", () => {
    const { tokenSecret } = readSettings({ SLUICE_LOCAL: "1" });
    expect(tokenSecret).toMatch(/development/);
    expect(readSettings({}).tokenSecret).toBeNull();
    expect(() => readSettings({ SLUICE_TOKEN_SECRET: tokenSecret })).toThrow("development secret");
  });

  it("has 32 characters at least, and is not repeated in the error", () => {
    expect(readSettings({ SLUICE_TOKEN_SECRET: "x".repeat(32) }).tokenSecret).toBe("x".repeat(32));
    expect(() => readSettings({ SLUICE_TOKEN_SECRET: "y".repeat(31) })).toThrow(/^SLUICE_TOKEN_SECRET must have at least 32 characters\.$/);
  });
});

describe("the URL of alerts", () => {
  it("is https, in local mode http as well, and is not repeated in the error", () => {
    const at = (url: string, local = "0") => readSettings({ SLUICE_ALERT_URL: url, SLUICE_LOCAL: local }).alertUrl;
    expect(at(" https://chat.example.com/secret ")).toBe("https://chat.example.com/secret");
    expect(at("http://127.0.0.1:9/", "1")).toBe("http://127.0.0.1:9/");
    for (const url of ["http://chat.example.com/secret", "chat", "file:///secret"])
      expect(() => at(url)).toThrow(/^SLUICE_ALERT_URL must be an https URL\.$/);
  });
});

describe("keys", () => {
  it("of development open the service in local mode", () => {
    const settings = readSettings({ SLUICE_LOCAL: "1" });
    for (const [key, tenant] of Object.entries(DEVELOPMENT)) expect(settings.keys.get(sha256(key))?.tenant).toBe(tenant);
    expect(settings.keys.get(sha256("sk-dev-operator"))?.roles).toEqual(["operate"]);
    expect(settings.keys.get(sha256("sk-dev-alice"))?.roles).toEqual(["submit", "read"]);
  });

  // Law: development keys are accepted when SLUICE_LOCAL is "1", and never otherwise.
  it("of development are worth nothing elsewhere", () => {
    const notLocal = fc.oneof(
      fc.constantFrom(undefined, null, "", "0", "true", "yes", " 1", "1 ", "01", 1, true, ["1"]),
      fc.string().filter((each) => each !== "1"),
    );
    fc.assert(
      fc.property(notLocal, (value) => {
        const settings = readSettings({ SLUICE_LOCAL: value, ...keys(key()) });
        expect(settings.local).toBe(false);
        expect([...settings.keys.keys()]).toEqual([sha256("k")]);
      }),
    );
  });

  it("are found by their hash, whatever its case", () => {
    const settings = readSettings(keys(key({ key_sha256: sha256("k").toUpperCase(), roles: ["operate"], models: ["gpt-5*"] })));
    expect(settings.keys.get(sha256("k"))).toEqual({ tenant: "acme", onDisconnect: "cancel", roles: ["operate"], models: ["gpt-5*"] });
  });

  it("say what their tenant may use, and a tenant that none names may use all", () => {
    const settings = readSettings(keys(key({ weight: 3, rpm: 10, tpm: 1_000, max_queued: 5 })));
    expect(tenantOf(settings, "acme")).toEqual({ weight: 3, rpm: 10, tpm: 1_000, maxQueued: 5 });
    expect(tenantOf(settings, "gone")).toEqual({ weight: 1, rpm: null, tpm: null, maxQueued: null });
  });

  it("of one tenant: what any of them says counts, in whatever order they stand", () => {
    const [one, two, three] = [
      key({ weight: 3, rpm: 10 }),
      other("l", { roles: ["read"] }),
      other("m", { rpm: 10, tpm: 1_000, max_queued: 5 }),
    ];
    for (const all of [
      [one, two, three],
      [three, two, one],
    ]) {
      expect(tenantOf(readSettings(keys(...all)), "acme")).toEqual({ weight: 3, rpm: 10, tpm: 1_000, maxQueued: 5 });
    }
  });

  it.each([
    ["weight", 1, 2],
    ["rpm", 10, 20],
    ["tpm", 10, 20],
    ["max_queued", 10, 20],
  ])("of one tenant that say different %s are refused, by the tenant's name", (field, one, two) => {
    const message = messageOf(keys(key({ [field]: one }), other("l"), other("m", { [field]: two })));
    expect(message).toBe(`SLUICE_KEYS: 2.${field} differs from that of another key of the tenant "acme"`);
  });

  it("that stand there twice are refused, by their places", () => {
    const twin = key({ key_sha256: sha256("k").toUpperCase(), tenant: "shop" });
    expect(messageOf(keys(key(), other("l"), twin))).toBe("SLUICE_KEYS: 2.key_sha256 is the same as in entry 0");
  });

  it("of development may stand there with other limits", () => {
    const own = key({ key_sha256: sha256("sk-dev-alice"), tenant: "alice", max_queued: 1 });
    expect(tenantOf(readSettings({ SLUICE_LOCAL: "1", ...keys(own) }), "alice").maxQueued).toBe(1);
  });
});

const secret = (bytes: number) => `whsec_${Buffer.alloc(bytes, 7).toString("base64")}`;

describe("signing secrets", () => {
  it("are a tenant's, from all of its keys, each once", () => {
    const one = key({ webhook_secrets: [secret(24), secret(32)] });
    const two = key({ key_sha256: sha256("l"), webhook_secrets: [secret(32), secret(64)] });
    const { webhookSecrets } = readSettings(keys(one, two, key({ key_sha256: sha256("m"), tenant: "mute" })));
    expect([...webhookSecrets]).toEqual([["acme", [secret(24), secret(32), secret(64)]]]);
  });

  it("of development belong to development keys, in local mode alone", () => {
    expect([...readSettings({ SLUICE_LOCAL: "1" }).webhookSecrets]).toEqual([
      ["alice", [DEVELOPMENT_WEBHOOK_SECRET]],
      ["bob", [DEVELOPMENT_WEBHOOK_SECRET]],
    ]);
    expect(readSettings({ SLUICE_LOCAL: "0", ...keys(key()) }).webhookSecrets.size).toBe(0);
  });

  it("are no part of what is known of a key or a tenant", () => {
    const settings = readSettings(keys(key({ webhook_secrets: [secret(24)] })));
    expect(JSON.stringify([settings.keys.get(sha256("k")), tenantOf(settings, "acme")])).not.toContain("whsec_");
  });
});

describe("pools", () => {
  const pool = { rpm: 1, tpm: 1 };
  const read = (pools: object) => readSettings({ SLUICE_POOLS: JSON.stringify(pools) }).pools;

  it("without models take the one of their own name; the default takes what is left, and an empty list nothing", () => {
    const { "gpt-5": own, default: rest, none } = read({ "gpt-5": pool, default: pool, none: { ...pool, models: [] } });
    expect([own?.models, rest?.models, none?.models]).toEqual([["gpt-5"], [], []]);
  });

  it("that share a pattern are refused, whether it is written or a name", () => {
    const message = 'SLUICE_POOLS: b.models must not name "gpt-5", which the pool "a" already has';
    expect(messageOf({ SLUICE_POOLS: JSON.stringify({ a: { ...pool, models: ["gpt-5"] }, b: { ...pool, models: ["x", "gpt-5"] } }) })).toBe(
      message,
    );
    expect(messageOf({ SLUICE_POOLS: JSON.stringify({ a: { ...pool, models: ["gpt-5"] }, "gpt-5": pool }) })).toContain('"gpt-5"');
    expect(read({ a: { ...pool, models: ["gpt-5", "gpt-5*"] }, b: { ...pool, models: ["gpt-5-*"] } })).toBeTruthy();
  });

  it.each(["gpt-*-mini", "*mini", "gpt-5**"])("with the pattern %s are refused: a * stands for the rest, at the end", (pattern) => {
    const message = messageOf({ SLUICE_POOLS: JSON.stringify({ a: { ...pool, models: [pattern] } }) });
    expect(message).toBe(`SLUICE_POOLS: a.models may have a * only as the last character of a pattern, unlike "${pattern}"`);
    expect(messageOf({ SLUICE_POOLS: JSON.stringify({ [pattern]: pool }) })).toContain("only as the last character");
  });
});

describe("upstream's URL", () => {
  it("is an absolute one of http or https", () => {
    const at = (url: string) => readSettings({ OPENAI_BASE_URL: url }).baseUrl;
    expect(at(" https://example.com/v1 ")).toBe("https://example.com/v1");
    expect(at("http://127.0.0.1:1/v1")).toBe("http://127.0.0.1:1/v1");
    expect(at(" ")).toBeNull();
  });

  it.each(["localhost", "localhost:8931/v1", "ftp://me:hidden@example.com", "/v1", "http://me:hidden@"])(
    "%s is refused, unrepeated",
    (url) => {
      expect(messageOf({ OPENAI_BASE_URL: url })).toBe("OPENAI_BASE_URL must be a complete URL that begins with http:// or https://.");
    },
  );
});

describe("the region", () => {
  it("is one that Cloudflare has", () => {
    expect(readSettings({ SLUICE_REGION: " weur " }).region).toBe("weur");
    for (const region of ["WNAM", "us-east-1", "wnam,enam"])
      expect(messageOf({ SLUICE_REGION: region })).toMatch(/^SLUICE_REGION must be one of Cloudflare's location hints: wnam, enam, /);
  });
});

const NAMES = [
  "SLUICE_KEYS",
  "SLUICE_POOLS",
  "SLUICE_TIMEOUTS",
  "SLUICE_ALERT_URL",
  "OPENAI_BASE_URL",
  "SLUICE_REGION",
  "SLUICE_MAX_DISPATCHERS",
  "SLUICE_RETENTION_HOURS",
];
const pool = { rpm: 1, tpm: 1 };

describe("a malformed variable", () => {
  it.each<[string, unknown]>([
    ["SLUICE_KEYS", `[{"key_sha256":"${SECRET}`],
    ["SLUICE_KEYS", SECRET],
    ["SLUICE_KEYS", JSON.stringify(SECRET)],
    ["SLUICE_KEYS", JSON.stringify({ [SECRET]: "acme" })],
    ["SLUICE_KEYS", JSON.stringify([SECRET])],
    ["SLUICE_KEYS", JSON.stringify([key({ key_sha256: SECRET })])],
    ["SLUICE_KEYS", JSON.stringify([key({ [SECRET]: 1 })])],
    ["SLUICE_KEYS", JSON.stringify([key({ key: SECRET })])],
    ["SLUICE_KEYS", JSON.stringify([key({ tenant: `${SECRET}/x` })])],
    ["SLUICE_KEYS", JSON.stringify([key({ tenant: SECRET.repeat(9) })])],
    ["SLUICE_KEYS", JSON.stringify([key({ roles: [SECRET] })])],
    ["SLUICE_KEYS", JSON.stringify([key({ roles: [] })])],
    ["SLUICE_KEYS", JSON.stringify([key({ weight: SECRET })])],
    ["SLUICE_KEYS", JSON.stringify([key({ weight: 0 })])],
    ["SLUICE_KEYS", JSON.stringify([key({ models: SECRET })])],
    ["SLUICE_KEYS", JSON.stringify([key({ max_queued: 1.5 })])],
    ["SLUICE_KEYS", JSON.stringify([key({ webhook_secrets: SECRET })])],
    ["SLUICE_KEYS", JSON.stringify([key({ webhook_secrets: [SECRET] })])],
    ["SLUICE_KEYS", JSON.stringify([key({ webhook_secrets: [`whsec_${SECRET}`] })])],
    ["SLUICE_KEYS", JSON.stringify([key({ webhook_secrets: [secret(23)] })])],
    ["SLUICE_KEYS", JSON.stringify([key({ webhook_secrets: [secret(65)] })])],
    ["SLUICE_KEYS", JSON.stringify([key({ webhook_secrets: [secret(24), secret(25), secret(26)] })])],
    ["SLUICE_KEYS", 5],
    ["SLUICE_KEYS", true],
    ["SLUICE_POOLS", "{"],
    ["SLUICE_POOLS", "{}"],
    ["SLUICE_POOLS", "[]"],
    ["SLUICE_POOLS", JSON.stringify({ default: {} })],
    ["SLUICE_POOLS", JSON.stringify({ default: { ...pool, rpm: 0 } })],
    ["SLUICE_POOLS", JSON.stringify({ default: { ...pool, rpm: 0.00001 } })],
    ["SLUICE_POOLS", JSON.stringify({ default: { ...pool, tpm: 1e13 } })],
    ["SLUICE_POOLS", '{"default":{"rpm":1e999,"tpm":1}}'],
    ["SLUICE_POOLS", JSON.stringify({ default: { ...pool, rpm: "many" } })],
    ["SLUICE_POOLS", JSON.stringify({ default: { ...pool, concurrency: 0.5 } })],
    ["SLUICE_POOLS", JSON.stringify({ default: { ...pool, burst_seconds: 0 } })],
    ["SLUICE_POOLS", JSON.stringify({ default: { ...pool, burst_seconds: 1e-9 } })],
    ["SLUICE_POOLS", JSON.stringify({ default: { ...pool, burstSeconds: 1 } })],
    ["SLUICE_POOLS", JSON.stringify({ "": pool })],
    ["SLUICE_TIMEOUTS", "300"],
    ["SLUICE_TIMEOUTS", JSON.stringify({ idle: -1 })],
    ["SLUICE_TIMEOUTS", JSON.stringify({ first: 1 })],
    ["SLUICE_MAX_DISPATCHERS", "many"],
    ["SLUICE_MAX_DISPATCHERS", "0"],
    ["SLUICE_MAX_DISPATCHERS", "0.5"],
    ["SLUICE_MAX_DISPATCHERS", "2.5"],
    ["SLUICE_MAX_DISPATCHERS", 1.5],
    ["SLUICE_MAX_DISPATCHERS", "-3"],
    ["SLUICE_MAX_DISPATCHERS", "Infinity"],
    ["SLUICE_MAX_DISPATCHERS", 0],
    ["SLUICE_MAX_DISPATCHERS", {}],
    ["SLUICE_RETENTION_HOURS", "three days"],
    ["SLUICE_RETENTION_HOURS", "NaN"],
    ["SLUICE_RETENTION_HOURS", "1e999"],
  ])("%s = %s is refused by its name, and nothing that it holds is repeated", (name, value) => {
    const message = messageOf({ [name]: value });
    expect(message).toContain(name);
    expect(message).not.toContain(SECRET);
  });

  // Law: whatever is put into the keys, none of its text comes back in an error.
  it("SLUICE_KEYS never gives away a piece of what it holds", () => {
    const secret = fc.constant(SECRET);
    const { value } = fc.letrec<{ value: unknown }>((tie) => ({
      value: fc.oneof(
        { depthSize: "small" },
        secret,
        fc.constantFrom(null, 1, true, [], {}),
        fc.array(tie("value"), { maxLength: 2 }),
        fc.dictionary(
          fc.oneof(secret, fc.constantFrom("key_sha256", "tenant", "roles", "models", "weight", "webhook_secrets")),
          tie("value"),
          { maxKeys: 3 },
        ),
      ),
    }));
    fc.assert(
      fc.property(
        fc.oneof(
          value,
          fc.array(value),
          value.map((more) => [key(Object(more))]),
        ),
        (value) => {
          const message = messageOf({ SLUICE_KEYS: JSON.stringify(value) });
          if (message === null) return;
          expect(message).toContain("SLUICE_KEYS");
          expect(message).not.toContain(SECRET);
        },
      ),
      { numRuns: 1_000 },
    );
  });

  it("says which field of which key is at fault", () => {
    expect(messageOf(keys(key(), key({ weight: 0 })))).toMatch(/^SLUICE_KEYS: 1\.weight /);
    expect(messageOf({ SLUICE_POOLS: JSON.stringify({ default: { ...pool, rpms: 1 } }) })).toMatch(/rpms/);
  });
});

describe("numbers", () => {
  it("are taken as text or, as wrangler.toml may have them, as numbers", () => {
    for (const value of ["5", " 5 ", 5]) {
      expect(readSettings({ SLUICE_MAX_DISPATCHERS: value, SLUICE_RETENTION_HOURS: value })).toMatchObject({
        maxDispatchers: 5,
        retentionMs: 5 * 3_600_000,
      });
    }
  });

  it("and texts are read without the blanks around them", () => {
    expect([text(" x "), text("  "), text(undefined), text(5)]).toEqual(["x", null, null, null]);
  });
});

function messageOf(env: Record<string, unknown>): string | null {
  try {
    readSettings(env);
  } catch (error) {
    return (error as Error).message;
  }
  return null;
}

describe("keys that do not fit in one variable", () => {
  const list = (...all: unknown[]) => JSON.stringify(all);

  it("stand in several, as if they were one list", () => {
    const [a, b, c] = [key({ weight: 2 }), other("b", { tenant: "b" }), other("c", { rpm: 7 })];
    const split = readSettings({ SLUICE_KEYS: list(a), SLUICE_KEYS_2: list(b), SLUICE_KEYS_10: list(c), SLUICE_KEYS_3: " " });
    const whole = readSettings(keys(a, b, c));
    expect(new Map([...split.keys].sort())).toEqual(new Map([...whole.keys].sort()));
    expect(split.tenants).toEqual(whole.tenants);
    expect(tenantOf(split, "acme")).toMatchObject({ weight: 2, rpm: 7 });
  });

  it("are refused where two contradict each other, or one is malformed", () => {
    expect(() => readSettings({ SLUICE_KEYS: list(key()), SLUICE_KEYS_2: list(key()) })).toThrow(
      "SLUICE_KEYS and SLUICE_KEYS_2: 1.key_sha256 is the same as in entry 0",
    );
    expect(() => readSettings({ SLUICE_KEYS: list(key()), SLUICE_KEYS_2: "[" })).toThrow("SLUICE_KEYS_2 is not valid JSON.");
    expect(() => readSettings({ SLUICE_KEYS_2: list(key({ [SECRET]: 1 })) })).toThrow(/^(?!.*sk-live)SLUICE_KEYS_2/);
  });
});
