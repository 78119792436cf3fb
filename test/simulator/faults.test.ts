import { describe, expect, it } from "vitest";
import { BREAKAGES, FaultBook, type FaultRule, problemFor, REFUSALS, type Wish } from "../../workers/simulator/faults.ts";

const NOW = 1_800_000_000_000;
const wish = (more: Partial<Wish> = {}): Wish => ({
  header: null,
  headerDelay: null,
  metadata: {},
  model: "gpt-5-mini",
  key: "k",
  ...more,
});
const rule = (more: Partial<FaultRule>): FaultRule => ({
  kind: "500",
  probability: 1,
  remaining: undefined,
  until: undefined,
  model: undefined,
  delayMs: undefined,
  shouldRetry: undefined,
  ...more,
});

function book(...rules: FaultRule[]): FaultBook {
  const made = new FaultBook(7);
  made.replace(rules);
  return made;
}

describe("selecting a fault", () => {
  it("nothing asked for, nothing happens", () => {
    expect(book().select(wish(), NOW)).toBeUndefined();
  });

  it("the header goes before the metadata, and both before the rules", () => {
    const made = book(rule({ kind: "503" }));
    expect(made.select(wish({ header: "reset", metadata: { simulate_fault: "hang" } }), NOW)?.kind).toBe("reset");
    expect(made.select(wish({ metadata: { simulate_fault: "hang", simulate_delay_ms: "5" } }), NOW)).toEqual({ kind: "hang", delayMs: 5 });
    expect(made.select(wish(), NOW)?.kind).toBe("503");
  });

  it("simulate_fault_times: only the first calls with the same key fail", () => {
    const made = book();
    const metadata = { simulate_fault: "500", simulate_fault_times: "2" };
    const kinds = (key: string) => [1, 2, 3].map(() => made.select(wish({ metadata, key }), NOW)?.kind);
    expect(kinds("a")).toEqual(["500", "500", undefined]);
    expect(kinds("b")).toEqual(["500", "500", undefined]);
  });

  it("a rule holds for so many calls, until a time, for a model", () => {
    const made = book(rule({ remaining: 1, kind: "429" }), rule({ until: NOW + 1000, model: "gpt-5*" }));
    expect(made.select(wish(), NOW)?.kind).toBe("429");
    expect(made.select(wish({ model: "gpt-4o" }), NOW)).toBeUndefined();
    expect(made.select(wish(), NOW + 999)?.kind).toBe("500");
    expect(made.select(wish(), NOW + 1000)).toBeUndefined();
  });

  it("a probability is kept in the long run and repeats with the seed", () => {
    const draws = () => {
      const made = book(rule({ probability: 0.3 }));
      return Array.from({ length: 2000 }, () => made.select(wish(), NOW) !== undefined);
    };
    const failed = draws().filter(Boolean).length;
    expect(failed).toBeGreaterThan(540);
    expect(failed).toBeLessThan(660);
    expect(draws()).toEqual(draws());
  });
});

describe("what a fault answers", () => {
  it.each([
    ["400", 400, "invalid_request_error", null],
    ["context_length_exceeded", 400, "invalid_request_error", "context_length_exceeded"],
    ["401", 401, "invalid_request_error", "invalid_api_key"],
    ["403", 403, "request_forbidden", "unsupported_country_region_territory"],
    ["404", 404, "invalid_request_error", "model_not_found"],
    ["408", 408, "timeout", null],
    ["409", 409, "invalid_request_error", null],
    ["429", 429, "requests", "rate_limit_exceeded"],
    ["429_tokens", 429, "tokens", "rate_limit_exceeded"],
    ["slow_down", 429, "rate_limit_error", "slow_down"],
    ["503_slow_down", 503, "service_unavailable_error", "slow_down"],
    ["resource_unavailable", 429, "resource_unavailable", "resource_unavailable"],
    ["insufficient_quota", 429, "insufficient_quota", "insufficient_quota"],
    ["credit_balance_exhausted", 429, "insufficient_quota", "credit_balance_exhausted"],
    ["organization_spend_limit_exceeded", 429, "insufficient_quota", "organization_spend_limit_exceeded"],
    ["project_spend_limit_exceeded", 429, "insufficient_quota", "project_spend_limit_exceeded"],
    ["organization_usage_limit_exceeded", 429, "insufficient_quota", "organization_usage_limit_exceeded"],
    ["500", 500, "server_error", null],
    ["502", 502, "server_error", null],
    ["503", 503, "service_unavailable_error", "server_is_overloaded"],
    ["504", 504, "server_error", null],
  ] as const)("%s: status %i, type %s, code %s", (kind, status, type, code) => {
    expect(problemFor(kind, "gpt-5-mini")).toMatchObject({ status, error: { type, code } });
  });

  it("every refusal at the door is an answer of its own; what spoils an answer is not", () => {
    expect(REFUSALS.every((kind) => problemFor(kind, "m") !== undefined)).toBe(true);
    expect(BREAKAGES.filter((kind) => problemFor(kind, "m") !== undefined).sort()).toEqual(["408", "500", "502", "503", "504", "504_paid"]);
  });
});
