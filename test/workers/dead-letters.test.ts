import { reset } from "cloudflare:test";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Job } from "../../schemas/job.ts";
import { call, ended, submit } from "../support/service.ts";
import { completion, refusal, resetWorld, world } from "../support/world.ts";

beforeEach(resetWorld);
afterEach(reset);

type Letter = { id: string; job: string; tenant: string; error: { code: string } };
type List<T> = { data: T[]; has_more: boolean; last_id: string | null };
const operator = { key: "sk-dev-operator" };
const letters = async (query = "") => (await call<List<Letter>>("GET", `/v1/dead-letters${query}`, undefined, operator)).body;
const redrive = (jobs: unknown) => call<List<Job & { error: { code: string } }>>("POST", "/v1/dead-letters/redrive", { jobs }, operator);

async function failed(key = "sk-dev-alice"): Promise<Job> {
  world.upstream = () => refusal(400, "bad");
  const { id } = await submit({ channel: "c", metadata: { a: "1" } }, { temperature: 0.5 }, key);
  return ended(id, key);
}

describe("dead letters", () => {
  it("every tenant's failed jobs, newest first, in pages", async () => {
    const jobs = [await failed(), await failed("sk-dev-bob"), await failed()];
    const page = await letters("?limit=2");
    expect(page.data).toMatchObject([
      { object: "dead_letter", job: jobs[2]!.id, tenant: "alice", error: { code: "bad" } },
      { job: jobs[1]!.id, tenant: "bob" },
    ]);
    expect(page.has_more).toBe(true);
    expect(await letters(`?limit=2&after=${page.last_id}`)).toMatchObject({ data: [{ job: jobs[0]!.id }], has_more: false });
  });

  it("a letter that ended the last page is redriven -> the next page goes on where it stood", async () => {
    const jobs = [await failed(), await failed(), await failed()];
    const { last_id } = await letters("?limit=2");
    world.upstream = () => completion("better");
    await redrive([jobs[1]!.id]);
    expect((await letters(`?after=${last_id}`)).data).toMatchObject([{ job: jobs[0]!.id }]);
  });

  it("redriven -> the same request as a new job, the old one stays as it is, and the letter is gone", async () => {
    const old = await failed();
    world.upstream = () => completion("better");
    const { status, body } = await redrive([old.id]);
    expect(status).toBe(202);
    const fresh = await ended(body.data[0]!.id);
    expect(fresh).toMatchObject({ status: "completed", channel: "c", metadata: { a: "1" } });
    expect(world.calls.at(-1)).toMatchObject({ temperature: 0.5 });
    expect(await ended(old.id)).toEqual(old);
    expect((await letters()).data).toEqual([]);
    expect((await redrive([old.id])).body.data[0]!.error.code).toBe("job_not_found");
  });

  it("no letter of that job -> an error in its place, the others are redriven", async () => {
    const old = await failed();
    world.upstream = () => completion("better");
    const alive = await submit();
    const { data } = (await redrive(["job_unknown", alive.id, old.id])).body;
    expect(data.map((each) => each.error?.code ?? each.object)).toEqual(["job_not_found", "job_not_found", "job"]);
  });

  it("a job named twice in one request -> one new job, shown in both places", async () => {
    const [old, other] = [await failed(), await failed()];
    world.upstream = () => completion("better");
    const { data } = (await redrive([old.id, other.id, old.id])).body;
    expect(data[0]!.object).toBe("job");
    expect(data.map(({ id }) => id)).toEqual([data[0]!.id, data[1]!.id, data[0]!.id]);
    expect(new Set((await call<List<Job>>("GET", "/v1/jobs?channel=c")).body.data.map(({ id }) => id))).toEqual(
      new Set([old.id, other.id, data[0]!.id, data[1]!.id]),
    );
  });

  it("a job redriven by two requests at once -> one new job, which spends once", async () => {
    const old = await failed();
    world.upstream = () => completion("better");
    await Promise.all([redrive([old.id]), redrive([old.id])]);
    expect((await call<List<Job>>("GET", "/v1/jobs?channel=c")).body.data).toHaveLength(2);
  });

  it("a submit that fails -> costs only its own job, whose letter stays", async () => {
    const [old, other] = [await failed(), await failed()];
    world.upstream = () => completion("better");
    let unlucky: string | undefined;
    world.between.set("mailbox.submit", (go, [submissions]) => {
      const { nonce } = (submissions as { nonce: string }[])[0]!;
      unlucky ??= nonce;
      if (nonce === unlucky) throw new Error("out of reach");
      return go();
    });
    const { status, body } = await redrive([old.id, other.id]);
    expect(status).toBe(202);
    expect(body.data.map((each) => each.error?.code ?? each.object).sort()).toEqual(["job", "unavailable"]);
    expect((await letters()).data).toHaveLength(1);
  });

  it.each([[[]], ["job"], [[1]], [undefined]])("redrive of %j -> 400", async (jobs) => {
    expect((await redrive(jobs)).status).toBe(400);
  });

  it("tenants may not look", async () => {
    expect((await call("GET", "/v1/dead-letters")).status).toBe(403);
    expect((await call("POST", "/v1/dead-letters/redrive", { jobs: ["x"] })).status).toBe(403);
  });
});
