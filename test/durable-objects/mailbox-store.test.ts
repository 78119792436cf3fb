/** What a mailbox's store knows without asking storage, compared with what a newly opened store reads. */
import { reset } from "cloudflare:test";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type JobRow, MailboxStore } from "../../durable-objects/mailbox/store/store.ts";
import { UNBORN } from "../../durable-objects/mailbox/view.ts";
import { Sql } from "../../platform/sql.ts";
import { inside, mailbox } from "../support/service.ts";
import { resetWorld } from "../support/world.ts";

beforeEach(resetWorld);
afterEach(reset);

const row = (n: number, more: Partial<JobRow> = {}): JobRow => ({
  ...UNBORN,
  n,
  nonce: `nonce${n}`,
  accepted_at: 1_000,
  model: "m",
  pool: "p",
  priority: 0,
  tokens: 5,
  not_before: null,
  deadline: null,
  retry: "safe",
  metadata: null,
  idempotency_key: null,
  ...more,
});
const job = (n: number, more: Partial<JobRow> = {}) => ({ row: row(n, more), request: `{"n":${n}}` });
type Job = ReturnType<typeof job>;

/** Gives `work` a store; `fresh` opens another one on the same storage. */
async function stores<T>(work: (store: MailboxStore, fresh: () => MailboxStore) => T): Promise<T> {
  return inside(mailbox("alice", "c"), (_, state) => {
    const open = () => new MailboxStore(new Sql(state.storage));
    return work(open(), open);
  });
}

function put(store: MailboxStore, jobs: Job[]): void {
  store.insert(jobs);
  store.inserted(jobs);
}

describe("jobs that came together", () => {
  const others: Partial<JobRow>[] = [
    { tokens: 6 },
    { metadata: { a: "1" } },
    { webhook: "https://example.com/" },
    { prompt: 3, open: { choices: 1, each: 9 } },
    { place: 7, doubtful: true },
    { timeouts: { idle: 1 }, batch: { line: 1, customId: "x" } },
    { call: { body: "b", retried: false, stream: true, onDisconnect: "keep" } },
    { idempotency_key: "k", not_before: 5, deadline: 9 },
  ];
  it.each([
    ["that are all alike", Array.from({ length: 43 }, (_, at) => job(at + 1))],
    ["each other than the one before", others.flatMap((more, at) => [job(2 * at + 1), job(2 * at + 2, more)])],
    ["of which the last is other", [...Array.from({ length: 31 }, (_, at) => job(at + 1)), job(32, { metadata: {} })]],
  ])("%s are written each as it is", async (_, jobs) => {
    const read = await stores((store, fresh) => {
      store.insert(jobs);
      return jobs.map(({ row }) => ({ row: fresh().job(row.n), request: fresh().text(row.n, "request") }));
    });
    expect(read).toEqual(jobs);
  });
});

describe("a job that has just come in", () => {
  const agree = (store: MailboxStore, fresh: MailboxStore, n: number) => {
    expect(store.job(n)).toEqual(fresh.job(n));
    for (const kind of ["request", "response"] as const) expect(store.text(n, kind)).toEqual(fresh.text(n, kind));
    expect(store.deltas.counts(n, 1)).toEqual(fresh.deltas.counts(n, 1));
    expect(store.deltas.attemptBefore(n, 2)).toEqual(fresh.deltas.attemptBefore(n, 2));
  };

  it("is what storage says of it, whatever is done to it", async () => {
    await stores((store, fresh) => {
      put(store, [job(1), job(2)]);
      const changed = store.job(1)!;
      changed.attempt = 3;
      // Not written, so no other store sees it.
      agree(store, fresh(), 1);
      store.update(changed);
      agree(store, fresh(), 1);
      store.deltas.add(1, 2, 1, [], undefined);
      agree(store, fresh(), 1);
      store.end({ ...changed, status: "completed", ended_at: 2_000 }, "{}");
      agree(store, fresh(), 1);
      store.deltas.forget(1);
      agree(store, fresh(), 1);
      agree(store, fresh(), 2);
      store.remove(2);
      agree(store, fresh(), 2);
      expect(store.job(2)).toBeNull();
    });
  });

  it("is not known if its writing was undone, nor as it was not written in the end", async () => {
    await stores((store, fresh) => {
      const undone = (work: () => void) =>
        expect(() =>
          store.sql.transaction(() => {
            work();
            throw new Error("undone");
          }),
        ).toThrow("undone");
      undone(() => store.insert([job(1)]));
      agree(store, fresh(), 1);
      put(store, [job(1)]);
      undone(() => store.end({ ...row(1), status: "cancelled", ended_at: 2_000 }, null));
      agree(store, fresh(), 1);
      expect(store.job(1)!.status).toBe("queued");
    });
  });

  it("so also when many came after it, and of requests that are long", async () => {
    await stores((store, fresh) => {
      const long = { ...job(1), request: "x".repeat(150_000) };
      put(store, [long]);
      for (let n = 2; n < 200; n++) put(store, [job(n)]);
      put(
        store,
        Array.from({ length: 100 }, (_, at) => job(200 + at)),
      );
      for (const n of [1, 2, 150, 199, 200, 299]) agree(store, fresh(), n);
    });
  });
});
