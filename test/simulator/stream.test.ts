import { describe, expect, it } from "vitest";
import { findModel } from "../../workers/simulator/catalog.ts";
import type { Spoil } from "../../workers/simulator/faults.ts";
import { Ledger } from "../../workers/simulator/ledger.ts";
import { answer } from "../../workers/simulator/model.ts";
import type { ChatRequest } from "../../workers/simulator/request.ts";
import { playStream } from "../../workers/simulator/stream.ts";
import { Ticker } from "../../workers/simulator/ticker.ts";
import { Transcript } from "../../workers/simulator/transcript.ts";

const REQUEST: ChatRequest = { model: "gpt-5-mini", messages: [{ role: "user", content: "echo: one two three four" }] };

function play(spoil?: Spoil, speed = 0) {
  const said = answer(REQUEST, findModel("gpt-5-mini")!, 1);
  const envelope = { id: "c", created: 1, model: "m", service_tier: "default", system_fingerprint: "f" };
  const transcript = new Transcript(said, envelope, true);
  const ledger = new Ledger();
  const client = new AbortController();
  const rest = { startedAt: Date.now(), flushMs: 20, ticker: new Ticker(), call: ledger.begin("m", undefined), signal: client.signal };
  const body = playStream({ transcript, pace: said.pace, spoil, speed, ...rest });
  return { body, client, totals: () => ledger.report("all") };
}

describe("a stream", () => {
  it("comes whole, at once when instant and paced when not, with the same bytes", async () => {
    const [instant, paced] = [play(), play(undefined, 20)];
    const text = await new Response(instant.body).text();
    expect(text.endsWith("data: [DONE]\n\n")).toBe(true);
    expect(await new Response(paced.body).text()).toBe(text);
    expect(paced.totals()).toMatchObject({ completed: 1, in_flight: 0 });
  });

  it("truncated: stops half-way with neither finish_reason nor usage nor [DONE]", async () => {
    const { body, totals } = play("truncate");
    const text = await new Response(body).text();
    expect(text).toContain("one");
    expect(text).not.toMatch(/"finish_reason":"|"usage":\{|DONE/);
    expect(totals()).toMatchObject({ completed: 0, in_flight: 0 });
  });

  it("broken: what came before the break is read, then the connection is lost", async () => {
    const reader = play("break").body.getReader();
    expect((await reader.read()).value?.length).toBeGreaterThan(0);
    await expect(reader.read()).rejects.toThrow("Network connection lost.");
  });

  it("malformed: one event is no JSON, the others go on", async () => {
    const text = await new Response(play("malformed").body).text();
    const bad = text.split("\n\n").filter((event) => event.startsWith("data: {") && !isJson(event.slice(6)));
    expect(bad).toHaveLength(1);
    expect(text.endsWith("data: [DONE]\n\n")).toBe(true);
  });

  it("stream_error: the last event is the error, and no [DONE] follows", async () => {
    const last = (await new Response(play("stream_error").body).text()).trimEnd().split("\n\n").at(-1)!;
    expect(JSON.parse(last.slice(6))).toMatchObject({ error: { type: "server_error" } });
  });

  it.each(["cancel", "abort"])("a client that goes away (%s) ends it", async (how) => {
    const { body, client, totals } = play(undefined, 0.001);
    const reader = body.getReader();
    const read = reader.read().catch(() => undefined);
    if (how === "cancel") await reader.cancel();
    else client.abort();
    if (how === "cancel") await read;
    expect(totals()).toMatchObject({ aborted: 1, completed: 0, in_flight: 0 });
  });
});

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}
