import { reset } from "cloudflare:test";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { Job } from "../../schemas/job.ts";
import type { ErrorBody } from "../../schemas/problem.ts";
import { advanceTo, call, crash, ended, job, ticketRows } from "../support/service.ts";
import { EPOCH, resetWorld, world } from "../support/world.ts";

beforeEach(resetWorld);
afterEach(async () => {
  vi.restoreAllMocks();
  await reset();
});

type Answer = Job & ErrorBody;
const post = (key: string, body: unknown, tenant = "alice", headers: Record<string, string> = {}) =>
  call<Answer>("POST", "/v1/jobs", body, { key: `sk-dev-${tenant}`, headers: { "idempotency-key": key, ...headers } });

/** Submits these lines; returns their jobs' ids, in order. */
async function sendLines(lines: string): Promise<string[]> {
  const { body } = (await post("k", lines, "alice", { "content-type": "application/jsonl" })) as unknown as { body: string };
  return body
    .trim()
    .split("\n")
    .map((line) => (JSON.parse(line) as Job).id);
}

describe("Idempotency-Key", () => {
  it("the same key and body give the same job, while it runs and after it ended", async () => {
    const first = await post("k", job());
    expect((await post("k", job())).body.id).toBe(first.body.id);
    await ended(first.body.id);
    const again = await post("k", job());
    expect([again.status, again.body.id, again.body.status]).toEqual([202, first.body.id, "completed"]);
    expect(again.headers.get("location")).toBe(`/v1/jobs/${first.body.id}`);
    expect(world.calls).toHaveLength(1);
  });

  it("an array's, and then of the same jobs as JSONL, with blank lines -> the same jobs", async () => {
    const jobs = ["a", "b", "c"].map((content) => job({}, { messages: [{ role: "user", content }] }));
    const { body } = (await post("k", jobs)) as unknown as { body: { data: Job[] } };
    const ids = body.data.map(({ id }) => id);
    const [a, b, c] = jobs.map((each) => JSON.stringify(each));
    expect(await sendLines(`${a}\n${b}\n${c}`)).toEqual(ids);
    expect(await sendLines(`\n${a}\n\n  \n${b}\n${c}\n`)).toEqual(ids);
  });

  it("of a job that still waits, the repeated submit says where it stands, as the first did", async () => {
    const body = job({ not_before: EPOCH / 1_000 + 60 });
    const first = await post("k", body);
    const again = await post("k", body);
    expect(first.body.eta).toMatchObject({ p50: expect.any(Number), limited_by: "scheduled" });
    expect(again.body).toEqual(first.body);
  });

  it.each([
    ["request", job({}, { messages: [{ role: "user", content: "other" }] })],
    ["metadata", job({ metadata: { a: "b" } })],
    ["priority", job({ priority: 1 })],
  ])("another %s under the same key: 409", async (_, other) => {
    await post("k", job());
    const { status, body } = await post("k", other);
    expect(status).toBe(409);
    expect(body.error).toMatchObject({ type: "invalid_request_error", code: "idempotency_key_conflict" });
  });

  // A key counts for its whole tenant, not only in one channel's mailbox.
  it("another channel under the same key: 409", async () => {
    await post("k", job({ channel: "a" }));
    expect((await post("k", job({ channel: "b" }))).status).toBe(409);
  });

  it("at once in one flush: one job", async () => {
    const answers = await Promise.all([...Array(20)].map(() => post("k", job())));
    expect(new Set(answers.map(({ body }) => body.id)).size).toBe(1);
    await ended(answers[0]!.body.id);
    expect(world.calls).toHaveLength(1);
  });

  it("at once with two bodies: one wins, the other is told", async () => {
    const answers = await Promise.all([post("k", job()), post("k", job({ priority: 1 }))]);
    expect(answers.map(({ status }) => status).sort()).toEqual([202, 409]);
  });

  it("survives a crash", async () => {
    const { body } = await post("k", job());
    await crash();
    expect((await post("k", job())).body.id).toBe(body.id);
    expect((await post("k", job({ priority: 1 }))).status).toBe(409);
  });

  it("belongs to a tenant", async () => {
    const mine = await post("k", job());
    const theirs = await post("k", job({ priority: 1 }), "bob");
    expect(theirs.status).toBe(202);
    expect(theirs.body.id).not.toBe(mine.body.id);
  });

  it("a refused job does not use its key up", async () => {
    expect((await post("k", job({ deadline: 1 }))).status).toBe(400);
    expect((await post("k", job())).status).toBe(202);
  });

  it.each([
    ["empty", ""],
    ["longer than 255", "x".repeat(256)],
  ])("%s: refused", async (_, key) => {
    const { status, body } = await post(key, job());
    expect([status, body.error.param]).toEqual([400, "Idempotency-Key"]);
  });

  it("counts for each item of an array by its place", async () => {
    type List = { data: Answer[] };
    const jobs = [job({ metadata: { n: "0" } }), { request: {} }, job({ metadata: { n: "2" } })];
    const first = (await post("k", { jobs })) as unknown as { body: List };
    const again = (await post("k", { jobs: [...jobs.slice(0, 2), job({ metadata: { n: "x" } })] })) as unknown as { body: List };
    expect(again.body.data[0]!.id).toBe(first.body.data[0]!.id);
    expect(again.body.data[1]!.error.param).toBe("request.model");
    expect(again.body.data[2]!.error.code).toBe("idempotency_key_conflict");
  });

  it("of an array is nobody's who names an item of it", async () => {
    const sent = { jobs: [job({}), job({})] };
    const first = await call<{ data: { id: string }[] }>("POST", "/v1/jobs", sent, { headers: { "idempotency-key": "k" } });
    for (const key of ["k#0", "k#1", "k0", "k"]) {
      const other = await call("POST", "/v1/jobs", job({}), { headers: { "idempotency-key": key } });
      expect(other.status).toBe(202);
      expect(first.body.data.map(({ id }) => id)).not.toContain(other.body.id);
    }
  });

  it("counts for each line of JSONL by its number", async () => {
    const lines = [job(), job({ channel: "c" })].map((each) => JSON.stringify(each)).join("\n");
    const first = await sendLines(lines);
    expect(await sendLines(lines)).toEqual(first);
    expect(new Set(first).size).toBe(2);
  });
});

/** Lets time pass for the objects, and for the door, which reads the machine's clock: that is faked. */
async function passTo(at: number): Promise<void> {
  const real = Date.now;
  const ahead = at - real();
  vi.spyOn(Date, "now").mockImplementation(() => real() + ahead);
  await advanceTo(at);
}

describe("Idempotency-Key, when the job could not be made any more", () => {
  const dated = (more: Record<string, unknown> = {}) => job({ deadline: EPOCH / 1_000 + 60, channel: "c", ...more });
  const inChannel = async () => (await call<{ data: Job[] }>("GET", "/v1/jobs?channel=c")).body.data.map(({ id }) => id);

  it("its deadline has passed since: the same job", async () => {
    const first = await post("k", dated());
    await ended(first.body.id);
    await passTo(EPOCH + 61_000);
    const again = await post("k", dated());
    expect([again.status, again.body.id, again.body.status]).toEqual([202, first.body.id, "completed"]);
    expect((await post("k", dated({ priority: 1 }))).body.error.code).toBe("idempotency_key_conflict");
  });

  it("its deadline has passed since: the same job for each item of a list", async () => {
    type List = { data: Answer[] };
    const jobs = [dated(), dated({ metadata: { n: "1" } })];
    const first = (await post("k", { jobs })) as unknown as { body: List };
    await passTo(EPOCH + 61_000);
    const again = (await post("k", { jobs: [...jobs, dated({ metadata: { n: "2" } })] })) as unknown as { body: List };
    expect(again.body.data.map(({ error, id }) => id ?? error.code)).toEqual([...first.body.data.map(({ id }) => id), "deadline_passed"]);
  });

  it("its deadline has passed since: the same job for each line of JSONL", async () => {
    const lines = [dated(), dated({ metadata: { n: "1" } })].map((each) => JSON.stringify(each)).join("\n");
    const first = await sendLines(lines);
    await passTo(EPOCH + 61_000);
    expect(await sendLines(lines)).toEqual(first);
  });

  it.each(["strict", "best_effort"])("its deadline has passed, and there is no job: refused without a trace (%s)", async (policy) => {
    await passTo(EPOCH + 61_000);
    const before = await ticketRows();
    const { status, body } = await post("k", dated({ deadline_policy: policy }));
    expect([status, body.error]).toEqual([
      400,
      { message: "The deadline has passed.", type: "invalid_request_error", code: "deadline_passed", param: "deadline" },
    ]);
    expect([await inChannel(), await ticketRows()]).toEqual([[], before]);
    // Nor is the key used up.
    expect((await post("k", job({ channel: "c" }))).status).toBe(202);
  });

  it.each([
    ["no bucket would hold it", { default: { rpm: 500, tpm: 5 } }, 400, "reservation_exceeds_budget"],
    ["no pool takes its model", { other: { models: ["other"], rpm: 500, tpm: 50_000 } }, 404, "model_not_found"],
  ])("%s any more: the same job; a new one is refused", async (_, pools, status, code) => {
    const first = await post("k", job({ channel: "c" }));
    world.env.SLUICE_POOLS = JSON.stringify(pools);
    // A deployment restarts the objects.
    await crash();
    expect((await post("k", job({ channel: "c" }))).body.id).toBe(first.body.id);
    const other = await post("l", job({ channel: "c" }));
    expect([other.status, other.body.error.code]).toEqual([status, code]);
    expect(await inChannel()).toEqual([first.body.id]);
  });
});
