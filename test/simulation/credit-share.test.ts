/** Two tenants that use alike, of which one reserves ten times that; who else comes and goes, with next to nothing, is no matter of theirs. */
import { expect, it } from "vitest";
import { openDesk } from "./desk.ts";

it.each([false, true])(
  "a third tenant that sends a small job now and then: %s -> the two have like shares",
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
