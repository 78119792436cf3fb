import { expect, test } from "vitest";
import { Chronicle } from "./support/chronicle.ts";
import { call, drained, EMPTY, each, job, ledger, listed, queue, until } from "./support/client.ts";
import { Follower } from "./support/follower.ts";
import { callsTo, crash, enforced, pools, startAgain, startService, startSimulator, stateDirectory } from "./support/service.ts";

const JOBS = 300;
const CRASHES = 5;
const BUDGET = { rpm: 3_000, tpm: 100_000_000, burst_seconds: 4 };
const cancels = (n: number) => n % 10 === 3;

test("killed five times while clients submit, cancel, come and go -> the same laws hold", async ({ annotate }) => {
  const simulator = await startSimulator({ ...enforced(BUDGET), speed: 2 });
  const state = stateDirectory();
  const vars = { ...callsTo(simulator), SLUICE_POOLS: pools(BUDGET) };
  const chronicle = new Chronicle();
  const ids: string[] = [];
  const errors: string[] = [];
  let service = await startService({ state, vars });
  let over = false;

  /** Follows for a while, goes away and resumes: from the channel's mailbox or another, by channel or by job. */
  const comeAndGo = async (near: boolean, byJob: boolean) => {
    while (!over) {
      const follower = await Follower.connect(service, chronicle, near ? { near: "s" } : {}).catch(() => null);
      if (follower === null) {
        await until("the service to be back", async () => (await fetch(`${service.url}/healthz`).catch(() => null))?.ok);
        continue;
      }
      const known = Object.values(ids);
      const after = chronicle.after(known);
      const wish = byJob ? { jobs: known } : { channel: "s" };
      await Promise.race([follower.subscribe({ ...wish, after, deltas: true }), follower.closed]);
      const seen = chronicle.received;
      await until("enough of it", () => over || follower.socket.readyState !== WebSocket.OPEN || chronicle.received > seen + 400, 25).catch(
        () => {},
      );
      follower.socket.close();
      errors.push(...follower.errors);
    }
  };

  /** Calls again and again, through crashes, until the service answers. */
  const surely = (method: string, path: string, sent: Parameters<typeof call>[3]) =>
    until(`${method} ${path}`, async () => {
      const answer = await call(service, method, path, sent).catch(() => null);
      return answer !== null && answer.status < 500 && answer;
    });

  const submitting = each(
    Array.from({ length: JOBS }, (_, n) => n),
    8,
    async (n) => {
      const request = { metadata: { simulate_key: `k${n}`, simulate_tokens: "60" } };
      const body = job({ channel: "s", retry: "always", metadata: { n: String(n) } }, request);
      const accepted = await surely("POST", "/v1/jobs", { headers: { "idempotency-key": `k${n}` }, body });
      expect(accepted.status).toBe(202);
      const { id } = accepted.body;
      ids[n] = id;
      if (!cancels(n)) return;
      // Half are cancelled at once, half when they run.
      if (n % 20 === 3) await until("it to run", () => chronicle.names(id).length > 1);
      expect((await surely("POST", `/v1/jobs/${id}/cancel`, {})).status).toBe(200);
    },
  );
  const following = [comeAndGo(true, false), comeAndGo(false, false), comeAndGo(true, true), comeAndGo(false, true)];

  for (let count = 0; count < CRASHES; count++) {
    const ends = chronicle.ends;
    await until("more ends", () => chronicle.ends >= ends + 20);
    await crash(service);
    service = await startAgain(service, state, vars);
  }
  await submitting;
  await drained(service);

  const jobs = [...(await listed(service)).values()];
  expect(jobs.map(({ id }) => id).sort()).toEqual([...ids].sort());
  await until("the last events", () => jobs.every(({ id, status }) => chronicle.names(id).at(-1) === status));
  // A follower of the channel alone may have met a job halfway: this one asks for what came before.
  const last = await Follower.connect(service, chronicle);
  await last.subscribe({ jobs: ids, after: chronicle.after(ids), deltas: true });
  await until("what came before", () => jobs.every((each) => chronicle.fault(each) === null), 250).catch(() => {});
  over = true;
  await Promise.all(following);

  expect(chronicle.breaches).toEqual([]);
  expect(jobs.flatMap((each) => chronicle.fault(each) ?? [])).toEqual([]);
  expect([...errors, ...last.errors]).toEqual([]);
  // A job that was to be cancelled may have completed first.
  const wrong = jobs.filter(({ status, metadata }) => status !== "completed" && !(status === "cancelled" && cancels(Number(metadata?.n))));
  expect(wrong).toEqual([]);
  expect(await queue(service)).toEqual(EMPTY);

  const books = await ledger(simulator);
  const unreported = jobs.filter(
    ({ metadata, possible_duplicates }) => (books.calls_by_key[`k${metadata?.n}`] ?? 0) > 1 + possible_duplicates,
  );
  expect(unreported).toEqual([]);
  expect(books.rejected_429).toEqual({ requests: 0, tokens: 0 });
  const reported = jobs.reduce((sum, { possible_duplicates }) => sum + possible_duplicates, 0);
  await annotate(
    `${books.calls} calls for ${JOBS} jobs, duplicates reported: ${reported}; ${chronicle.received} events, ${chronicle.repeated} of them again`,
  );
}, 170_000);
