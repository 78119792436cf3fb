import { describe, expect, it } from "vitest";
import { findModel } from "../../workers/simulator/catalog.ts";
import { refuseKey } from "../../workers/simulator/errors.ts";
import { parseBody, parseChat } from "../../workers/simulator/request.ts";
import { parseControl, parseSettings } from "../../workers/simulator/settings.ts";

const CARD = findModel("gpt-4o")!;
const messages = [{ role: "user", content: "hi" }];

function problem(body: object) {
  const parsed = parseChat({ model: "gpt-4o", ...body }, CARD);
  return parsed.ok ? undefined : parsed.problem;
}

describe("keys", () => {
  it.each([null, "", "Bearer", "Bearer  ", "Basic abc", "Bearer sk-invalid"])("refuses %j", (header) => {
    expect(refuseKey(header)).toMatchObject({ status: 401, error: { code: "invalid_api_key" } });
  });
  it("takes anything else", () => expect(refuseKey("Bearer x")).toBeUndefined());
});

describe("models", () => {
  it("knows current models, their dated snapshots and sim-*", () => {
    expect(["gpt-5-mini", "gpt-5-mini-2025-08-07", "gpt-6-luna", "gpt-4o", "sim-anything"].every((id) => findModel(id))).toBe(true);
    expect(findModel("gpt-9")).toBeUndefined();
  });
});

describe("a chat request", () => {
  it("passes with unknown fields and null for optional ones", () => {
    expect(problem({ messages, made_up: 1, tools: null, stop: null, n: null })).toBeUndefined();
    expect(problem({ messages: [{ role: "assistant", content: null, tool_calls: [{ id: "c" }] }] })).toBeUndefined();
  });

  it.each([
    [{}, "messages", "missing_required_parameter"],
    [{ messages: [] }, "messages", "empty_array"],
    [{ messages: "hi" }, "messages", "invalid_type"],
    [{ messages: [{ content: "hi" }] }, "messages[0].role", "missing_required_parameter"],
    [{ messages: [{ role: "bot", content: "hi" }] }, "messages[0].role", "invalid_value"],
    [{ messages: [{ role: "user", content: 5 }] }, "messages[0].content", "invalid_type"],
    [{ messages, n: 0 }, "n", "integer_below_min_value"],
    [{ messages, max_tokens: 0 }, "max_tokens", "integer_below_min_value"],
    [{ messages, max_completion_tokens: 16_385 }, "max_completion_tokens", "invalid_value"],
    [{ messages, temperature: 2.5 }, "temperature", "decimal_above_max_value"],
    [{ messages, max_tokens: "5" }, "max_tokens", "invalid_type"],
    [{ messages, top_logprobs: 3 }, "top_logprobs", null],
    [{ messages, stream_options: {} }, "stream_options", null],
    [{ messages, response_format: { type: "json_object" } }, "messages", null],
    [{ messages, response_format: { type: "json_schema" } }, "response_format.json_schema", "missing_required_parameter"],
    [{ messages: [{ role: "user", content: "x".repeat(520_000) }] }, "messages", "context_length_exceeded"],
  ])("refuses %j", (body, param, code) => {
    expect(problem(body)).toMatchObject({ status: 400, error: { type: "invalid_request_error", param, code } });
  });

  it("writes a wrong type as OpenAI does", () => {
    expect(problem({ messages: [{ role: "user", content: {} }] })?.error.message).toBe(
      "Invalid type for 'messages[0].content': expected one of a string or array of objects, but got an object instead.",
    );
  });

  it("refuses what is not JSON, and a body without a model", () => {
    expect(parseBody("{")).toMatchObject({ problem: { status: 400 } });
    expect(parseBody("null")).toMatchObject({ problem: { error: { message: "you must provide a model parameter" } } });
  });
});

describe("settings and control", () => {
  it("nothing set is a tier-1 account at real speed", () => {
    expect(parseSettings(undefined)).toEqual({
      limits: {},
      speed: 1,
      seed: 1,
      charge: "max",
      burst_seconds: 60,
      count_rejected: false,
      flush_ms: 20,
      quantised: false,
      windows: false,
      rate_headers: "all",
      refund: false,
      growth_rule: null,
      billing_halt: null,
      faults: [],
      foreign: [],
      schedule: [],
    });
    expect(parseSettings('{"speed":"instant"}').speed).toBe(0);
  });

  it("a typing mistake is an error, not a default", () => {
    expect(() => parseSettings('{"sped":1}')).toThrow();
    expect(parseControl({ faults: [{ kind: "explode" }] }).ok).toBe(false);
  });
});
