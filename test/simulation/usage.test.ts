/**
 * An answer's usage is only what upstream says, and counters of compatible servers wrap (2^32 - 1). One such figure must not stop a pool for days, for every
 * tenant.
 */
import { expect, it } from "vitest";
import { openDesk } from "./desk.ts";

it.each([50_000_000, 4_294_967_295, 1e15])(
  "a call that says it used %f tokens: others wait no longer than for a full bucket",
  (total_tokens) => {
    const desk = openDesk({ rpm: 500, tpm: 200_000 });
    const [first] = desk.send("alice", 1_000);
    desk.end(first!.job, { kind: "committed", usage: { prompt_tokens: total_tokens - 3, completion_tokens: 3, total_tokens } });
    const [other] = desk.send("bob", 1_000);
    const [own] = desk.send("alice", 1_000);
    desk.passes(desk.state.now + 90_000);
    expect(desk.started.map(({ job }) => job)).toEqual(expect.arrayContaining([other!.job, own!.job]));
  },
);
