import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { routesFor } from "../../workers/simulator/routes.ts";
import { parseSettings } from "../../workers/simulator/settings.ts";
import { openWorld } from "../../workers/simulator/world.ts";

const NOW = 1_800_000_000_000;
const MODEL = "gpt-5-mini";

function upstream(settings: object = {}) {
  const routes = routesFor(openWorld(parseSettings({ speed: 0, ...settings }), Date.now()));
  const send = async (method: string, path: string, body?: object) => {
    const init = { method, headers: { authorization: "Bearer sk-any" }, ...(body !== undefined && { body: JSON.stringify(body) }) };
    const response = await routes.fetch(new Request(`http://upstream${path}`, init));
    const text = await response.text();
    return { status: response.status, headers: response.headers, text };
  };
  const ask = (more: object = {}) =>
    send("POST", "/v1/chat/completions", { model: MODEL, messages: [{ role: "user", content: "Hello." }], ...more });
  return {
    ask,
    code: async (more: object = {}) => {
      const { status, text } = await ask(more);
      return status === 200 ? "ok" : (JSON.parse(text).error.code ?? status);
    },
    control: async (body: object) => {
      const answer = await send("POST", "/control", body);
      return { status: answer.status, body: JSON.parse(answer.text) };
    },
    stats: async (query = "") => JSON.parse((await send("GET", `/stats${query}`)).text),
  };
}

const later = (seconds: number) => vi.setSystemTime(NOW + seconds * 1000);

beforeEach(() => void vi.useFakeTimers({ now: NOW, toFake: ["Date"] }));
afterEach(() => void vi.useRealTimers());

describe("the switches, as they are set", () => {
  it("at the start: foreign traffic draws on the limits, and the totals tell whose doing a 429 was", async () => {
    const { code, stats } = upstream({
      limits: { [MODEL]: { rpm: 10, tpm: 1e6 } },
      foreign: [{ model: MODEL, rpm: 600, tpm: 600, for_seconds: 5 }],
    });
    later(6);
    expect(await code()).toBe("rate_limit_exceeded");
    const books = await stats();
    expect(books).toMatchObject({
      rejected_429: { requests: 1, tokens: 0 },
      caused_429: { own: 0, foreign: 1 },
      foreign: { admitted: 10 },
    });
    expect(books.foreign.calls).toBe(books.foreign.admitted + books.foreign.refused);
    later(60);
    expect(await code()).toBe("ok");
  });

  it("while it runs: foreign traffic starts, and stops", async () => {
    const { control, stats } = upstream();
    await control({ foreign: [{ model: MODEL, rpm: 600, tpm: 6000 }] });
    later(10);
    expect((await stats()).foreign.calls).toBeGreaterThan(50);
    await control({ foreign: [] });
    const { calls } = (await stats()).foreign;
    later(20);
    expect((await stats()).foreign.calls).toBe(calls);
  });

  it("what others did before a step of the schedule is not lost with it", async () => {
    const { stats } = upstream({ foreign: [{ model: MODEL, rpm: 600, tpm: 6000 }], schedule: [{ after_seconds: 10, foreign: [] }] });
    later(60);
    const { calls } = (await stats()).foreign;
    expect(calls).toBeGreaterThan(70);
    expect(calls).toBeLessThan(130);
  });

  it("a limit is cut at once and comes back by a schedule, without a call in between", async () => {
    const { ask, control } = upstream({ limits: { [MODEL]: { rpm: 100, tpm: 1e6 } } });
    const limit = async () => (await ask()).headers.get("x-ratelimit-limit-requests");
    const half = { limits: { [MODEL]: { rpm: 50, tpm: 1e6 } } };
    const whole = { limits: { [MODEL]: { rpm: 100, tpm: 1e6 } } };
    await control({ ...half, schedule: [{ after_seconds: 30, ...whole }] });
    expect(await limit()).toBe("50");
    later(29.9);
    expect(await limit()).toBe("50");
    later(30);
    expect(await limit()).toBe("100");
  });

  it("a limit moves slowly where there is a ramp, and a word on limits ends the ramp", async () => {
    const { ask, control } = upstream({ limits: { [MODEL]: { rpm: 100, tpm: 1e6 } } });
    const limit = async () => Number((await ask()).headers.get("x-ratelimit-limit-requests"));
    await control({ limits: { [MODEL]: { rpm: 200, tpm: 1e6 } }, ramp_seconds: 100 });
    expect(await limit()).toBe(100);
    later(50);
    expect(await limit()).toBe(150);
    await control({ limits: { [MODEL]: { rpm: 120, tpm: 1e6 } } });
    later(200);
    expect(await limit()).toBe(120);
  });

  it("steps of a schedule happen at their time, in order, whoever looks; a new schedule replaces the old one", async () => {
    const schedule = [
      { after_seconds: 20, billing_halt: null },
      { after_seconds: 10, billing_halt: "credit_balance_exhausted" },
    ];
    const { code, control } = upstream({ schedule });
    later(15);
    expect(await code()).toBe("credit_balance_exhausted");
    await control({ schedule: [] });
    later(25);
    expect(await code()).toBe("credit_balance_exhausted");
    await control({ billing_halt: null });
    expect(await code()).toBe("ok");
  });

  it("a billing halt refuses every call until it is lifted, charges nothing and is counted apart", async () => {
    const { ask, code, control, stats } = upstream({ limits: { [MODEL]: { rpm: 10, tpm: 1e6 } }, billing_halt: "insufficient_quota" });
    for (let n = 0; n < 20; n++) expect(await code()).toBe("insufficient_quota");
    expect((await ask()).headers.get("retry-after")).toBeNull();
    expect((await ask()).headers.get("x-ratelimit-remaining-requests")).toBe("10");
    expect(await stats()).toMatchObject({ halted_429: 22, rejected_429: { requests: 0, tokens: 0 }, tokens_charged: 0 });
    await control({ billing_halt: null });
    expect(await code()).toBe("ok");
  });

  it("a fault holds for so many calls, for so long, or for a share of the calls", async () => {
    const { code, control } = upstream();
    await control({
      faults: [
        { kind: "503_slow_down", remaining: 1 },
        { kind: "403", until_ms_from_now: 5_000 },
      ],
    });
    expect([await code(), await code()]).toEqual(["slow_down", "unsupported_country_region_territory"]);
    later(5);
    expect(await code()).toBe("ok");
    await control({ seed: 4, faults: [{ kind: "502", probability: 0.5 }] });
    const codes: string[] = [];
    for (let n = 0; n < 200; n++) codes.push(await code());
    const failed = codes.filter((each) => each !== "ok").length;
    expect(failed).toBeGreaterThan(70);
    expect(failed).toBeLessThan(130);
  });

  it.each([
    ["stream_error", "server_error", null],
    ["stream_overloaded", "service_unavailable_error", "server_is_overloaded"],
  ])("%s is an event of its own inside the stream, and the stream then ends without [DONE]", async (kind, type, code) => {
    const { ask, stats } = upstream({ faults: [{ kind }] });
    const { status, text } = await ask({ stream: true, metadata: { simulate_key: "k" } });
    const last = text.trim().split("\n\n").at(-1)!;
    expect([status, JSON.parse(last.slice("data: ".length)).error]).toMatchObject([200, { type, code }]);
    expect(await stats()).toMatchObject({ paid_by_key: { k: 1 }, completed_by_key: { k: 0 } });
  });

  it("what was answered was paid, and what a gateway did not wait for; what was refused or failed was not", async () => {
    const { ask, stats } = upstream({ faults: ["500", "504", "504_paid"].map((kind) => ({ kind, remaining: 1 })) });
    const metadata = { simulate_key: "k" };
    const statuses: number[] = [];
    for (let n = 0; n < 5; n++) statuses.push((await ask({ metadata })).status);
    expect(statuses).toEqual([500, 504, 504, 200, 200]);
    expect(await stats("?keys=repeated")).toMatchObject({ calls_by_key: { k: 5 }, paid_by_key: { k: 3 } });
  });

  it("input that grows too fast is told to slow down", async () => {
    const { code, stats } = upstream({ growth_rule: { above_tpm: 3, per_seconds: 900 } });
    expect([await code(), await code()]).toEqual(["ok", "slow_down"]);
    expect(await stats()).toMatchObject({ slow_down_429: 1, rejected_429: { requests: 0, tokens: 0 } });
  });

  it.each([
    ["all", true, true],
    ["answers", true, false],
    ["none", false, false],
  ])("rate_headers %s: answers tell of the limits (%s), and so do refusals (%s)", async (rate_headers, answers, refusals) => {
    const { ask, control } = upstream({ limits: { [MODEL]: { rpm: 1, tpm: 1e6 } }, rate_headers });
    const told = ({ headers }: { headers: Headers }) =>
      [...headers.keys()].filter((name) => /^(x-ratelimit-|retry-after)/.test(name)).map((name) => name.replace(/-(requests|tokens)$/, ""));
    const limit = [
      "x-ratelimit-limit",
      "x-ratelimit-limit",
      "x-ratelimit-remaining",
      "x-ratelimit-remaining",
      "x-ratelimit-reset",
      "x-ratelimit-reset",
    ];
    expect(told(await ask())).toEqual(answers ? limit : []);
    const refused = await ask();
    expect(refused.status).toBe(429);
    expect(refused.headers.get("x-request-id")).not.toBeNull();
    expect(told(refused)).toEqual(refusals ? ["retry-after", "retry-after-ms", ...limit] : []);
    await control({ faults: [{ kind: "slow_down" }] });
    expect(told(await ask())).toEqual(refusals ? ["retry-after", "retry-after-ms", ...limit] : []);
    // An outage is not a refusal for the rate.
    await control({ faults: [{ kind: "503_slow_down" }] });
    expect(told(await ask())).toEqual(["retry-after", "retry-after-ms", ...(answers ? limit : [])]);
  });

  it("x-should-retry is said by a fault that is an answer, at the door or after it, and by nothing else", async () => {
    const { ask, control } = upstream({ limits: { [MODEL]: { rpm: 4, tpm: 1e6 } } });
    const word = async (more: object = {}) => (await ask(more)).headers.get("x-should-retry");
    expect(await word()).toBeNull();
    await control({ faults: [{ kind: "500", should_retry: false, remaining: 1 }] });
    expect([await word(), await word()]).toEqual(["false", null]);
    expect(await word({ metadata: { simulate_fault: "409", simulate_should_retry: "true" } })).toBe("true");
    expect(await word({ metadata: { simulate_fault: "503", simulate_should_retry: "false" } })).toBe("false");
    // Refused by the limits before the fault could take effect.
    expect(await word({ metadata: { simulate_fault: "503", simulate_should_retry: "false" } })).toBeNull();
  });

  it("a project's limit is a limit, and others in the organisation do not spend it", async () => {
    const limits = { [MODEL]: { rpm: 1e4, tpm: 10_000, project_tpm: 4_000 } };
    const { ask } = upstream({ limits, foreign: [{ model: MODEL, rpm: 600, tpm: 600_000, other_project: true }] });
    later(10);
    const { headers } = await ask();
    expect(Number(headers.get("x-ratelimit-remaining-project-tokens"))).toBeGreaterThan(3_900);
    expect(Number(headers.get("x-ratelimit-remaining-tokens"))).toBeLessThan(4_000);
  });

  it("windows: what a minute leaves is lost, and the next begins with all of it", async () => {
    const { code, control } = upstream({ limits: { [MODEL]: { rpm: 2, tpm: 1e6 } }, windows: true });
    later(59);
    expect([await code(), await code(), await code()]).toEqual(["ok", "ok", "rate_limit_exceeded"]);
    later(60);
    expect([await code(), await code(), await code()]).toEqual(["ok", "ok", "rate_limit_exceeded"]);
    await control({ windows: false });
    expect(await code()).toBe("rate_limit_exceeded");
    later(89);
    expect(await code()).toBe("rate_limit_exceeded");
    later(90);
    expect(await code()).toBe("ok");
  });

  it("a limit of a day, and its end", async () => {
    const { ask, code, control } = upstream({ limits: { [MODEL]: { rpm: 100, tpm: 1e6, rpd: 3 } } });
    for (let n = 0; n < 3; n++) expect(await code()).toBe("ok");
    const refused = await ask();
    expect(JSON.parse(refused.text).error.message).toContain("(RPD)");
    expect(refused.headers.get("x-ratelimit-reset-requests")).toBe("24h0m0s");
    await control({ limits: { [MODEL]: { rpm: 100, tpm: 1e6 } } });
    expect((await ask()).headers.get("x-ratelimit-limit-requests")).toBe("100");
  });

  it.each([
    ["a model that there is not", { foreign: [{ model: "nobody", rpm: 1, tpm: 1 }] }],
    ["others who are never there", { foreign: [{ model: MODEL, rpm: 1, tpm: 1, off_seconds: 5 }] }],
    ["a schedule within a schedule", { schedule: [{ after_seconds: 1, schedule: [] }] }],
    ["a halt for another reason", { billing_halt: "rate_limit_exceeded" }],
    ["a fault that there is not", { faults: [{ kind: "418" }] }],
  ])("refuses %s, and changes nothing", async (_, body) => {
    const { code, control } = upstream();
    expect((await control({ speed: 5, ...body })).status).toBe(400);
    expect((await control({})).body.settings.speed).toBe(0);
    expect(await code()).toBe("ok");
  });

  it.each([
    [true, 99],
    [false, 90],
  ])("refund %s: what an answer did not use comes back with its end, or does not", async (refund, leftPercent) => {
    const { ask } = upstream({ limits: { [MODEL]: { rpm: 100, tpm: 100_000 } }, refund });
    await ask({ max_completion_tokens: 5_000 });
    const { headers } = await ask({ max_completion_tokens: 5_000 });
    const left = Number(headers.get("x-ratelimit-remaining-tokens")) + (refund ? 5_000 : 0);
    expect(Math.abs(left - leftPercent * 1_000)).toBeLessThan(1_000);
  });
});
