/**
 * The commits of mailbox and coordinator run side by side (docs/decisions/0005). Law: whatever dies meanwhile, a job that is written
 * is called once, and a job that is not written is never called.
 */
import { reset, runDurableObjectAlarm } from "cloudflare:test";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Lease, Submitted } from "../../schemas/rpc.ts";
import {
  advanceTo,
  call,
  coordinator,
  dispatcher,
  drained,
  ended,
  inside,
  job,
  mailbox,
  pool,
  submission,
  ticketRows,
  until,
} from "../support/service.ts";
import { kill, standAt } from "../support/stand.ts";
import { EPOCH, resetWorld, script, world } from "../support/world.ts";

beforeEach(resetWorld);
afterEach(async () => {
  for (const mend of spoilt.splice(0)) await mend();
  await reset();
});

const box = () => mailbox("alice", "c");
const post = (headers: Record<string, string> = {}) => call("POST", "/v1/jobs", job({ channel: "c" }), { headers });
const sql = (stub: DurableObjectStub, text: string) => inside(stub, (_, state) => state.storage.sql.exec(text).toArray());
const jobsWritten = async () => (await sql(box(), "SELECT count(*) AS n FROM jobs"))[0]!.n;

const FAILURES = ["at once", "at the commit"] as const;

/** Functions that mend the spoilt tables. */
const spoilt: (() => Promise<unknown>)[] = [];

/**
 * Makes inserts into a table fail until the returned function is called: at once, or only at the commit, when messages that do not wait
 * for it have already left.
 */
async function spoil(stub: () => DurableObjectStub, table: string, when: "at once" | "at the commit"): Promise<() => Promise<unknown>> {
  await sql(stub(), "CREATE TABLE nobody (id INTEGER PRIMARY KEY)");
  await sql(stub(), "CREATE TABLE debts (id INTEGER REFERENCES nobody (id) DEFERRABLE INITIALLY DEFERRED)");
  const fails = when === "at once" ? "SELECT RAISE(ABORT, 'disk full')" : "INSERT INTO debts VALUES (1)";
  await sql(stub(), `CREATE TRIGGER spoilt BEFORE INSERT ON ${table} BEGIN ${fails}; END`);
  const mend = () => sql(stub(), "DROP TRIGGER IF EXISTS spoilt");
  spoilt.push(mend);
  return mend;
}

const lease = (id: string): Lease => ({ job: id, mailbox: { tenant: "alice", channel: "c" }, attempt: 1, waits: 0, unknown: 0 });
const idsOf = (submitted: Submitted[]) => submitted.map((each) => (each.ok ? each.job.id : each.problem.code));

/** Lets time pass until nothing is left to do. */
async function settle(): Promise<void> {
  for (let turn = 0; turn < 12; turn++) {
    await advanceTo(world.now + 5_000);
    await runDurableObjectAlarm(box());
  }
  await drained();
}

describe("the coordinator dies after it sent the lease and before it has written it", () => {
  it.each(FAILURES)("its write fails %s, again and again: upstream is called once, when the coordinator has written", async (when) => {
    await coordinator().ping();
    const mend = await spoil(coordinator, "tickets", when);
    const { status, body } = await post();
    expect(status).toBe(202);
    expect(world.calls).toHaveLength(0);
    await mend();
    await settle();
    expect(await ended(body.id)).toMatchObject({ status: "completed", possible_duplicates: 0 });
    expect(world.calls).toHaveLength(1);
  });

  it("what it never wrote it forgets, but its lease lives on: the next, of the same number, passes for the same, and is called once", async () => {
    const stand = standAt("coordinator.enqueue", "before it runs");
    const asked = post();
    await until(() => stand.reached);
    const [, [{ job: id }]] = stand.args as [unknown, [{ job: string }]];
    await dispatcher().start([lease(id)]);
    await kill(coordinator());
    stand.go();
    const { body } = await asked;
    expect(body.id).toBe(id);
    await settle();
    expect(await ended(id)).toMatchObject({ status: "completed", attempts: 1, possible_duplicates: 0 });
    expect(world.calls).toHaveLength(1);
  });

  it("it is killed while the lease is on its way: called once", async () => {
    const stand = standAt("dispatcher.start", "before it runs");
    const asked = post();
    await until(() => stand.reached);
    await kill(coordinator());
    stand.go();
    const { body } = await asked;
    await settle();
    const { status, attempts, possible_duplicates } = await ended(body.id);
    expect(status).toBe("completed");
    expect(world.calls.length).toBeLessThanOrEqual(Math.min(attempts, 1 + possible_duplicates));
  });

  it("it is killed while the mailbox looks at the lease: called once", async () => {
    const stand = standAt("mailbox.open", "before it runs");
    const asked = post();
    await until(() => stand.reached);
    await kill(coordinator());
    stand.go();
    const { body } = await asked;
    await settle();
    expect(await ended(body.id)).toMatchObject({ status: "completed", attempts: 1, possible_duplicates: 0 });
    expect(world.calls).toHaveLength(1);
  });

  it("nothing is called before the coordinator has answered", async () => {
    const stand = standAt("coordinator.enqueue", "before its answer arrives");
    let opens = 0;
    world.between.set("mailbox.open", (go) => {
      opens++;
      return go();
    });
    const asked = post();
    await until(() => stand.reached && opens > 0);
    for (let turn = 0; turn < 20; turn++) await dispatcher().report();
    expect(world.calls).toHaveLength(0);
    stand.go();
    expect((await ended((await asked).body.id)).attempts).toBe(1);
    expect(world.calls).toHaveLength(1);
  });
});

describe("the mailbox dies after it sent the tickets and before it has written them", () => {
  it.each(FAILURES)("its write fails %s: no job, no call, the budget comes back, and the next submit works", async (when) => {
    await box().get("");
    const mend = await spoil(box, "jobs", when);
    expect((await post()).status).toBeGreaterThanOrEqual(500);
    await settle();
    expect(await jobsWritten()).toBe(0);
    expect(world.calls).toHaveLength(0);
    expect(await pool()).toMatchObject({ in_flight: 0, depth: 0, scheduled: 0 });
    expect(await ticketRows()).toBe(0);
    await mend();
    const { status, body } = await post();
    expect(status).toBe(202);
    expect((await ended(body.id)).status).toBe("completed");
    expect(world.calls).toHaveLength(1);
  });

  it("a ticket of a job that never was opens nothing: nobody is called, and what was reserved is free again", async () => {
    const id = idsOf(await box().submit([submission("aaaaaa", { notBefore: EPOCH + 3_600_000 })], false))[0]!;
    // Another job with the same number, such as a mailbox that died before it wrote would make.
    const phantom = id.replace("aaaaaa", "bbbbbb");
    const before = (await pool()).used.requests;
    const ticket = { job: phantom, pool: "gpt-5-mini", priority: 0, tokens: 20, acceptedAt: EPOCH, notBefore: null, deadline: null };
    await coordinator().enqueue({ tenant: "alice", channel: "c" }, [ticket]);
    await until(async () => (await coordinator().locate([phantom]))[0] === null);
    expect(await pool()).toMatchObject({ in_flight: 0, depth: 0, scheduled: 1 });
    expect((await pool()).used.requests).toBe(before);
    expect(world.calls).toHaveLength(0);
    expect(await box().get(phantom)).toBeNull();
  });
});

describe("a lease that the coordinator does not name", () => {
  it("is refused while its job is unconfirmed, and its dispatcher forgets it without a word", async () => {
    const settled: unknown[] = [];
    world.between.set("coordinator.settle", (go, args) => {
      settled.push(args[0]);
      return go();
    });
    const opened: unknown[] = [];
    let asking = 0;
    world.between.set("mailbox.open", async (go) => {
      asking++;
      const answer = (await go()) as unknown[];
      opened.push(...answer);
      return answer;
    });
    const upstream = script();
    world.upstream = upstream.answer;
    const stand = standAt("coordinator.enqueue", "before its answer arrives");
    const asked = box().submit([submission("aaaaaa")], false);
    await until(() => stand.reached);
    const [, [{ job: id }]] = stand.args as [unknown, [{ job: string }]];
    await dispatcher(1).start([lease(id!)]);
    await until(() => asking === 2);
    stand.go();
    await asked;
    await until(() => opened.length === 2);
    expect(opened).toEqual(expect.arrayContaining([{ ok: false, reason: "unleased" }, expect.objectContaining({ ok: true })]));
    await until(async () => (await dispatcher(1).report()).held.length === 0);
    expect((await dispatcher(0).report()).held).toEqual([{ job: id, attempt: 1 }]);
    upstream.say("x");
    upstream.finish();
    expect(await ended(id!)).toMatchObject({ status: "completed", attempts: 1 });
    await drained();
    expect(settled).toMatchObject([{ dispatcher: "disp-wnam-00" }]);
    expect(world.calls).toHaveLength(1);
  });

  it.each(["before", "after"])("comes late, %s the true one was opened: upstream is called once all the same", async (order) => {
    const upstream = script();
    world.upstream = upstream.answer;
    const stand = order === "before" ? standAt("dispatcher.start", "before it runs") : null;
    const [id] = idsOf(await box().submit([submission("aaaaaa")], false));
    await until(() => (stand ? stand.reached : world.calls.length === 1));
    await dispatcher(1).start([lease(id!)]);
    await until(async () => (await dispatcher(1).report()).held.length === 0 || world.calls.length === 2);
    stand?.go();
    await until(() => world.calls.length >= 1);
    upstream.say("x");
    upstream.finish();
    expect(await ended(id!)).toMatchObject({ status: "completed", attempts: 1, possible_duplicates: 0 });
    await drained();
    expect(world.calls).toHaveLength(1);
  });
});

describe("a submit that is repeated", () => {
  it("with the same nonce, in another millisecond: one job, one call", async () => {
    const [first] = idsOf(await box().submit([submission("aaaaaa")], false));
    world.now += 7;
    const again = await box().submit([submission("aaaaaa")], true);
    expect(again).toMatchObject([{ ok: true, replayed: true }]);
    expect(idsOf(again)).toEqual([first]);
    await ended(first!);
    expect(await jobsWritten()).toBe(1);
    expect(world.calls).toHaveLength(1);
  });

  it("twice in one batch, the second repeated: one job, one call", async () => {
    const [one, two] = await Promise.all([box().submit([submission("aaaaaa")], false), box().submit([submission("aaaaaa")], true)]);
    expect(idsOf(one)).toEqual(idsOf(two));
    await ended(idsOf(one)[0]!);
    await drained();
    expect(await jobsWritten()).toBe(1);
    expect(world.calls).toHaveLength(1);
  });

  it("two with one Idempotency-Key in one batch: one job, one call", async () => {
    const idempotency = { key: "k", fingerprint: "f" };
    const submitted = await box().submit([submission("aaaaaa", { idempotency }), submission("bbbbbb", { idempotency })], false);
    expect(submitted).toMatchObject([
      { ok: true, replayed: false },
      { ok: true, replayed: true },
    ]);
    expect(new Set(idsOf(submitted)).size).toBe(1);
    await ended(idsOf(submitted)[0]!);
    await drained();
    expect(await jobsWritten()).toBe(1);
    expect(world.calls).toHaveLength(1);
  });

  it("two clients with one Idempotency-Key at once: one job, one call", async () => {
    const headers = { "idempotency-key": "k" };
    const [one, two] = await Promise.all([post(headers), post(headers)]);
    expect(two.body.id).toBe(one.body.id);
    await ended(one.body.id);
    expect(world.calls).toHaveLength(1);
  });
});
