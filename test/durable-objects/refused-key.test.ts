/** A key that is refused for one job, or for all: the test plays mailboxes and dispatchers. */

import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Outcome } from "../../schemas/rpc.ts";
import { committed, enqueue, fatal, playAll, problem, settle, ticket } from "../support/desk.ts";
import { receive } from "../support/receiver.ts";
import { advanceTo, pool, until } from "../support/service.ts";
import { cleared } from "../support/stand.ts";
import { EPOCH, resetWorld, world } from "../support/world.ts";

beforeEach(resetWorld);
afterEach(cleared);

const refused = (reason: "billing" | "credentials", code = "odd_permission"): Outcome => ({
  ...{ kind: "halted", reason, retryAfterMs: null },
  problem: { ...problem, status: reason === "billing" ? 429 : 403, code },
});
const past = (seconds: number) => EPOCH + seconds * 1_000;
const condition = async () => (await pool()).condition;
const jobsAfter = (played: ReturnType<typeof playAll>, count: number) => until(() => played.starts.length >= count && played.jobs());

describe("a key that is refused", () => {
  it("to one job -> another is called at once; that it is taken lets the pool go on, and a job that alone is refused again fails: no alarm", async () => {
    const received = receive();
    world.env.SLUICE_ALERT_URL = "https://alarm.example.com/hook";
    const played = playAll();
    await enqueue([ticket("bad")]);
    await settle("bad", 1, refused("credentials"));
    expect(await condition()).toMatchObject({ state: "halted", reason: "credentials" });
    await enqueue([ticket("good"), ticket("next")]);
    expect(await jobsAfter(played, 2)).toEqual(["bad", "good"]);
    expect(received).toEqual([]);
    await settle("good", 1, committed);
    expect((await jobsAfter(played, 4)).slice(2).sort()).toEqual(["bad", "next"]);
    await settle("bad", 2, refused("credentials"));
    await until(() => played.verdictsOn("bad").includes("failed"));
    expect(await condition()).toMatchObject({ state: "normal" });
    expect(received).toEqual([]);
  });

  it("to another as well -> halted for half a minute, and an alarm", async () => {
    const received = receive();
    world.env.SLUICE_ALERT_URL = "https://alarm.example.com/hook";
    const played = playAll();
    await enqueue([ticket("a")]);
    await settle("a", 1, refused("credentials"));
    await enqueue([ticket("b"), ticket("c")]);
    await advanceTo(past(1));
    expect(await jobsAfter(played, 2)).toEqual(["a", "b"]);
    await settle("b", 1, refused("credentials"));
    await until(() => received.length === 1);
    expect(JSON.parse(received[0]!.body)).toMatchObject({ event: "pool_halted", reason: "credentials" });
    expect(await condition()).toMatchObject({ failed_probes: 1, next_probe_at: past(31) / 1_000 });
    await advanceTo(past(30.9));
    expect(played.starts).toHaveLength(2);
    await advanceTo(past(31));
    await jobsAfter(played, 3);
  });

  it("to a job that is alone -> called again half a minute later, and then it is an alarm", async () => {
    const received = receive();
    world.env.SLUICE_ALERT_URL = "https://alarm.example.com/hook";
    const played = playAll();
    await enqueue([ticket("a")]);
    await settle("a", 1, refused("credentials"));
    await advanceTo(past(30.9));
    expect(played.starts).toHaveLength(1);
    await advanceTo(past(31));
    await jobsAfter(played, 2);
    await settle("a", 2, refused("credentials"));
    await until(() => received.length === 1);
    expect(await condition()).toMatchObject({ failed_probes: 1, next_probe_at: past(61) / 1_000 });
  });

  it("to one tenant -> its next job is no probe while another tenant's waits", async () => {
    const played = playAll();
    await enqueue([ticket("a")]);
    await settle("a", 1, refused("billing"));
    await enqueue([ticket("b"), ticket("c")]);
    await advanceTo(past(20));
    await enqueue([ticket("other", { priority: -1_000 })], { tenant: "bob", channel: "c" });
    await advanceTo(past(30));
    expect(await jobsAfter(played, 2)).toEqual(["a", "other"]);
    await settle("other", 1, refused("billing"));
    await advanceTo(past(90));
    await jobsAfter(played, 3);
    expect(played.jobs()[2]).not.toBe("other");
  });

  it("any other answer to the probe shows that the key is good", async () => {
    playAll();
    await enqueue([ticket("a")]);
    await settle("a", 1, refused("credentials"));
    await advanceTo(past(31));
    await settle("a", 2, fatal);
    expect(await condition()).toMatchObject({ state: "normal" });
  });
});
