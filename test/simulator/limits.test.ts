import { describe, expect, it } from "vitest";
import type { Limits } from "../../workers/simulator/catalog.ts";
import { charge } from "../../workers/simulator/charge.ts";
import { formatDuration } from "../../workers/simulator/duration.ts";
import { Limiter, type LimitSettings, limitsFor } from "../../workers/simulator/limits.ts";
import { openMeter, remaining, resetMs, spend } from "../../workers/simulator/meter.ts";
import type { ChatRequest } from "../../workers/simulator/request.ts";

const START = 1_800_000_000_000;

function limiter(limits: Record<string, Limits>, more: Partial<LimitSettings> = {}) {
  const table = new Limiter({ limits, burstSeconds: 60, countRejected: false, quantised: false, windows: false, ...more });
  const fallback = { rpm: 500, tpm: 500_000 };
  return {
    table,
    admit: (model: string, tokens: number, atMs = 0) => table.admit(model, fallback, tokens, START + atMs),
    headers: (model: string, atMs = 0) => table.headers(model, fallback, START + atMs),
  };
}

describe("durations", () => {
  it.each([
    [0, "0s"],
    [9, "9ms"],
    [120, "120ms"],
    [1000, "1s"],
    [3114, "3.114s"],
    [8640, "8.64s"],
    [72_000, "1m12s"],
    [360_000, "6m0s"],
    [3_600_000, "1h0m0s"],
  ])("%i ms is written %s", (milliseconds, text) => {
    expect(formatDuration(milliseconds)).toBe(text);
  });

  // Header dumps of real calls: limit, remaining, window in seconds, reset.
  it.each([
    [160_000, 159_976, 60, "9ms"],
    [200_000, 199_978, 60, "6ms"],
    [10_000, 9_481, 60, "3.114s"],
    [5_000, 4_999, 60, "12ms"],
    [60_000, 57_000, 60, "3s"],
    [10_000, 9_999, 86_400, "8.64s"],
  ])("of %i with %i left in a window of %i s, reset is %s", (limit, left, window, text) => {
    const meter = openMeter(limit, window, window, START);
    spend(meter, limit - left);
    expect(remaining(meter)).toBe(left);
    expect(formatDuration(resetMs(meter))).toBe(text);
  });
});

describe("requests per minute", () => {
  it("lets exactly the limit through at once, then refuses", () => {
    const { admit } = limiter({ "gpt-5-mini": { rpm: 3, tpm: 1000 } });
    expect([1, 2, 3].map(() => admit("gpt-5-mini", 1).ok)).toEqual([true, true, true]);
    const refused = admit("gpt-5-mini", 1);
    expect(refused).toMatchObject({ ok: false, kind: "requests", problem: { status: 429, retryAfterMs: 20_000 } });
  });

  it("refills steadily: one request per limit-th of a minute, and not a millisecond earlier", () => {
    const { admit } = limiter({ "gpt-5-mini": { rpm: 60, tpm: 1000 } });
    for (let count = 0; count < 60; count++) expect(admit("gpt-5-mini", 1).ok).toBe(true);
    expect(admit("gpt-5-mini", 1, 999).ok).toBe(false);
    expect(admit("gpt-5-mini", 1, 1000).ok).toBe(true);
    expect(admit("gpt-5-mini", 1, 1001).ok).toBe(false);
  });

  it("never admits more than burst + rate·T", () => {
    const { admit } = limiter({ "gpt-5-mini": { rpm: 600, tpm: 1e9 } });
    let admitted = 0;
    for (let at = 0; at <= 30_000; at += 7) if (admit("gpt-5-mini", 1, at).ok) admitted++;
    expect(admitted).toBeLessThanOrEqual(600 + 300);
    expect(admitted).toBeGreaterThanOrEqual(600 + 299);
  });

  it("does not charge what it refuses, unless told to", () => {
    const limits = { m: { rpm: 2, tpm: 100 } };
    const lenient = limiter(limits);
    lenient.admit("m", 100);
    lenient.admit("m", 50);
    expect(lenient.headers("m")["x-ratelimit-remaining-requests"]).toBe("1");
    const strict = limiter(limits, { countRejected: true });
    strict.admit("m", 100);
    strict.admit("m", 50);
    expect(strict.headers("m")["x-ratelimit-remaining-requests"]).toBe("0");
  });
});

describe("requests dealt out by the second", () => {
  const second = (rpm: number) => limiter({ m: { rpm, tpm: 1e9 } }, { quantised: true });

  it("a minute's limit is a sixtieth in each second, and what a second leaves is lost", () => {
    const { admit } = second(120);
    expect([0, 0, 0].map((at) => admit("m", 1, at).ok)).toEqual([true, true, false]);
    expect(admit("m", 1, 999).ok).toBe(false);
    expect([30_000, 30_000, 30_000].map((at) => admit("m", 1, at).ok)).toEqual([true, true, false]);
  });

  it("below one a second the ticks are longer, and a refusal names the next one", () => {
    const { admit } = second(20);
    expect(admit("m", 1).ok).toBe(true);
    expect(admit("m", 1, 1000)).toMatchObject({ ok: false, kind: "requests", problem: { retryAfterMs: 2000 } });
    expect(admit("m", 1, 2999).ok).toBe(false);
    expect(admit("m", 1, 3000).ok).toBe(true);
  });

  it("never admits more in a minute than without, and the headers show the minute", () => {
    const { admit, headers } = second(61);
    let admitted = 0;
    for (let at = 0; at < 60_000; at += 100) if (admit("m", 1, at).ok) admitted++;
    expect(admitted).toBe(60);
    expect(headers("m", 60_000)["x-ratelimit-limit-requests"]).toBe("61");
  });

  it("can be switched on while it runs", () => {
    const limits = { m: { rpm: 120, tpm: 1e9 } };
    const { table, admit } = limiter(limits);
    expect([0, 0, 0].map(() => admit("m", 1).ok)).toEqual([true, true, true]);
    table.configure({ limits, burstSeconds: 60, countRejected: false, quantised: true, windows: false }, START);
    expect([0, 0, 0].map(() => admit("m", 1).ok)).toEqual([true, true, false]);
  });
});

describe("tokens per minute", () => {
  it("refuses in OpenAI's words and says when there will be enough", () => {
    const { admit } = limiter({ "gpt-4o": { rpm: 500, tpm: 30_000 } });
    expect(admit("gpt-4o", 29_937).ok).toBe(true);
    const refused = admit("gpt-4o", 385);
    expect(refused).toMatchObject({ ok: false, kind: "tokens", problem: { status: 429, retryAfterMs: 644 } });
    expect(!refused.ok && refused.problem.error).toEqual({
      message:
        "Rate limit reached for gpt-4o in organization org-sim on tokens per min (TPM): Limit 30000, Used 29937, Requested 385. Please try again in 644ms. Visit https://platform.openai.com/account/rate-limits to learn more.",
      type: "tokens",
      param: null,
      code: "rate_limit_exceeded",
    });
    expect(admit("gpt-4o", 385, 643).ok).toBe(false);
    expect(admit("gpt-4o", 385, 644).ok).toBe(true);
  });

  it("a request larger than the bucket can never run, and names no time", () => {
    const refused = limiter({ "gpt-4o": { rpm: 500, tpm: 30_000 } }).admit("gpt-4o", 30_601);
    const message = !refused.ok && refused.problem.error.message;
    expect(message).toMatch(/^Request too large for gpt-4o .*: Limit 30000, Requested 30601\. The input or output tokens must be reduced/);
    expect(!refused.ok && refused.problem).not.toHaveProperty("retryAfterMs");
  });

  it("burst_seconds shrinks what can be spent at once but not the rate or the limit shown", () => {
    const { admit, headers } = limiter({ m: { rpm: 600, tpm: 60_000 } }, { burstSeconds: 1 });
    expect(headers("m")["x-ratelimit-limit-tokens"]).toBe("60000");
    expect(Array.from({ length: 11 }, () => admit("m", 1).ok).filter(Boolean)).toHaveLength(10);
    expect(admit("m", 1, 100).ok).toBe(true);
    expect(admit("m", 1001, 60_000).ok).toBe(false);
  });
});

describe("limits per day and shared limits", () => {
  it("shows the daily limit in the header where there is one, and keeps both", () => {
    const { admit, headers } = limiter({ m: { rpm: 2, tpm: 1000, rpd: 3 } });
    admit("m", 1);
    expect(headers("m")).toMatchObject({ "x-ratelimit-limit-requests": "3", "x-ratelimit-remaining-requests": "2" });
    admit("m", 1);
    expect(admit("m", 1)).toMatchObject({ ok: false, problem: { error: { message: expect.stringContaining("(RPM)") } } });
    expect(admit("m", 1, 60_000).ok).toBe(true);
    expect(admit("m", 1, 120_000)).toMatchObject({ ok: false, problem: { error: { message: expect.stringContaining("(RPD)") } } });
  });

  it("models without a family have buckets of their own; a pattern and a family share one", () => {
    const own = limiter({ default: { rpm: 1, tpm: 10 } });
    expect([own.admit("a", 1).ok, own.admit("b", 1).ok]).toEqual([true, true]);
    const pattern = limiter({ "gpt-5*": { rpm: 1, tpm: 10 } });
    expect([pattern.admit("gpt-5-mini", 1).ok, pattern.admit("gpt-5", 1).ok]).toEqual([true, false]);
    const family = limiter({ a: { rpm: 1, tpm: 10, family: "f" }, b: { rpm: 1, tpm: 10, family: "f" } });
    expect([family.admit("a", 1).ok, family.admit("b", 1).ok]).toEqual([true, false]);
  });

  it("takes the exact name, then the longest pattern, then default, then the model's own", () => {
    const [exact, long, short, rest, own] = [1, 2, 3, 4, 5].map((rpm) => ({ rpm, tpm: 1 }));
    const table = { "gpt-5-mini": exact!, "gpt-5-*": long!, "gpt-*": short!, default: rest! };
    const chosen = ["gpt-5-mini", "gpt-5-nano", "gpt-4o", "o4"].map((model) => limitsFor(model, own!, table).limits.rpm);
    expect(chosen).toEqual([1, 2, 3, 4]);
    expect(limitsFor("o4", own!, {}).limits.rpm).toBe(5);
  });

  it("new limits hold from when they are set, though nobody calls: what refilled before did so at the old rate, and after at the new", () => {
    const { table, headers } = limiter({ m: { rpm: 60, tpm: 1e6 } });
    for (let count = 0; count < 60; count++) table.admit("m", { rpm: 1, tpm: 1 }, 1, START);
    const configured = { burstSeconds: 60, countRejected: false, quantised: false, windows: false };
    table.configure({ ...configured, limits: { m: { rpm: 30, tpm: 1e6 } } }, START + 10_000);
    expect(headers("m", 30_000)).toMatchObject({ "x-ratelimit-limit-requests": "30", "x-ratelimit-remaining-requests": "10" });
  });

  it("new limits keep what was spent", () => {
    const { table, admit, headers } = limiter({ m: { rpm: 10, tpm: 100 } });
    for (let count = 0; count < 4; count++) admit("m", 10);
    table.configure(
      { limits: { m: { rpm: 5, tpm: 200 } }, burstSeconds: 60, countRejected: false, quantised: false, windows: false },
      START,
    );
    expect(headers("m")).toMatchObject({ "x-ratelimit-remaining-requests": "1", "x-ratelimit-remaining-tokens": "160" });
  });
});

describe("fixed windows", () => {
  const HOUR = 3_600_000;
  // START is eight o'clock.
  const windows = (limits: Limits, more: Partial<LimitSettings> = {}) => limiter({ m: limits }, { windows: true, ...more });

  it("a minute's limit is counted from zero with each minute of the clock, all of it at once", () => {
    const { admit, headers } = windows({ rpm: 2, tpm: 1e9 });
    expect([50_000, 50_001, 59_999].map((at) => admit("m", 1, at).ok)).toEqual([true, true, false]);
    expect(headers("m", 59_999)).toMatchObject({ "x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "1ms" });
    expect([60_000, 60_000, 60_000].map((at) => admit("m", 1, at).ok)).toEqual([true, true, false]);
  });

  it("a refusal names the window's end; one that is whole has nothing to reset", () => {
    const { admit, headers } = windows({ rpm: 9, tpm: 100 });
    expect(headers("m")["x-ratelimit-reset-tokens"]).toBe("0s");
    admit("m", 100, 15_000);
    expect(admit("m", 1, 20_000)).toMatchObject({ ok: false, kind: "tokens", problem: { retryAfterMs: 40_000 } });
  });

  it("a day's limit likewise, at the end of the day", () => {
    const { admit, headers } = windows({ rpm: 9, tpm: 1e9, rpd: 2 });
    expect([0, 1, 2].map((hour) => admit("m", 1, 13 * HOUR + hour).ok)).toEqual([true, true, false]);
    expect(headers("m", 13 * HOUR + 2 * 60_000)).toMatchObject({
      "x-ratelimit-limit-requests": "2",
      "x-ratelimit-remaining-requests": "0",
      "x-ratelimit-reset-requests": "2h58m0s",
    });
    expect(admit("m", 1, 15.9 * HOUR).ok).toBe(false);
    expect(admit("m", 1, 16 * HOUR).ok).toBe(true);
  });

  it("can be switched on while it runs: what was spent stays spent until the window ends", () => {
    const limits = { m: { rpm: 3, tpm: 1e9 } };
    const { admit, table } = limiter(limits);
    expect([admit("m", 1).ok, admit("m", 1).ok]).toEqual([true, true]);
    table.configure({ limits, burstSeconds: 60, countRejected: false, quantised: false, windows: true }, START);
    expect([1, 2, 30_000].map((at) => admit("m", 1, at).ok)).toEqual([true, false, false]);
    expect(admit("m", 1, 60_000).ok).toBe(true);
  });
});

describe("a project's tokens", () => {
  const limits = { rpm: 500, tpm: 1_000, project_tpm: 400 };

  it("are a bucket of their own beside the organisation's, with headers of their own", () => {
    const { admit, headers } = limiter({ m: limits });
    expect(admit("m", 300).ok).toBe(true);
    expect(headers("m")).toMatchObject({
      "x-ratelimit-limit-tokens": "1000",
      "x-ratelimit-remaining-tokens": "700",
      "x-ratelimit-limit-project-tokens": "400",
      "x-ratelimit-remaining-project-tokens": "100",
      "x-ratelimit-reset-project-tokens": "45s",
    });
    const refused = admit("m", 200);
    expect(refused).toMatchObject({ ok: false, kind: "tokens", problem: { status: 429, retryAfterMs: 15_000 } });
    expect(!refused.ok && refused.problem.error.message).toContain("project proj-sim");
  });

  it("are spent by the project alone; the organisation's by whoever", () => {
    const { admit, headers, table } = limiter({ m: limits });
    expect(table.admit("m", limits, 900, START, true).ok).toBe(true);
    expect(headers("m")).toMatchObject({
      "x-ratelimit-remaining-tokens": "100",
      "x-ratelimit-remaining-project-tokens": "400",
    });
    expect(admit("m", 200)).toMatchObject({ ok: false, problem: { error: { message: expect.stringContaining("organization org-sim") } } });
  });

  it("without a limit there are no headers of it", () => {
    expect(Object.keys(limiter({ m: { rpm: 5, tpm: 5 } }).headers("m")).filter((name) => name.includes("project"))).toEqual([]);
  });
});

describe("the charge", () => {
  const request = (more: object): ChatRequest => ({ model: "m", messages: [{ role: "user", content: "x".repeat(401) }], ...more });
  it.each([
    ["max", {}, 101],
    ["max", { max_completion_tokens: 50 }, 101],
    ["max", { max_completion_tokens: 500, n: 3 }, 1500],
    ["max", { max_tokens: 200 }, 200],
    ["sum", { max_completion_tokens: 500, n: 3 }, 1601],
    ["sum", {}, 101],
  ] as const)("by %s, %o costs %i", (rule, more, tokens) => {
    expect(charge(request(more), rule)).toBe(tokens);
  });
});
