import { reset } from "cloudflare:test";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { call, crash, ended, hashOf, submit, until } from "../support/service.ts";
import { completion, refusal, resetWorld, world } from "../support/world.ts";

beforeEach(resetWorld);
afterEach(reset);

const operator = { key: "sk-dev-operator" };
const scrape = async (key = operator.key) => (await call<string>("GET", "/metrics", undefined, { key })).body;

/** Samples by name and labels. The format: prometheus.io/docs/instrumenting/exposition_formats. */
function read(text: string): Map<string, number> {
  const samples = new Map<string, number>();
  const typed = new Set<string>();
  for (const line of text.split("\n").slice(0, -1)) {
    const type = /^# TYPE ([a-z_]+) (gauge|counter)$/.exec(line);
    if (type) {
      // All samples of a metric stand together, below its only TYPE line.
      expect(typed).not.toContain(type[1]);
      typed.add(type[1]!);
      continue;
    }
    if (/^# HELP [a-z_]+ [^\n]+$/.test(line)) continue;
    const sample = /^([a-z_]+)((?:\{(?:[a-z]+="(?:[^"\\\n]|\\[\\"n])*",?)+\})?) (-?[\d.e+-]+)$/.exec(line);
    expect(sample, line).not.toBeNull();
    const [, name, labels, value] = sample!;
    expect([...typed].at(-1)).toBe(name);
    expect(samples).not.toContain(`${name}${labels}`);
    samples.set(`${name}${labels}`, Number(value));
  }
  expect(text.endsWith("\n")).toBe(true);
  return samples;
}

describe("the metrics", () => {
  it("say of pools and tenants what the queue says", async () => {
    await call("POST", "/v1/queue/pause", { pool: "gpt-5-mini" }, operator);
    for (const key of ["sk-dev-alice", "sk-dev-alice", "sk-dev-bob"]) await submit({}, {}, key);
    await submit({ not_before: Math.ceil(world.now / 1_000) + 60 });
    const samples = read(await scrape());
    expect(Object.fromEntries(samples)).toMatchObject({
      sluice_paused: 0,
      'sluice_pool_depth{pool="gpt-5-mini"}': 3,
      'sluice_pool_depth{pool="gpt-5-nano"}': 0,
      'sluice_pool_scheduled{pool="gpt-5-mini"}': 1,
      'sluice_pool_limit{pool="gpt-5-mini",limit="rpm"}': 500,
      'sluice_pool_state{pool="gpt-5-mini",state="paused"}': 1,
      'sluice_pool_state{pool="gpt-5-mini",state="normal"}': 0,
      'sluice_tenant_depth{pool="gpt-5-mini",tenant="alice"}': 2,
      'sluice_tenant_depth{pool="gpt-5-mini",tenant="bob"}': 1,
    });
    // The pool has no such limit.
    expect(samples.has('sluice_pool_limit{pool="gpt-5-mini",limit="rpd"}')).toBe(false);
  });

  it("count calls by how they ended, and their tokens", async () => {
    await ended((await submit()).id);
    world.upstream = () => refusal(400, "no");
    await ended((await submit()).id);
    world.upstream = () => completion("ok");
    const count = (samples: Map<string, number>, outcome: string) =>
      samples.get(`sluice_calls_ended_total{pool="gpt-5-mini",outcome="${outcome}"}`);
    const samples = await until(async () => {
      const now = read(await scrape());
      return count(now, "fatal") === 1 && now;
    });
    expect(count(samples, "committed")).toBe(1);
    expect(samples.get('sluice_call_tokens_total{pool="gpt-5-mini",kind="used"}')).toBe(10);
  });

  it("of a pool with a name that must be escaped -> can be read", async () => {
    const name = 'a"b\\c\nd';
    const own = [{ key_sha256: await hashOf("op"), tenant: "ops", roles: ["operate"] }];
    world.env = { SLUICE_POOLS: JSON.stringify({ [name]: { rpm: 5, tpm: 5 } }), SLUICE_KEYS: JSON.stringify(own) };
    await crash();
    expect(read(await scrape("op")).get('sluice_pool_depth{pool="a\\"b\\\\c\\nd"}')).toBe(0);
  });

  it("are for operators alone, as text of the format's version", async () => {
    expect((await call("GET", "/metrics")).status).toBe(403);
    const { headers } = await call("GET", "/metrics", undefined, operator);
    expect(headers.get("content-type")).toBe("text/plain; version=0.0.4; charset=utf-8");
  });
});
