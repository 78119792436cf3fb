import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { parseControl, parseSettings } from "../../workers/simulator/settings.ts";
import { Ticker } from "../../workers/simulator/ticker.ts";
import { waitUntil } from "../../workers/simulator/wait.ts";
import { applyControl, openWorld, type World } from "../../workers/simulator/world.ts";

const NOW = 1_800_000_000_000;
const ASK = { model: "m", fallback: { rpm: 500, tpm: 500_000 }, tokens: 1, inputTokens: 1, key: "k" };

function control(world: World, body: object): void {
  const parsed = parseControl(body);
  if (!parsed.ok) throw new Error(parsed.message);
  applyControl(world, parsed.control, NOW);
}

const select = (world: World) => world.faults.select({ header: null, headerDelay: null, metadata: {}, model: "m", key: "k" }, NOW)?.kind;

describe("control", () => {
  it("changes what it names and leaves the rest", () => {
    const world = openWorld(parseSettings('{"seed":3,"limits":{"a":{"rpm":1,"tpm":1}}}'), NOW);
    control(world, { speed: 0, limits: { b: { rpm: 2, tpm: 2 } } });
    expect(world.settings).toMatchObject({ seed: 3, speed: 0, limits: { a: { rpm: 1 }, b: { rpm: 2 } } });
  });

  it("reset goes back to the environment's settings, full buckets and no faults; the rest of the body counts on top", () => {
    const world = openWorld(parseSettings('{"speed":5}'), NOW);
    control(world, { speed: 1, faults: [{ kind: "500" }], limits: { m: { rpm: 1, tpm: 10 } } });
    world.account.admit(ASK, NOW);
    world.ledger.begin("m", "k").end("completed");
    control(world, { reset: true, limits: { m: { rpm: 1, tpm: 10 } } });
    expect(world.settings.speed).toBe(5);
    expect(select(world)).toBeUndefined();
    expect(world.account.admit(ASK, NOW).ok).toBe(true);
    expect(world.ledger.report("all")).toMatchObject({ calls: 0, calls_by_key: {} });
  });

  it("a list of faults replaces the one before; an empty list ends them", () => {
    const world = openWorld(parseSettings(undefined), NOW);
    control(world, { faults: [{ kind: "500" }] });
    control(world, { faults: [{ kind: "503", model: "m*" }] });
    expect(select(world)).toBe("503");
    control(world, { faults: [] });
    expect(select(world)).toBeUndefined();
  });
});

describe("the ledger", () => {
  it("counts each call once however often it is ended, and what is waiting at its height", () => {
    const { ledger } = openWorld(parseSettings(undefined), NOW);
    const [one, two] = [ledger.begin("m", "k"), ledger.begin("m", "k")];
    one.answered(200);
    one.end("completed");
    one.end("aborted");
    two.end("aborted");
    expect(ledger.report("all")).toMatchObject({
      ...{ calls: 2, completed: 1, aborted: 1, in_flight: 0, max_in_flight: 2, waiting_for_headers: 0, max_waiting_for_headers: 2 },
      ...{ by_status: { 200: 1 }, calls_by_key: { k: 2 }, completed_by_key: { k: 1 } },
    });
  });

  it("shows only the keys that were called again when asked so", () => {
    const { ledger } = openWorld(parseSettings(undefined), NOW);
    for (const key of ["a", "b", "a"]) ledger.begin("m", key);
    expect(ledger.report("repeated")).toMatchObject({ calls_by_key: { a: 2 } });
  });

  it("counts at most 20,000 keys", () => {
    const { ledger } = openWorld(parseSettings(undefined), NOW);
    for (let count = 0; count < 20_003; count++) ledger.begin("m", `k${count}`);
    expect(ledger.report("repeated")).toMatchObject({ calls: 20_003, keys_left_out: 3 });
  });
});

describe("the ticker", () => {
  beforeEach(() => void vi.useFakeTimers({ now: NOW }));
  afterEach(() => void vi.useRealTimers());

  it("runs each wait at its time and in order, on one timer", () => {
    const ticker = new Ticker();
    const ran: string[] = [];
    const note = (name: string, after: number) => ticker.at(NOW + after, () => ran.push(`${name}@${Date.now() - NOW}`));
    note("late", 100);
    note("early", 10);
    note("early too", 8);
    expect(vi.getTimerCount()).toBe(1);
    vi.advanceTimersByTime(200);
    expect(ran).toEqual(["early@10", "early too@10", "late@100"]);
    expect(vi.getTimerCount()).toBe(0);
  });

  it("a wait that is taken back does not run, and the last one takes the timer with it", () => {
    const ticker = new Ticker();
    const ran: string[] = [];
    const takeBack = ticker.at(NOW + 10, () => ran.push("never"));
    takeBack();
    expect(vi.getTimerCount()).toBe(0);
    ticker.at(NOW + 20, () => ran.push("later"));
    vi.advanceTimersByTime(30);
    expect(ran).toEqual(["later"]);
  });

  it("a wait may start another", () => {
    const ticker = new Ticker();
    const ran: number[] = [];
    ticker.at(NOW + 10, () => ticker.at(NOW + 25, () => ran.push(Date.now() - NOW)));
    vi.advanceTimersByTime(50);
    expect(ran).toEqual([25]);
  });

  it("a client that gives up is told so at once and leaves no timer", async () => {
    const [ticker, client] = [new Ticker(), new AbortController()];
    const waiting = waitUntil(ticker, NOW + 1000, client.signal);
    client.abort();
    expect(await waiting).toBe(false);
    expect(vi.getTimerCount()).toBe(0);
  });
});
