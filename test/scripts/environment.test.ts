import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { gather, plan, readDevVars, readPort, simulatorSettings } from "../../scripts/environment.ts";
import { limitsFor } from "../../workers/simulator/limits.ts";
import { parseSettings } from "../../workers/simulator/settings.ts";
import { directory } from "./toy.ts";

const toml = { SLUICE_REGION: { kind: "text", value: "toml" }, OWN: { kind: "text", value: "toml" } } as const;
const KEYS = JSON.stringify([{ key_sha256: "0".repeat(64), tenant: "acme" }]);
const limits = {
  rpd: null,
  tpd: null,
  concurrency: null,
  burst_seconds: 60,
  window_seconds: null,
  transit_ms: 1_000,
  ramp_tpm: null,
  learn: {},
  default_output_tokens: 1000,
};

describe("where a value comes from", () => {
  test("the process comes before .dev.vars, and that before wrangler.toml", () => {
    expect(gather({}, {}, toml).SLUICE_REGION).toBe("toml");
    expect(gather({}, { SLUICE_REGION: "file" }, toml).SLUICE_REGION).toBe("file");
    expect(gather({ SLUICE_REGION: "process" }, { SLUICE_REGION: "file" }, toml).SLUICE_REGION).toBe("process");
  });

  test("a name that only wrangler.toml or .dev.vars knows can be overridden; other names of the process stay out", () => {
    const values = gather({ OWN: "process", EXTRA: "process", HOME: "/root", OPENAI_API_KEY: "sk" }, { EXTRA: "file" }, toml);
    expect(values).toEqual({ OWN: "process", EXTRA: "process", OPENAI_API_KEY: "sk", SLUICE_REGION: "toml" });
  });

  test("an empty value switches a lower source off", () => {
    const values = gather({ OPENAI_API_KEY: "", SLUICE_REGION: "" }, { OPENAI_API_KEY: "sk" }, toml);
    expect(values).toEqual({ OWN: "toml" });
    // Otherwise the Worker would still see what its bundle says.
    expect(plan(values, ["SLUICE_REGION", "OWN"]).vars.SLUICE_REGION).toBe("");
  });

  test(".dev.vars may quote, and may be missing", () => {
    const path = join(directory(), ".dev.vars");
    expect(readDevVars(path)).toEqual({});
    writeFileSync(path, `# a comment\nOPENAI_API_KEY="sk x"\nSLUICE_KEYS='${KEYS}'\n`);
    expect(readDevVars(path)).toEqual({ OPENAI_API_KEY: "sk x", SLUICE_KEYS: KEYS });
  });
});

describe("what starts", () => {
  test("nothing set: loopback, development keys, the simulator", () => {
    const { port, host, upstream, vars, exposed } = plan({}, []);
    expect({ port, host, exposed, local: vars.SLUICE_LOCAL }).toEqual({ port: 8787, host: "127.0.0.1", exposed: false, local: "1" });
    expect(upstream).toContain("simulator");
  });

  test("the runner's own names never reach the Worker, and SLUICE_LOCAL cannot be given", () => {
    const given = { PORT: "1", HOST: "0.0.0.0", SLUICE_STATE: "x", SLUICE_LOCAL: "1", SLUICE_KEYS: KEYS };
    const { developmentKeys, vars } = plan(given, []);
    expect(developmentKeys).toBe(false);
    expect(Object.keys(vars).sort()).toEqual(["SIMULATOR_SETTINGS", "SLUICE_KEYS", "SLUICE_SIMULATOR"]);
  });

  test("a host that others reach needs keys of its own, or an explicit word for the development keys", () => {
    expect(() => plan({ HOST: "0.0.0.0" }, [])).toThrow("SLUICE_KEYS");
    expect(plan({ HOST: "0.0.0.0", SLUICE_DEV_KEYS: "1" }, [])).toMatchObject({ developmentKeys: true, exposed: true });
    expect(plan({ HOST: "::1" }, [])).toMatchObject({ developmentKeys: true, exposed: false });
  });

  test("the upstream's name shows no secret", () => {
    expect(plan({ OPENAI_API_KEY: "sk-secret" }, []).upstream).toBe("https://api.openai.com/v1");
    expect(plan({ OPENAI_BASE_URL: "http://me:secret@localhost:1/v1?key=secret" }, []).upstream).toBe("http://localhost:1/v1");
  });

  test.each([
    [{ PORT: "80x" }, "PORT"],
    [{ PORT: "65536" }, "PORT"],
    [{ SLUICE_POOLS: "{" }, "SLUICE_POOLS is not valid JSON"],
    [{ SLUICE_POOLS: '{"a":{"rpm":0,"tpm":1}}' }, "SLUICE_POOLS: a.rpm"],
    [{ SLUICE_KEYS: '[{"tenant":"x"}]' }, "SLUICE_KEYS: 0.key_sha256"],
    [{ SIMULATOR_SETTINGS: '{"sped":1}' }, "SIMULATOR_SETTINGS"],
    [{ OPENAI_BASE_URL: "localhost" }, "OPENAI_BASE_URL"],
    [{ OPENAI_BASE_URL: "localhost:8931/v1" }, "OPENAI_BASE_URL"],
    [{ SLUICE_REGION: "moon" }, "SLUICE_REGION"],
  ])("%j is refused in one line", (values, message) => {
    expect(() => plan(values, [])).toThrow(message);
    expect(() => plan(values, [])).toThrow(/^[^\n]+$/);
  });

  test("a port may be 0 and is 8787 if blank", () => {
    expect([readPort("0", 8787), readPort("", 8787), readPort(undefined, 8787)]).toEqual([0, 8787, 8787]);
  });
});

describe("the pretended account", () => {
  const pools = {
    mini: { models: ["gpt-5-mini*", "gpt-6-luna*"], ...limits, rpm: 10, tpm: 1000, rpd: 50 },
    default: { models: [], ...limits, rpm: 3, tpm: 300 },
  };

  test("has the limits of the pools, shared by the models of each", () => {
    const { limits: table } = parseSettings(simulatorSettings(undefined, pools));
    const none = { rpm: 1, tpm: 1 };
    expect(limitsFor("gpt-5-mini", none, table)).toEqual({ key: "mini", limits: { rpm: 10, tpm: 1000, rpd: 50, family: "mini" } });
    expect(limitsFor("gpt-6-luna-2026-08-20", none, table).key).toBe("mini");
    expect(limitsFor("gpt-4o", none, table)).toEqual({ key: "default", limits: { rpm: 3, tpm: 300, family: "default" } });
  });

  test("keeps other settings, and gives way to limits that are set", () => {
    expect(parseSettings(simulatorSettings('{"speed":5}', pools))).toMatchObject({ speed: 5, limits: { default: { rpm: 3 } } });
    expect(parseSettings(simulatorSettings('{"limits":{}}', pools)).limits).toEqual({});
  });
});
