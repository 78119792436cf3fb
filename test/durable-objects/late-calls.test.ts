/** A call that could not leave in time asks again: it goes if there is room for it now; otherwise its job waits again as if it had not been called. */
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Held } from "../../schemas/rpc.ts";
import { committed, enqueue, playAll, settle, ticket } from "../support/desk.ts";
import { advanceTo, call, coordinator, dispatcher, drained, ended, job, over, pool, story, submit, until } from "../support/service.ts";
import { cleared, kill, standAt } from "../support/stand.ts";
import { EPOCH, resetWorld, world } from "../support/world.ts";

beforeEach(resetWorld);
afterEach(cleared);

const DISPATCHER = "disp-wnam-00";
const pools = (limits: object) => {
  world.env.SLUICE_POOLS = JSON.stringify({ "gpt-5-mini": { models: ["gpt-5-mini*"], rpm: 60, tpm: 600_000, ...limits } });
};
/** A burst of two seconds, one of which is given up for transit: one call a second. */
const narrow = () => pools({ burst_seconds: 2 });
const secondsTo = async (seconds: number) => {
  for (let at = world.now + 1_000; at <= EPOCH + seconds * 1_000; at += 1_000) await advanceTo(at);
};

describe("the coordinator", () => {
  it("says by when a call is to leave: half of its pool's transit after it was let go", async () => {
    pools({ transit_ms: 3_000 });
    const { starts } = playAll();
    await enqueue([ticket("a")]);
    await until(() => starts.length === 1);
    expect(starts[0]!.leaveBy).toBe(EPOCH + 1_500);
  });

  it("says so for a pool that is counted in windows", async () => {
    pools({ window_seconds: 60, burst_seconds: 60, transit_ms: 600 });
    const { starts } = playAll();
    await enqueue([ticket("a")]);
    await until(() => starts.length === 1);
    expect(starts[0]!.leaveBy).toBe(EPOCH + 100);
  });

  it("lets those that still fit go, in their order; the others wait at their old places, uncounted and untold, until the budget refills", async () => {
    pools({});
    const { starts, verdicts } = playAll();
    await enqueue(Array.from({ length: 100 }, (_, index) => ticket(`j${index}`)));
    await until(() => starts.length === 59);
    await secondsTo(3);
    await until(() => starts.length === 62);
    const words: string[] = [];
    // Each dispatcher asks for its own calls.
    for (const dispatcher of new Set(await Promise.all(starts.slice(0, 59).map(async ({ job }) => dispatcherOf(job))))) {
      const held: Held[] = [];
      for (const { attempt, job } of starts.slice(0, 59)) if ((await dispatcherOf(job)) === dispatcher) held.push({ job, attempt });
      words.push(...(await coordinator().late(dispatcher, held)));
    }
    // Upstream's bucket is full, except for the three calls that left meanwhile; two of those have refilled.
    expect(words.filter((word) => word === "wait")).toHaveLength(1);
    expect(words.filter((word) => word === "go")).toHaveLength(58);
    expect(await pool()).toMatchObject({ in_flight: 61, depth: 39, used: { requests: 59 } });
    await secondsTo(4);
    await until(() => starts.length === 63);
    expect(starts[62]).toMatchObject({ attempt: 2, waits: 1, unknown: 0 });
    expect(starts.slice(0, 59).map(({ job }) => job)).toContain(starts[62]!.job);
    expect(verdicts).toEqual([]);
  });

  it("takes a call that went so as let go only then, of its tenant's own limit too", async () => {
    world.env.SLUICE_KEYS = JSON.stringify([{ key_sha256: "a".repeat(64), tenant: "alice", tpm: 6_000 }]);
    pools({});
    const { starts } = playAll();
    await enqueue(["a", "b"].map((name) => ticket(name, { tokens: 5_000 })));
    await until(() => starts.length === 1);
    world.now = EPOCH + 20_000;
    expect(await coordinator().late(DISPATCHER, [{ job: "a", attempt: 1 }])).toEqual(["go"]);
    // 900 tokens are free, and 100 come back each second.
    await secondsTo(60);
    expect(starts).toHaveLength(1);
    await secondsTo(62);
    await until(() => starts.length === 2);
  });

  it("gives a call that waits again back to its tenant's own limit, and its place among those that may run at once", async () => {
    world.env.SLUICE_KEYS = JSON.stringify([{ key_sha256: "a".repeat(64), tenant: "alice", tpm: 6_000 }]);
    pools({ burst_seconds: 2, concurrency: 2 });
    const { starts } = playAll();
    await enqueue([ticket("a", { tokens: 5_000 })]);
    await enqueue([ticket("b")], { tenant: "bob", channel: "c" });
    await until(() => starts.length === 1);
    await advanceTo(EPOCH + 1_000);
    await until(() => starts.length === 2);
    expect((await pool()).in_flight).toBe(2);
    expect(await coordinator().late(await dispatcherOf("a"), [{ job: "a", attempt: 1 }])).toEqual(["wait"]);
    expect(await pool()).toMatchObject({ in_flight: 1, depth: 1 });
    expect((await coordinator().share("alice", "gpt-5-mini"))!.tokens).toMatchObject({ limit: 6_000, remaining: 5_900 });
    await advanceTo(EPOCH + 2_000);
    await until(() => starts.length === 3);
    expect(starts[2]).toMatchObject({ job: "a", attempt: 2, waits: 1 });
    expect((await pool()).in_flight).toBe(2);
  });

  it("lets a job that has waited again three times in a row leave whenever it can", async () => {
    narrow();
    const { starts } = playAll();
    await enqueue([ticket("late", { priority: 100 }), ...["b", "c", "d", "e"].map((name) => ticket(name))]);
    const allowed: boolean[] = [];
    for (let attempt = 1; attempt <= 4; attempt++) {
      await until(() => starts.at(-1)?.job === "late" && starts.at(-1)!.attempt === attempt);
      allowed.push(starts.at(-1)!.leaveBy === undefined);
      await advanceTo(world.now + 1_000);
      await until(() => starts.at(-1)!.job !== "late");
      if (attempt < 4) expect(await coordinator().late(await dispatcherOf("late"), [{ job: "late", attempt }])).toEqual(["wait"]);
      await advanceTo(world.now + 1_000);
    }
    expect(allowed).toEqual([false, false, false, true]);
    await settle("late", 4, committed);
    expect((await coordinator().locate(["late"]))[0]).toBeNull();
  });

  it("counts what was in a row: one that upstream saw in between is late for the first time again, and what it said is still told", async () => {
    narrow();
    const { starts } = playAll();
    await enqueue([ticket("late", { priority: 100 }), ...["b", "c", "d"].map((name) => ticket(name))]);
    const waitsAgain = async (attempt: number) => {
      await until(() => starts.at(-1)?.job === "late" && starts.at(-1)!.attempt === attempt);
      await advanceTo(world.now + 1_000);
      await until(() => starts.at(-1)!.job !== "late");
      expect(await coordinator().late(await dispatcherOf("late"), [{ job: "late", attempt }])).toEqual(["wait"]);
      await advanceTo(world.now + 1_000);
    };
    await waitsAgain(1);
    await waitsAgain(2);
    await until(() => starts.at(-1)?.attempt === 3);
    const said = { status: 503, type: "server_error", code: "no_room", message: "", param: null };
    await settle("late", 3, { kind: "no_capacity", retryAfterMs: null, problem: said });
    await advanceTo(world.now + 10_000);
    await waitsAgain(4);
    await until(() => starts.at(-1)?.attempt === 5);
    expect(starts.at(-1)!.leaveBy).toBeDefined();
    expect((await coordinator().locate(["late"]))[0]!.failure).toMatchObject({ code: "no_room", attempt: 3 });
  });

  it("knows of no lease that is over, or another's", async () => {
    pools({});
    const { starts } = playAll();
    await enqueue([ticket("a"), ticket("b")]);
    await until(() => starts.length === 2);
    await settle("a", 1, committed);
    const asked = ["a", "b", "never"].map((job) => ({ job, attempt: 1 }));
    expect(await coordinator().late(DISPATCHER, asked)).toEqual(["lost", "go", "lost"]);
    expect(await coordinator().late("disp-wnam-07", asked)).toEqual(["lost", "lost", "lost"]);
    expect(await coordinator().late(DISPATCHER, [{ job: "b", attempt: 2 }])).toEqual(["lost"]);
  });

  it("asked twice says the same: what it counted of a call is counted once", async () => {
    pools({});
    const { starts } = playAll();
    await enqueue([ticket("a")]);
    await until(() => starts.length === 1);
    world.now = EPOCH + 3_000;
    for (let time = 0; time < 2; time++) expect(await coordinator().late(DISPATCHER, [{ job: "a", attempt: 1 }])).toEqual(["go"]);
    expect(await pool()).toMatchObject({ in_flight: 1, used: { requests: 1, tokens: 20 } });
  });

  it("asked again of a call that went says so again, though there would be no room for it by now: it is under way", async () => {
    narrow();
    const { starts } = playAll();
    await enqueue([ticket("a")]);
    await until(() => starts.length === 1);
    world.now = EPOCH + 1_000;
    const ask = () => coordinator().late(DISPATCHER, [{ job: "a", attempt: 1 }]);
    expect(await ask()).toEqual(["go"]);
    world.now = EPOCH + 2_000;
    await enqueue([ticket("b")]);
    await until(() => starts.length === 2);
    expect(await ask()).toEqual(["go"]);
    expect(await pool()).toMatchObject({ in_flight: 2, depth: 0 });
  });

  it("asked twice in one message decides once", async () => {
    narrow();
    const { starts } = playAll();
    await enqueue([ticket("a")]);
    await until(() => starts.length === 1);
    world.now = EPOCH + 1_000;
    const asked = { job: "a", attempt: 1 };
    expect(await coordinator().late(DISPATCHER, [asked, asked])).toEqual(["go", "go"]);
    await enqueue([ticket("b")]);
    await until(async () => (await pool()).depth === 1);
  });

  describe("as if it were let go only now, sends a late call back to wait", () => {
    const waits = async (before: () => Promise<unknown>) => {
      pools({ burst_seconds: 60 });
      const { starts } = playAll();
      await enqueue(["a", "b"].map((name) => ticket(name)));
      await until(() => starts.length === 2);
      world.now = EPOCH + 1_000;
      await before();
      expect(await coordinator().late(DISPATCHER, [{ job: "a", attempt: 1 }])).toEqual(["wait"]);
    };
    const said = { status: 429, type: "requests", code: "rate_limit_exceeded", message: "", param: null };
    const refused = { ...said, status: 401, code: "invalid_api_key" };

    it.each([
      ["everything", {}],
      ["its pool", { pool: "gpt-5-mini" }],
      ["its tenant", { tenant: "alice" }],
    ])("of what an operator paused meanwhile: %s", async (_, scope) => {
      await waits(() => call("POST", "/v1/queue/pause", scope, { key: "sk-dev-operator" }));
    });

    it("of a pool for which upstream asked for silence meanwhile", async () => {
      await waits(() => settle("b", 1, { kind: "rate_limited", retryAfterMs: 30_000, problem: said }));
    });

    it("of a pool whose key was refused meanwhile", async () => {
      await waits(() => settle("b", 1, { kind: "halted", reason: "credentials", retryAfterMs: null, problem: refused }));
    });
  });

  it("made anew in between still knows the lease, but not what of it has refilled: it is counted once more", async () => {
    pools({});
    const played = playAll();
    await enqueue([ticket("a", { tokens: 400_000 })]);
    await until(() => played.starts.length === 1);
    played.held = [{ job: "a", attempt: 1 }];
    await kill(coordinator());
    world.now = EPOCH + 3_000;
    expect(await coordinator().late(DISPATCHER, [{ job: "a", attempt: 1 }])).toEqual(["wait"]);
    expect(await pool()).toMatchObject({ in_flight: 0, depth: 1 });
    await advanceTo(EPOCH + 60_000);
    await until(() => played.starts.length === 2);
    expect(played.starts[1]).toMatchObject({ job: "a", attempt: 2, waits: 1, unknown: 0 });
  });
});

async function dispatcherOf(job: string): Promise<string> {
  return (await coordinator().locate([job]))[0]!.held!.dispatcher;
}

describe("the dispatcher", () => {
  /** Questions that reached the coordinator. */
  const questions = () => {
    const asked: Held[][] = [];
    world.between.set("coordinator.late", (go, [, held]) => {
      asked.push(held as Held[]);
      return go();
    });
    return asked;
  };
  const aMinuteLate = () => {
    world.dispatchersNow = EPOCH + 60_000;
  };

  /** Holds up a call while another takes the room: when it goes on, it is a second late and is told to wait again. */
  const outrun = async () => {
    narrow();
    const stand = standAt("mailbox.open", "before its answer arrives");
    const { id } = await submit({ channel: "c" });
    await until(() => stand.reached);
    const other = await submit({ channel: "d" });
    await advanceTo(EPOCH + 1_000);
    await over(other.id);
    const goOn = () => {
      world.dispatchersNow = EPOCH + 1_000;
      stand.go();
    };
    return { id, goOn };
  };

  it("asks for what is late, together, and makes the calls that may go: nobody is told of it", async () => {
    pools({});
    const asked = questions();
    const inTime = await submit({ channel: "c" });
    await over(inTime.id);
    expect(asked).toEqual([]);
    aMinuteLate();
    const { body } = await call<{ data: { id: string }[] }>("POST", "/v1/jobs", {
      jobs: Array.from({ length: 12 }, () => job({ channel: "c" })),
    });
    for (const { id } of body.data) expect(await ended(id)).toMatchObject({ status: "completed", attempts: 1 });
    await drained();
    expect(
      asked
        .flat()
        .map(({ job }) => job)
        .sort(),
    ).toEqual(body.data.map(({ id }) => id).sort());
    expect(asked.length).toBeLessThan(12);
    expect(world.calls).toHaveLength(13);
    expect(await story(body.data[0]!.id)).toEqual(await story(inTime.id));
  });

  it("does not make one that is to wait again: its job is called when the budget refills, as its first attempt", async () => {
    const asked = questions();
    const { goOn, id } = await outrun();
    goOn();
    await until(() => asked.length === 1);
    await until(async () => (await pool()).depth === 1);
    expect(world.calls).toHaveLength(1);
    await advanceTo(EPOCH + 2_000);
    expect(await ended(id)).toMatchObject({ status: "completed", attempts: 1, possible_duplicates: 0 });
    expect(world.calls).toHaveLength(2);
    expect(await story(id)).not.toContain("retrying");
    await drained();
  });

  it("one that waits again is not shown as begun", async () => {
    const { goOn, id } = await outrun();
    goOn();
    await until(async () => (await pool()).depth === 1);
    expect((await call("GET", `/v1/jobs/${id}`)).body).toMatchObject({ status: "queued", started_at: null, attempts: 0 });
    const { body } = await call("POST", `/v1/jobs/${id}/cancel`);
    expect(body).toMatchObject({ status: "cancelled", started_at: null, attempts: 0 });
  });

  it("does not make one whose answer is lost, which may have said to wait: it is called once, as its first attempt", async () => {
    const { goOn, id } = await outrun();
    const words: unknown[] = [];
    world.between.set("coordinator.late", async (go) => {
      words.push(await go());
      throw new Error("lost");
    });
    goOn();
    await until(() => words.length > 0);
    await until(async () => (await dispatcher().report()).held.length === 0);
    await secondsTo(60);
    expect(await ended(id)).toMatchObject({ status: "completed", attempts: 1, possible_duplicates: 0 });
    expect(world.calls).toHaveLength(2);
  });

  it("makes the call where the coordinator is of an older program", async () => {
    pools({});
    world.between.set("coordinator.late", () => {
      throw new TypeError('The RPC receiver does not implement the method "late".');
    });
    aMinuteLate();
    const { id } = await submit();
    expect(await ended(id)).toMatchObject({ status: "completed", attempts: 1 });
    expect(world.calls).toHaveLength(1);
  });

  it.each([
    ["would have gone", 60],
    ["would have waited again", 2],
  ])("makes no call that was cancelled while it asked, and %s", async (_, burst) => {
    pools({ burst_seconds: burst });
    let aborts = 0;
    world.between.set("dispatcher.abort", (go) => {
      aborts++;
      return go();
    });
    const stand = standAt("coordinator.late", "before it runs");
    aMinuteLate();
    const { id } = await submit({ channel: "c" });
    await until(() => stand.reached);
    const other = await submit({ channel: "d" });
    await advanceTo(EPOCH + 1_000);
    await call("POST", `/v1/jobs/${id}/cancel`);
    await until(() => aborts === 1);
    stand.go();
    await until(async () => (await pool()).in_flight === 0);
    await advanceTo(EPOCH + 2_000);
    await drained();
    expect((await ended(id)).status).toBe("cancelled");
    expect((await ended(other.id)).status).toBe("completed");
    expect(world.calls).toHaveLength(1);
    expect((await pool()).used.requests).toBeLessThanOrEqual(1);
  });

  it.each(["before it runs", "before its answer arrives"] as const)(
    "asks again where the coordinator dies %s: called once",
    async (moment) => {
      pools({});
      const stand = standAt("coordinator.late", moment);
      aMinuteLate();
      const { id } = await submit();
      await until(() => stand.reached);
      await kill(coordinator());
      stand.go();
      expect(await ended(id)).toMatchObject({ status: "completed", attempts: 1, possible_duplicates: 0 });
      expect(world.calls).toHaveLength(1);
      await drained();
    },
  );
});
