/** Law: what is charged is settled at the rate at which it was charged, even if a limit falls and comes back. */
import { expect, it } from "vitest";
import { retune } from "../../policy/budget.ts";
import { type Load, openWorld } from "./served.ts";

const R = 10_000;
const HIGH = 6_000_000;

type Desk = ReturnType<typeof openWorld>["desk"];

function limit({ book, turn }: Desk, rpm: number, tpm: number): void {
  const limits = { rpm, tpm, rpd: null, tpd: null, concurrency: null, burstSeconds: 5 };
  turn(() => retune(book.pools.get("p")!.budget, "tpm", limits));
}

/** What alice, whose calls use a part, and bob, whose calls use everything, start while the limit is high and while it is low. */
function starts(by: number, part: number, rpm: number) {
  const alike: Load = { reserves: R, keeps: 300, callMs: 20_000, outcome: () => R };
  const { desk, play, starts } = openWorld(
    { rpm, tpm: HIGH, burst_seconds: 5, ramp_tpm: null },
    { alice: { ...alike, outcome: () => R / part }, bob: alike },
  );
  const had = { high: { alice: 0, bob: 0 }, low: { alice: 0, bob: 0 } };
  for (let turn = 0; turn < 28; turn++) {
    const before = { alice: 0, bob: 0, ...starts };
    limit(desk, rpm, turn % 2 ? HIGH / by : HIGH);
    play(20_000, { tickMs: 100 });
    if (turn < 4) continue;
    const now = turn % 2 ? had.low : had.high;
    now.alice += starts.alice! - before.alice;
    now.bob += starts.bob! - before.bob;
  }
  return had;
}

it.each([
  [1, 8],
  [2, 8],
  [6, 8],
  [2, 4],
  [6, 4],
])(
  "a limit falls to 1/%i and is back with each length of a call: a tenant whose calls use 1/%i is served no more than one whose use all",
  (by, part) => {
    const { high, low } = starts(by, part, 60_000);
    expect((high.alice + low.alice) / part / (high.bob + low.bob)).toBeLessThanOrEqual(1.3);
  },
);

it.each([1, 2])(
  "requests are as scarce as tokens, until these fall to 1/%i, and are back with each length of a call -> while they are as scarce, both have as many",
  (by) => {
    const { high } = starts(by, 8, 600);
    expect(high.alice / high.bob).toBeLessThanOrEqual(1.3);
  },
);
