import { expect, it } from "vitest";
import { conditionOf } from "../../dashboard/shown/condition.ts";
import type { PoolCondition } from "../../schemas/queue.ts";
import { condition, NOW, pool } from "./states.ts";

const at = (seconds: number) => NOW / 1_000 + seconds;
const told = (more: Partial<PoolCondition>, of: { depth?: number; in_flight?: number } = { depth: 3 }, everything = false) =>
  conditionOf(pool({ ...of, condition: condition(more) }), everything, NOW);

it("a pool that runs -> is calm", () => {
  expect(told({})).toEqual({ tone: "calm", state: "normal", words: "Runs within its limits." });
});

it("paused -> by whom, and for how long", () => {
  const paused = { state: "paused", reason: "operator", since: at(-125) } as const;
  expect(told(paused)).toMatchObject({ tone: "warn", words: "Paused by an operator for 2 min 5 s: nothing starts." });
  expect(told(paused, {}, true).words).toBe("Paused together with all pools for 2 min 5 s: nothing starts.");
});

it("halted -> why, with upstream's code, and when it is tried again", () => {
  const halted = { state: "halted", reason: "billing", code: "insufficient_quota", since: at(-60) } as const;
  const { tone, words } = told({ ...halted, next_probe_at: at(11.5), failed_probes: 2 });
  expect(tone).toBe("bad");
  expect(words).toBe(
    "Halted for 1 min: upstream says that the account cannot pay (insufficient_quota). Somebody must act. The next probe starts in 12 s. 2 probes failed so far.",
  );
  expect(told({ ...halted, next_probe_at: at(0.4) }).words).toMatch(/The next probe is due\.$/);
  expect(told(halted, { in_flight: 1 }).words).toMatch(/A probe is running\.$/);
  expect(told(halted, {}).words).toMatch(/No probe is planned\.$/);
});

it("halted, and nothing waits -> a probe is a job's call, and needs one", () => {
  const halted = { state: "halted", reason: "credentials", next_probe_at: at(-100) } as const;
  expect(told(halted, {}).words).toBe("Halted: upstream refuses the key. Somebody must act. The next job will be the probe.");
});

it("open -> upstream is down", () => {
  const open = { state: "open", reason: "failures", code: "503", since: at(-3), next_probe_at: at(2), failed_probes: 1 } as const;
  expect(told(open)).toMatchObject({
    tone: "bad",
    words: "Upstream has been down for 3 s (503): only probes start. The next probe starts in 2 s. 1 probe failed so far.",
  });
});

it("slowed -> for which of the three causes", () => {
  const slowed = { state: "slowed", since: at(-10) } as const;
  expect(told({ ...slowed, reason: "slow_down", code: "slow_down", share: 0.5 }).words).toBe(
    "Slowed down at upstream's request for 10 s (slow_down). 50 % of the rate may be used.",
  );
  expect(told({ ...slowed, reason: "rate_limit", next_probe_at: at(20) }).words).toBe(
    "Upstream has been refusing nearly all calls for their rate for 10 s: one is sent at a time. The next test call starts in 20 s.",
  );
  expect(told({ ...slowed, reason: "lowered_limit" })).toMatchObject({
    tone: "warn",
    words: "Some jobs have been too large for a lowered limit for 10 s: they wait, the others go on.",
  });
});
