/** Calls that take more than they reserved, beside those of a tenant that reserves what it takes. */
import { expect, it } from "vitest";
import { openDesk } from "./desk.ts";

const [RESERVED, TAKEN] = [100, 1_000];

it("a tenant whose calls take ten times what they reserved -> it starts a tenth of what the other does", () => {
  const { book, end, passes, send, started, state } = openDesk({ rpm: 60_000, tpm: 600_000, ramp_tpm: null });
  send("c", 590_000);
  send("a", RESERVED, 8_000);
  send("b", RESERVED, 8_000);
  const tenantOf = (job: string) => book.entries.get(job)!.address.tenant;
  const starts: Record<string, number> = { a: 0, b: 0, c: 0 };
  let ended = 0;
  for (const until = state.now + 120_000; state.now < until; passes(state.now + 200))
    for (; ended < started.length; ended++) {
      const { job } = started[ended]!;
      const tenant = tenantOf(job);
      starts[tenant]!++;
      const total_tokens = tenant === "a" ? TAKEN : RESERVED;
      end(job, { kind: "committed", usage: { prompt_tokens: 50, completion_tokens: total_tokens - 50, total_tokens } });
    }
  expect(starts.b! / starts.a!).toBeGreaterThan(5);
  expect(starts.b! / starts.a!).toBeLessThan(15);
}, 60_000);
