/** A tenant with a limit of its own pays for what it used, not what it reserved, however many of its calls are running at once. */
import { expect, it } from "vitest";
import { enqueue } from "../../durable-objects/coordinator/enqueue.ts";
import { noLetters } from "../../durable-objects/coordinator/letters.ts";
import { openBook } from "../../durable-objects/coordinator/opening.ts";
import { settle } from "../../durable-objects/coordinator/settle.ts";
import { CoordinatorStore } from "../../durable-objects/coordinator/store/store.ts";
import { decide, record } from "../../durable-objects/coordinator/turn.ts";
import { jobId } from "../../platform/ids.ts";
import { readSettings } from "../../platform/settings.ts";
import { keyOf, openDesk } from "./desk.ts";
import { openStorage } from "./storage.ts";

const START = 1_700_000_000_000;
const TPM = 60_000;
const [RESERVED, USED] = [5_000, 1_000];
const MINUTES = 10;

/** Tokens that the tenant used, with more jobs waiting than its limit allows. */
function used(callMs: number): number {
  const settings = readSettings({
    SLUICE_POOLS: JSON.stringify({ p: { rpm: 6_000, tpm: 6_000_000, burst_seconds: 60, ramp_tpm: null } }),
    SLUICE_KEYS: JSON.stringify([{ key_sha256: "a".repeat(64), tenant: "a", roles: ["submit"], tpm: TPM }]),
  });
  const store = new CoordinatorStore(openStorage().open());
  const book = openBook(settings, store, START);
  const running: { at: number; job: string; dispatcher: string }[] = [];
  let tokens = 0;
  const turn = (now: number, step: (now: number) => void) => {
    decide(book, now, () => 0.5, step);
    record(book, store, now);
    for (const letters of [book.letters.ahead, book.letters.starts])
      for (const [dispatcher, leases] of letters) for (const { job } of leases) running.push({ at: now, job, dispatcher });
    book.letters = noLetters();
  };
  const tickets = Array.from({ length: 1_000 }, (_, number) => ({
    job: jobId("a", { channel: "c", number, nonce: "000000", at: START }),
    ...{ pool: "p", priority: 0, tokens: RESERVED, acceptedAt: START, notBefore: null, deadline: null },
  }));
  turn(START, (at) => enqueue(book, { tenant: "a", channel: "c" }, tickets, at));
  const usage = { prompt_tokens: USED / 2, completion_tokens: USED / 2, total_tokens: USED };
  for (let now = START; now < START + MINUTES * 60_000; now += 100) {
    turn(now, (at) => {
      while (running.length > 0 && running[0]!.at + callMs <= at) {
        const { job, dispatcher } = running.shift()!;
        const settlements = [{ job, attempt: 1, outcome: { kind: "committed" as const, usage }, headersMs: null }];
        settle(book, { dispatcher, boot: "b", settlements }, at, () => 0.5);
        tokens += USED;
      }
    });
  }
  return tokens;
}

it.each([
  [200, 0.95],
  [2_000, 0.95],
  [5_000, 0.95],
  [10_000, 0.8],
  // Running calls may use everything they reserved: of calls this long, only enough for half of the limit may run at once.
  [30_000, 0.45],
])("calls of %i ms that use a fifth of what they reserve: its limit is used to a part of %f at least", (callMs, part) => {
  const all = used(callMs);
  expect(all).toBeGreaterThan(part * TPM * MINUTES);
  // The extra minute is what may be had at once.
  expect(all).toBeLessThanOrEqual(TPM * (MINUTES + 1));
});

it("is let go as well by a coordinator that slept since the last call as by one that did not: what that reserved and did not use is not forgotten", () => {
  const desk = openDesk({ rpm: 600, tpm: 6_000_000, ramp_tpm: null }, [keyOf("a", { roles: ["submit"], tpm: TPM })]);
  for (let call = 0; call < 5; call++) {
    const { now } = desk.state;
    const { job } = desk.send("a", 50_000)[0]!;
    expect(desk.started.at(-1)).toMatchObject({ at: now, job });
    desk.state.now += 1_000;
    desk.end(job, { kind: "committed", usage: { prompt_tokens: 500, completion_tokens: 500, total_tokens: 1_000 } });
    desk.state.now += 11_000;
    desk.restart();
  }
});
