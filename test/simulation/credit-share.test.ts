/** How a pool is shared between tenants that reserve more than they use and those beside them. */
import { expect, it } from "vitest";
import { openDesk } from "./desk.ts";

it.each([false, true])(
  "of two that use alike one reserves ten times that, and a third that sends a small job now and then: %s -> the two have like shares",
  (joins) => {
    const { book, end, passes, send, started, state } = openDesk({ rpm: 60_000, tpm: 600_000, ramp_tpm: null });
    send("z", 590_000);
    send("a", 10_000, 1_000);
    send("b", 1_000, 5_000);
    const owner = new Map([...book.entries].map(([job, { address }]) => [job, address.tenant]));
    const ends: Record<string, number> = { a: 0, b: 0 };
    let ended = 0;
    for (const until = state.now + 600_000; state.now < until; passes(state.now + 200)) {
      if (joins && state.now % 400 === 0) owner.set(send("c", 100)[0]!.job, "c");
      for (; ended < started.length && started[ended]!.at <= state.now - 10_000; ended++) {
        const { job } = started[ended]!;
        const tenant = owner.get(job)!;
        ends[tenant] = (ends[tenant] ?? 0) + 1;
        const total_tokens = { c: 100, z: 590_000 }[tenant] ?? 1_000;
        end(job, { kind: "committed", usage: { prompt_tokens: 50, completion_tokens: total_tokens - 50, total_tokens } });
      }
    }
    expect(ends.b! / ends.a!).toBeLessThan(2);
  },
  60_000,
);

it("a tenant that was alone, and reserved far more than it used -> who comes has a like share as soon as it reserves what it uses", () => {
  const { book, end, passes, send, started, state } = openDesk({ rpm: 60_000, tpm: 600_000, ramp_tpm: null });
  const owner = new Map<string, string>();
  const put = (tenant: string, count: number) => {
    for (const { job } of send(tenant, 10_000, count)) owner.set(job, tenant);
  };
  let ended = 0;
  const play = (seconds: number, used: number) => {
    for (const until = state.now + seconds * 1_000; state.now < until; passes(state.now + 500)) {
      for (; ended < started.length && started[ended]!.at <= state.now - 1_000; ended++)
        end(started[ended]!.job, { kind: "committed", usage: { prompt_tokens: 5, completion_tokens: used - 5, total_tokens: used } });
    }
  };
  send("z", 590_000);
  put("a", 900);
  play(600, 10);
  expect(book.pools.get("p")!.order.size).toBeGreaterThan(200);
  const before = started.length;
  put("b", 100);
  play(60, 10_000);
  const shares = Map.groupBy(started.slice(before), ({ job }) => owner.get(job));
  expect(shares.get("b")!.length).toBeGreaterThan(0.8 * shares.get("a")!.length);
});
