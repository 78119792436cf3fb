import { reset } from "cloudflare:test";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Job } from "../../schemas/job.ts";
import type { ErrorBody } from "../../schemas/problem.ts";
import { advanceTo, call, coordinator, ended, inside, job, mailbox, submit, until } from "../support/service.ts";
import { chunk, completion, EPOCH, refusal, resetWorld, script, silence, stream, world } from "../support/world.ts";

beforeEach(resetWorld);
afterEach(reset);

type Page = { object: "list"; data: Job[]; first_id: string | null; last_id: string | null; has_more: boolean };
const list = async (query = "", key = "sk-dev-alice") => (await call<Page>("GET", `/v1/jobs${query}`, undefined, { key })).body;
const idsOf = ({ data }: Page) => data.map(({ id }) => id);

/** All pages of a list, each requested with the last id of the previous one. */
async function allPages(query: string, limit: number): Promise<Job[]> {
  const jobs: Job[] = [];
  let after = "";
  for (;;) {
    const page = await list(`?limit=${limit}${query}${after}`);
    expect(page.data.length).toBeLessThanOrEqual(limit);
    jobs.push(...page.data);
    if (!page.has_more) return jobs;
    expect(page.data).toHaveLength(limit);
    after = `&after=${page.last_id}`;
  }
}

describe("listing", () => {
  it("newest first, over channels and jobs without one", async () => {
    const ids: string[] = [];
    for (const more of [{ channel: "b" }, {}, { channel: "a" }, {}, { channel: "b" }]) {
      world.now += 1;
      ids.unshift((await submit(more)).id);
    }
    const page = await list();
    expect(idsOf(page)).toEqual(ids);
    expect(page).toMatchObject({ object: "list", first_id: ids[0], last_id: ids[4], has_more: false });
    expect(idsOf(await list("?channel=b"))).toEqual([ids[0], ids[4]]);
  });

  it("is empty for who has none, and for a channel that never was", async () => {
    await submit({ channel: "c" });
    const none = { object: "list", data: [], first_id: null, last_id: null, has_more: false };
    expect(await list("", "sk-dev-bob")).toEqual(none);
    expect(await list("?channel=c", "sk-dev-bob")).toEqual(none);
    expect(await list("?channel=nowhere")).toEqual(none);
  });

  it("has no gaps and no repeats where answers are too long to stand on a page together", async () => {
    // Nothing tells which channels' answers are long; short ones lie between them.
    const answers: Record<string, string> = { a: "x".repeat(3_000_000), b: "", c: "漢".repeat(1_400_000) };
    world.upstream = ({ body }) => {
      const name = (body.messages as { content: string }[])[0]!.content;
      const choice = { index: 0, delta: { content: answers[name] }, logprobs: null, finish_reason: "stop" };
      return stream([{ ...chunk([choice]), usage: { prompt_tokens: 1, completion_tokens: 1, total_tokens: 2 } }, "[DONE]"]);
    };
    const ids: string[] = [];
    for (const channel of ["b", "a", "c", "a", "b", "c", "c", "a", "b", "a"]) {
      world.now += 1;
      const { id } = await submit({ channel }, { messages: [{ role: "user", content: channel }] });
      await ended(id);
      ids.unshift(id);
    }
    const lengths: number[] = [];
    const seen: string[] = [];
    for (let after = "", more = true; more; after = `&after=${seen.at(-1)}`) {
      const listed = await list(`?limit=100${after}`);
      lengths.push(JSON.stringify(listed).length);
      seen.push(...idsOf(listed));
      more = listed.has_more;
    }
    expect(seen).toEqual(ids);
    expect(lengths.length).toBeGreaterThan(1);
    expect(Math.max(...lengths)).toBeLessThan(16_000_000);
  });

  it("a hundred answers that no message between objects holds together are listed, some at a time", async () => {
    await ended((await submit({ channel: "c" })).id);
    await inside(mailbox("alice", "c"), (_, { storage }) => {
      const others = `WITH RECURSIVE others(n) AS (SELECT 2 UNION ALL SELECT n + 1 FROM others WHERE n < 100)
        INSERT INTO jobs (n, nonce, status, accepted_at, details, ended_at, response, log)
        SELECT others.n, nonce, status, accepted_at, details, ended_at, ?, log FROM others, jobs WHERE jobs.n = 1`;
      storage.sql.exec(others, JSON.stringify({ content: "x".repeat(400_000) }));
    });
    const first = await list("?channel=c&limit=100");
    expect(first).toMatchObject({ has_more: true, data: { length: 13 } });
    expect(idsOf(await list(`?channel=c&limit=100&after=${first.last_id}`))).toHaveLength(13);
  });

  it("20 unless told, and says when there are more", async () => {
    const jobs = [...Array(21)].map(() => job({ channel: "c" }));
    await call("POST", "/v1/jobs", { jobs });
    expect(await list()).toMatchObject({ has_more: true, data: { length: 20 } });
    expect(await list("?limit=21")).toMatchObject({ has_more: false, data: { length: 21 } });
  });

  it("has no gaps and no repeats, whatever the order of submits within the same millisecond", async () => {
    const arrival = fc.record({
      channel: fc.constantFrom(null, null, "a", "b", "z", "~".padStart(2, "ß")),
      step: fc.constantFrom(0, 0, 0, 1),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(arrival, { minLength: 1, maxLength: 30 }), fc.integer({ min: 1, max: 9 }), async (arrivals, limit) => {
        await reset();
        resetWorld();
        const ids: string[] = [];
        for (const { channel, step } of arrivals) {
          world.now += step;
          ids.push((await submit({ channel })).id);
        }
        const seen = await allPages("", limit);
        expect(seen.map(({ id }) => id).sort()).toEqual([...ids].sort());
        expect(seen.map(({ created_at }) => created_at)).toEqual(seen.map(({ created_at }) => created_at).sort((a, b) => b - a));
        for (const channel of ["a", "b"]) {
          const own = await allPages(`&channel=${channel}`, limit);
          expect(own.map(({ id }) => id)).toEqual(seen.filter((each) => each.channel === channel).map(({ id }) => id));
        }
      }),
      { numRuns: 15, seed: 1 },
    );
  });

  it("has no gaps and no repeats when the clock was set back", async () => {
    const ids: string[] = [];
    for (const step of [0, 5, -3, 0, 1, -10, 20, -5]) {
      world.now += step;
      ids.push((await submit({ channel: "c" })).id);
    }
    for (const limit of [1, 2, 3]) {
      const seen = (await allPages("&channel=c", limit)).map(({ id }) => id);
      expect(seen).toHaveLength(ids.length);
      expect(new Set(seen)).toEqual(new Set(ids));
      expect((await allPages("", limit)).map(({ id }) => id)).toEqual(seen);
    }
  });

  it("jobs that come meanwhile do not shift the pages that follow", async () => {
    const before = [];
    for (let n = 0; n < 4; n++) before.unshift((await submit()).id);
    const first = await list("?limit=2");
    world.now += 1;
    await submit();
    const second = await list(`?limit=2&after=${first.last_id}`);
    expect(new Set([...idsOf(first), ...idsOf(second)])).toEqual(new Set(before));
  });
});

describe("by status", () => {
  it("each status finds its own jobs, in channels and without", async () => {
    const want: Record<string, string[]> = {};
    for (const channel of ["c", null]) {
      const note = (status: string, { id }: Job) => {
        want[status] = [...(want[status] ?? []), id];
        return id;
      };
      await ended(note("completed", await submit({ channel })));
      world.upstream = () => refusal(400, "no");
      await ended(note("failed", await submit({ channel })));
      world.upstream = () => script().answer();
      const running = note("in_progress", await submit({ channel }));
      await until(async () => (await call("GET", `/v1/jobs/${running}`)).body.status === "in_progress");
      await call("POST", `/v1/jobs/${note("cancelled", await submit({ channel, not_before: EPOCH / 1_000 + 1e6 }))}/cancel`);
      const times = { not_before: EPOCH / 1_000 + 1, deadline: EPOCH / 1_000 + 2 };
      note("expired", await submit({ channel, ...times }));
      note("scheduled", await submit({ channel, not_before: EPOCH / 1_000 + 1e6 }));
      world.upstream = () => refusal(503, "busy", { "retry-after": "3600" });
      const retried = note("queued", await submit({ channel }));
      await until(async () => (await call("GET", `/v1/jobs/${retried}`)).body.eta?.limited_by === "retry");
      world.upstream = () => completion("ok");
    }
    await advanceTo(EPOCH + 2_000);
    await Promise.all(want.expired!.map((id) => ended(id)));
    for (const status of ["scheduled", "queued", "in_progress", "completed", "failed", "cancelled", "expired"]) {
      const page = await list(`?status=${status}`);
      expect([status, idsOf(page).sort()]).toEqual([status, want[status]!.sort()]);
      expect(page.data.every((each) => each.status === status)).toBe(true);
      expect((await allPages(`&status=${status}`, 1)).map(({ id }) => id).sort()).toEqual(want[status]!.sort());
      expect(idsOf(await list(`?status=${status}&channel=c`)).every((id) => want[status]!.includes(id))).toBe(true);
    }
  });

  it("queued jobs are those that wait for the budget", async () => {
    world.upstream = silence();
    const jobs = [...Array(600)].map(() => job({ channel: "c" }));
    await call("POST", "/v1/jobs", { jobs });
    const { depth, in_flight } = (await coordinator().inspect()).pools.find(({ id }) => id === "gpt-5-mini")!;
    expect(depth).toBeGreaterThan(0);
    expect((await allPages("&status=queued", 100)).length).toBe(depth);
    expect((await allPages("&status=in_progress", 100)).length).toBe(in_flight);
  });

  it("the few that run are found behind thousands that wait", async () => {
    world.upstream = silence();
    for (let n = 0; n < 2; n++) await call("POST", "/v1/jobs", { jobs: [...Array(1_500)].map(() => job({ channel: "c" })) });
    const { in_flight } = (await coordinator().inspect()).pools.find(({ id }) => id === "gpt-5-mini")!;
    expect(in_flight).toBeGreaterThan(100);
    expect((await allPages("&status=in_progress&channel=c", 100)).length).toBe(in_flight);
  });
});

describe("a list that cannot be", () => {
  it.each([
    ["limit=0", "limit"],
    ["limit=101", "limit"],
    ["limit=-1", "limit"],
    ["limit=1.5", "limit"],
    ["limit=1e1", "limit"],
    ["limit=x", "limit"],
    ["limit=", "limit"],
    ["status=done", "status"],
    ["status=", "status"],
    ["channel=", "channel"],
    ["channel=~0", "channel"],
    [`channel=${"x".repeat(2_000)}`, "channel"],
  ])("%s: refused", async (query, param) => {
    const { status, body } = await call<ErrorBody>("GET", `/v1/jobs?${query}`);
    expect([status, body.error?.param]).toEqual([400, param]);
  });

  it("after a job that is none, or another's: refused", async () => {
    const { id } = await submit();
    expect((await call("GET", "/v1/jobs?after=x")).status).toBe(400);
    expect((await call("GET", `/v1/jobs?after=${id}`, undefined, { key: "sk-dev-bob" })).status).toBe(400);
  });
});
