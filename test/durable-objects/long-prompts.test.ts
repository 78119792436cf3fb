/** Prompts of several MB: a dispatcher has 128 MB for everything that it does at once, and so has a mailbox. */
import { reset } from "cloudflare:test";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { Slots } from "../../durable-objects/dispatcher/slots.ts";
import type { Lease } from "../../schemas/rpc.ts";
import { Mailbox } from "../support/entry.ts";
import { advanceTo, call, ended, mailbox, pool, submit, until, world } from "../support/service.ts";
import { EPOCH, gated, resetWorld } from "../support/world.ts";

beforeEach(() => {
  resetWorld();
  world.env.SLUICE_POOLS = JSON.stringify({ default: { rpm: 60_000, tpm: 1e12, ramp_tpm: null } });
  world.env.SLUICE_MAX_DISPATCHERS = "1";
});
afterEach(async () => {
  vi.restoreAllMocks();
  await reset();
});

const MILLION = 1_000_000;
const prompt = (characters: number) => ({ messages: [{ role: "user", content: "x".repeat(characters) }] });
const contentOf = (body: Record<string, unknown>) => (body.messages as { content: string }[])[0]!.content;

describe("a prompt of several MB", () => {
  it("reaches upstream as it was, character by character, though it went there in pieces", async () => {
    const pieces = vi.spyOn(Mailbox.prototype, "piece");
    // Pieces are never cut inside a surrogate pair: in a text of nothing but pairs, every second place is inside one.
    const content = `y${"😀".repeat(2.5 * MILLION)}z`;
    const { id } = await submit({}, { messages: [{ role: "user", content }] });
    expect(await ended(id)).toMatchObject({ status: "completed" });
    expect(contentOf(world.calls[0]!) === content).toBe(true);
    expect(pieces.mock.calls.map(([, index]) => index)).toEqual([0, 1]);
  });

  it("is handed over whole to a dispatcher of before, which knows of no pieces", async () => {
    const { id } = await submit({ channel: "c", not_before: EPOCH / 1_000 + 60 }, prompt(5 * MILLION));
    const lease: Lease = { job: id, mailbox: { tenant: "alice", channel: "c" }, attempt: 1, waits: 0, unknown: 0 };
    const [opened] = await mailbox("alice", "c").open([{ lease, dispatcher: "disp-wnam-00" }]);
    expect(opened).toMatchObject({ ok: true, request: expect.stringContaining("xxx") });
  });

  it("of which a piece is missing -> it is asked for again later, and was no attempt", async () => {
    const piece = vi.spyOn(Mailbox.prototype, "piece").mockResolvedValue(null);
    const { id } = await submit({}, prompt(5 * MILLION));
    await until(async () => (await call("GET", `/v1/jobs/${id}`)).body.last_failure?.code === "request_incomplete");
    expect(world.calls).toHaveLength(0);
    piece.mockRestore();
    await advanceTo(EPOCH + 60_000);
    expect(await ended(id)).toMatchObject({ status: "completed", attempts: 1, possible_duplicates: 0 });
  });

  it("whose mailbox does not answer for a piece -> is called later, and had no attempt that counts as a possible duplicate", async () => {
    vi.spyOn(Mailbox.prototype, "piece").mockRejectedValue(new Error("unreachable"));
    const { id } = await submit({}, prompt(5 * MILLION));
    await until(async () => (await call("GET", `/v1/jobs/${id}`)).body.last_failure?.code === "mailbox_unreachable");
    expect(world.calls).toHaveLength(0);
    expect((await call("GET", `/v1/jobs/${id}`)).body.possible_duplicates).toBe(0);
  });
});

describe("many at once", () => {
  it("of those with several MB no more are in hand than an object can hold; small ones go by, and all are called", async () => {
    const gate = gated();
    const long = [];
    for (let n = 0; n < 4; n++) long.push((await submit({}, prompt(3 * MILLION))).id);
    const { id: small } = await submit();
    await until(() => world.waiting === 3);
    expect(world.calls.map((body) => contentOf(body).length).sort((a, b) => a - b)).toEqual([expect.any(Number), 3 * MILLION, 3 * MILLION]);
    gate.open = true;
    for (const id of [...long, small]) expect((await ended(id)).status).toBe("completed");
    expect(world.calls).toHaveLength(5);
  });

  it("one that is cancelled while it waits for room is never called, and keeps none of it", async () => {
    const gate = gated();
    const long = [];
    for (let n = 0; n < 4; n++) long.push((await submit({}, prompt(3 * MILLION))).id);
    await until(() => world.waiting === 2);
    await call("POST", `/v1/jobs/${long[2]}/cancel`);
    gate.open = true;
    for (const id of [long[0]!, long[1]!, long[3]!]) expect((await ended(id)).status).toBe("completed");
    expect((await ended(long[2]!)).status).toBe("cancelled");
    expect(world.calls).toHaveLength(3);
  });

  it("forty that wait for headers, in one dispatcher: it has asked for no more bodies than it sends next", async () => {
    const open = vi.spyOn(Mailbox.prototype, "open");
    const gate = gated();
    const ids = [];
    for (let n = 0; n < 40; n++) ids.push((await submit()).id);
    await until(() => world.waiting === 6);
    await until(async () => (await pool("default")).in_flight === 40);
    expect(open.mock.calls.flatMap(([calls]) => calls)).toHaveLength(12);
    gate.open = true;
    for (const id of ids) expect((await ended(id)).status).toBe("completed");
  });
});

it("a mailbox that does not answer keeps a few places, and nobody else's jobs from being called", async () => {
  const sick = new Set<string>();
  const { open } = Mailbox.prototype;
  vi.spyOn(Mailbox.prototype, "open").mockImplementation(function (this: Mailbox, calls) {
    return calls.some(({ lease }) => sick.has(lease.job)) ? new Promise(() => {}) : open.call(this, calls);
  });
  const start = { not_before: EPOCH / 1_000 + 60 };
  for (let n = 0; n < 40; n++) sick.add((await submit({ channel: "sick", ...start })).id);
  const { id } = await submit({ channel: "well", ...start });
  await advanceTo(EPOCH + 60_000);
  expect((await ended(id)).status).toBe("completed");
  // A call that is given up does not wait for its mailbox's answer.
  for (const job of sick) await call("POST", `/v1/jobs/${job}/cancel`);
  await until(async () => (await pool("default")).in_flight === 0);
});

describe("places that weigh", () => {
  const signal = () => new AbortController().signal;
  /** Whether a promise is settled; waits no time, only for what is due now. */
  const isTaken = async (taken: Promise<unknown>) => Promise.race([taken.then(() => true), scheduler.wait(0).then(() => false)]);

  it("a heavy one waits until there is room for it, and is not passed by light ones meanwhile", async () => {
    const slots = new Slots(10);
    const first = await slots.take(signal(), 6);
    const heavy = slots.take(signal(), 6);
    const light = slots.take(signal(), 1);
    expect([await isTaken(heavy), await isTaken(light)]).toEqual([false, false]);
    first!();
    expect([await isTaken(heavy), await isTaken(light), slots.free]).toEqual([true, true, 3]);
  });

  it("a heavy one that goes away lets those behind it in", async () => {
    const slots = new Slots(10);
    await slots.take(signal(), 6);
    const gone = new AbortController();
    const heavy = slots.take(gone.signal, 6);
    const light = slots.take(signal(), 4);
    gone.abort();
    expect([await heavy, await isTaken(light), slots.free]).toEqual([null, true, 0]);
  });

  it("what weighs more than all there is has all of it, alone", async () => {
    const slots = new Slots(10);
    const huge = await slots.take(signal(), 1_000);
    expect(await isTaken(slots.take(signal(), 1))).toBe(false);
    huge!();
    huge!();
    expect(slots.free).toBe(9);
  });
});
