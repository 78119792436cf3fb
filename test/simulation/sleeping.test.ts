/**
 * Law: what is decided between tenants, and what is left of a budget, does not depend on whether the coordinator slept between two calls. The platform lets it
 * sleep after ten seconds without an event, and so does the local runtime: if calls are further apart (few requests a minute, large jobs, probes of an outage),
 * it sleeps before each of them.
 */
import { describe, expect, it } from "vitest";
import type { Outcome } from "../../schemas/rpc.ts";
import { keyOf, openDesk, START } from "./desk.ts";

const TICK_MS = 250;
const SLEEP_MS = 10_000;
const BROKEN: Outcome = {
  kind: "retryable",
  unknown: true,
  retryAfterMs: null,
  problem: { status: 502, type: "server_error", code: "stream_truncated", message: "cut", param: null },
  upstream: true,
};

type Desk = ReturnType<typeof openDesk>;

/** Passes time; calls end after a second. `sleeps`: the object forgets what is not written when nothing has happened for ten seconds. */
function live(desk: Desk, ms: number, sleeps: boolean, outcomeOf: (job: string) => Outcome = () => ({ kind: "committed", usage: null })) {
  const until = desk.state.now + ms;
  // Jobs that started as they were sent run as well.
  const running: { job: string; at: number }[] = desk.started.filter(({ at }) => at + 1_000 > desk.state.now);
  let seen = desk.started.length;
  let heardAt = desk.state.now;
  while (desk.state.now < until) {
    desk.state.now += TICK_MS;
    const due = desk.book.nextWake() <= desk.state.now;
    const ended = running.filter(({ at }) => at + 1_000 <= desk.state.now);
    if (!due && ended.length === 0) continue;
    if (sleeps && desk.state.now - heardAt > SLEEP_MS) desk.restart();
    heardAt = desk.state.now;
    for (const each of ended) {
      running.splice(running.indexOf(each), 1);
      desk.end(each.job, outcomeOf(each.job));
    }
    desk.turn(() => {});
    for (; seen < desk.started.length; seen++) running.push(desk.started[seen]!);
  }
}

describe.each([
  ["few requests", { rpm: 3, tpm: 1_000_000, ramp_tpm: null }, 100],
  ["large jobs", { rpm: 500, tpm: 30_000, ramp_tpm: null }, 10_000],
])("%s", (_, pool, tokens) => {
  it.each([false, true])("two tenants with work waiting are served alike (sleeps: %s)", (sleeps) => {
    const desk = openDesk({ ...pool, burst_seconds: 20 });
    const alices = new Set(desk.send("alice", tokens, 30).map(({ job }) => job));
    desk.send("bob", tokens, 30);
    live(desk, 400_000, sleeps);
    const ofAlice = desk.started.filter(({ job }) => alices.has(job)).length;
    const ofBob = desk.started.length - ofAlice;
    expect(desk.started.length).toBeGreaterThan(10);
    expect(Math.abs(ofAlice - ofBob)).toBeLessThanOrEqual(2);
  });

  it.each([false, true])("a budget that binds is used (sleeps: %s)", (sleeps) => {
    const desk = openDesk({ ...pool, burst_seconds: 20 });
    desk.send("alice", tokens, 60);
    live(desk, 600_000, sleeps);
    expect(desk.started.at(-1)!.at - START).toBeGreaterThan(550_000);
    // One every 20 s.
    expect(desk.started.length).toBeGreaterThanOrEqual(28);
  });
});

it.each([false, true])(
  "while a pool's breaker is open, its probes are not all of the one tenant whose jobs break (sleeps: %s)",
  (sleeps) => {
    const desk = openDesk({ rpm: 600, tpm: 1_000_000, ramp_tpm: null });
    const poison = new Set(desk.send("alice", 100, 10).map(({ job }) => job));
    const outcomeOf = (job: string): Outcome => (poison.has(job) ? BROKEN : { kind: "committed", usage: null });
    live(desk, 120_000, sleeps, outcomeOf);
    expect(desk.queue().condition.state).toBe("open");
    const [good] = desk.send("bob", 100);
    live(desk, 600_000, sleeps, outcomeOf);
    // Ten minutes, with a probe each minute.
    expect(desk.started.some(({ job }) => job === good!.job)).toBe(true);
  },
);

it("a large job that others were let ahead of starts when it would, had the coordinator not slept", () => {
  const startOf = (sleeps: boolean) => {
    const desk = openDesk({ rpm: 4, tpm: 4_000, ramp_tpm: null, burst_seconds: 60 });
    desk.send("alice", 3_000, 1);
    const [large] = desk.send("bob", 3_900);
    desk.send("carol", 10, 200);
    live(desk, 900_000, sleeps);
    return desk.started.find(({ job }) => job === large!.job)!.at - START;
  };
  expect(startOf(true)).toBeLessThan(startOf(false) + 2_000);
});

it("what a tenant has of its own limit is used (sleeps: true)", () => {
  const desk = openDesk({ rpm: 600, tpm: 1_000_000, ramp_tpm: null }, [keyOf("alice", { rpm: 3 })]);
  desk.send("alice", 10, 60);
  live(desk, 600_000, true);
  expect(desk.started.length).toBeGreaterThanOrEqual(30);
});

it("while a pool is halted, its probes are not all of the tenant whose call was refused", () => {
  const desk = openDesk({ rpm: 600, tpm: 1_000_000, ramp_tpm: null });
  const problem = { status: 401, type: "invalid_request_error", code: "invalid_api_key", message: "no", param: null };
  const halted: Outcome = { kind: "halted", reason: "credentials", retryAfterMs: null, problem };
  desk.send("alice", 100, 5);
  live(desk, 120_000, true, () => halted);
  expect(desk.queue().condition.state).toBe("halted");
  const [other] = desk.send("bob", 100);
  live(desk, 3_600_000, true, () => halted);
  expect(desk.started.some(({ job }) => job === other!.job)).toBe(true);
});
