import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { durationText } from "../../policy/duration.ts";
import { parseDuration, readRates, readRetryAfter } from "../../policy/rate-headers.ts";

const headers = (given: Record<string, string>) => (name: string) => given[name] ?? null;
const rate = (of: string, limit: string, remaining: string, reset?: string) => ({
  [`x-ratelimit-limit-${of}`]: limit,
  [`x-ratelimit-remaining-${of}`]: remaining,
  ...(reset !== undefined && { [`x-ratelimit-reset-${of}`]: reset }),
});

describe("a duration", () => {
  it.each([
    ["9ms", 9],
    ["120ms", 120],
    ["1s", 1_000],
    ["1.2s", 1_200],
    ["3.114s", 3_114],
    ["8.64s", 8_640],
    ["6m0s", 360_000],
    ["1m12s", 72_000],
    ["1h2m3s", 3_723_000],
    ["0s", 0],
    ["1d", 86_400_000],
  ])("%s is %d ms", (text, ms) => expect(parseDuration(text)).toBeCloseTo(ms, 6));

  it.each(["", "-1", "-1s", "0", "5", "s", "1x", "1s ", " 1s", "1e3s", "9d", "1.2.3s", "1s".repeat(20), null, undefined])(
    "%j is none",
    (text) => expect(parseDuration(text)).toBeNull(),
  );

  // Law: a duration written the way upstream writes it is read back.
  it("of any length up to a day, as it is written, is read again", () => {
    fc.assert(
      fc.property(fc.nat(86_400_000), (ms) => {
        expect(parseDuration(durationText(ms))).toBeCloseTo(ms, 3);
      }),
    );
  });
});

describe("the headers", () => {
  it("of requests and tokens", () => {
    const both = headers({ ...rate("requests", "60", "59", "1s"), ...rate("tokens", "150000", "149984", "6m0s") });
    expect(readRates(both)).toEqual({
      requests: { limit: 60, remaining: 59, resetMs: 1_000 },
      tokens: { limit: 150_000, remaining: 149_984, resetMs: 360_000 },
    });
  });

  it("of a project's tokens: beside the organisation's, whichever is scarcer, or alone", () => {
    const project = rate("project-tokens", "60000", "57000", "3s");
    const projectTokens = { limit: 60_000, remaining: 57_000, resetMs: 3_000 };
    expect(readRates(headers(project))).toEqual({ requests: null, tokens: null, projectTokens });
    const both = readRates(headers({ ...project, ...rate("tokens", "150000", "40000", "44s") }));
    expect(both).toEqual({ requests: null, tokens: { limit: 150_000, remaining: 40_000, resetMs: 44_000 }, projectTokens });
  });

  it("none of one: the other still counts; no reset: null", () => {
    expect(readRates(headers(rate("requests", "500", "499")))).toEqual({
      requests: { limit: 500, remaining: 499, resetMs: null },
      tokens: null,
    });
  });

  it("nothing spent, and everything spent", () => {
    expect(readRates(headers(rate("requests", "500", "500", "0s")))?.requests).toEqual({ limit: 500, remaining: 500, resetMs: 0 });
    expect(readRates(headers(rate("requests", "500", "0", "60s")))?.requests?.remaining).toBe(0);
  });

  it.each(["61", "-1", " -1 "])("of 60 there are %j left, as just after a cut: the limit alone", (left) => {
    expect(readRates(headers(rate("requests", "60", left, "1s")))?.requests).toEqual({ limit: 60, remaining: null, resetMs: 1_000 });
  });

  it.each([
    ["absent", {}],
    ["a limit alone", { "x-ratelimit-limit-requests": "60" }],
    ["-1", rate("requests", "-1", "-1", "0s")],
    ["no limit", rate("requests", "0", "0", "0s")],
    ["words", rate("requests", "many", "some", "soon")],
    ["huge", rate("requests", "9".repeat(15), "1", "1s")],
    ["longer than any number", rate("requests", "9".repeat(400), "1", "1s")],
    ["in powers", rate("requests", "1e3", "1e2", "1s")],
  ])("%s: nothing is said", (_, given) => expect(readRates(headers(given))).toBeNull());

  // Law: whatever the headers are, what is read is finite and not negative, and no more is left than the limit.
  it("any text", () => {
    const text = fc.oneof(fc.string(), fc.double().map(String), fc.integer().map(String), fc.constantFrom("NaN", "Infinity", "-0", "0x10"));
    fc.assert(
      fc.property(text, text, text, (limit, remaining, reset) => {
        const read = readRates(headers(rate("tokens", limit, remaining, reset)))?.tokens;
        if (!read) return;
        expect(read.limit).toBeGreaterThan(0);
        expect(read.limit).toBeLessThanOrEqual(1e12);
        expect(read.remaining ?? 0).toBeGreaterThanOrEqual(0);
        expect(read.remaining ?? 0).toBeLessThanOrEqual(read.limit);
        expect(read.resetMs === null || (read.resetMs >= 0 && Number.isFinite(read.resetMs))).toBe(true);
      }),
    );
  });
});

describe("the wish for silence", () => {
  const NOW = Date.parse("Wed, 21 Oct 2026 07:28:00 GMT");
  const wish = (given: Record<string, string>) => readRetryAfter(headers(given), Date.parse, NOW);

  it.each<[Record<string, string>, number | null]>([
    [{ "retry-after": "56" }, 56_000],
    [{ "retry-after": "0.5" }, 500],
    [{ "retry-after": "0" }, 0],
    [{ "retry-after-ms": "250", "retry-after": "1" }, 250],
    [{ "retry-after-ms": "soon", "retry-after": "1" }, 1_000],
    [{ "retry-after": "Wed, 21 Oct 2026 07:28:30 GMT" }, 30_000],
    [{ "retry-after": "Wed, 21 Oct 2026 07:27:00 GMT" }, 0],
    [{ "retry-after": "99999999" }, 2 * 86_400_000],
    [{ "retry-after": "-5" }, null],
    [{ "retry-after": "later" }, null],
    [{}, null],
  ])("%j", (given, ms) => expect(wish(given)).toBe(ms));
});
