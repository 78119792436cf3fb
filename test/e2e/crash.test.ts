import { expect, test } from "vitest";
import type { Runtime } from "../../scripts/runtime.ts";
import { Chronicle } from "./support/chronicle.ts";
import { call, drained, EMPTY, each, job, ledger, listed, queue, submitAll, until } from "./support/client.ts";
import { Follower } from "./support/follower.ts";
import { callsTo, crash, enforced, pools, startAgain, startService, startSimulator, stateDirectory } from "./support/service.ts";

const JOBS = 500;
const CHANNELS = ["a", "b", "c", "d"];
/** One job in five has no channel and is not watched. */
const channelOf = (n: number) => (n % 5 === 4 ? undefined : CHANNELS[n % 5]);
const BUDGET = { rpm: 1_800, tpm: 100_000_000, burst_seconds: 4 };

function jobNumber(n: number): Record<string, unknown> {
  const channel = channelOf(n);
  const request = {
    messages: [{ role: "user", content: `Question ${n}` }],
    metadata: { simulate_key: `key-${n}`, simulate_tokens: String(40 + (n % 80)) },
  };
  // A watcher who has seen part of an answer sees a second one begin: the job must allow that.
  return job({ metadata: { n: String(n) }, ...(channel === undefined ? {} : { channel, retry: "always" }) }, request);
}

/** Submits again and again, through crashes, until the service answers: the idempotency key makes one job of all tries. */
function submitSurely(service: () => Runtime, n: number): Promise<string> {
  return until(`job ${n} to be accepted`, async () => {
    const sent = { body: jobNumber(n), headers: { "idempotency-key": `key-${n}` } };
    const answer = await call(service(), "POST", "/v1/jobs", sent).catch(() => null);
    if (answer !== null && answer.status < 500) expect(answer.status).toBe(202);
    return answer?.status === 202 && answer.body.id;
  });
}

/** Two sockets for each channel: one in the channel's mailbox, one elsewhere. */
async function followAll(service: Runtime, chronicle: Chronicle, jobs: readonly (string | undefined)[]): Promise<Follower[]> {
  const wishes = CHANNELS.flatMap((channel) => [
    { channel, near: channel },
    { channel, near: undefined },
  ]);
  return each(wishes, wishes.length, async ({ channel, near }) => {
    const follower = await Follower.connect(service, chronicle, near === undefined ? {} : { near });
    const known = jobs.filter((id, n) => id !== undefined && channelOf(n) === channel) as string[];
    await follower.subscribe({ channel, deltas: true, after: chronicle.after(known) });
    return follower;
  });
}

test("killed twice with 500 jobs queued, running and done -> every job ends once, delivered without a gap, paid for as reported", async ({
  annotate,
}) => {
  const simulator = await startSimulator(enforced(BUDGET));
  const state = stateDirectory();
  const vars = { ...callsTo(simulator), SLUICE_POOLS: pools(BUDGET) };
  const chronicle = new Chronicle();
  const ids: (string | undefined)[] = [];
  let service = await startService({ state, vars });
  const numbers = Array.from({ length: JOBS }, (_, n) => n);
  let followers = await followAll(service, chronicle, ids);
  // All in one request, so that they queue up however slow this machine is.
  const first = await submitAll(service, numbers.slice(0, 420).map(jobNumber));
  for (const [n, { id }] of first.entries()) ids[n] = id;
  await until("jobs in every state", async () => {
    const { depth, in_flight } = await queue(service);
    return chronicle.ends > 40 && in_flight > 5 && depth > 50;
  });
  // The rest is being submitted while the service dies.
  const rest = each(numbers.slice(420), 16, async (n) => {
    ids[n] = await submitSurely(() => service, n);
  });
  await crash(service);
  expect(await Promise.all(followers.map(({ closed }) => closed))).toEqual(followers.map(() => 1006));

  const endsBefore = chronicle.ends;
  service = await startAgain(service, state, vars);
  followers = await followAll(service, chronicle, ids);
  await until("the first ends after the crash", () => chronicle.ends > endsBefore + 20);
  await crash(service);

  service = await startAgain(service, state, vars);
  await rest;
  followers = await followAll(service, chronicle, ids);
  await drained(service);

  const jobs = await listed(service);
  expect([...jobs.keys()].sort()).toEqual([...(ids as string[])].sort());
  expect([...jobs.values()].filter(({ status }) => status !== "completed")).toEqual([]);
  expect(await queue(service)).toEqual(EMPTY);

  const watched = [...jobs.values()].filter(({ channel }) => channel !== null);
  await until("the last events", () => watched.every(({ id, status }) => chronicle.names(id).at(-1) === status));
  expect(chronicle.breaches).toEqual([]);
  expect(watched.flatMap((each) => chronicle.fault(each) ?? [])).toEqual([]);
  expect(followers.flatMap(({ errors }) => errors)).toEqual([]);

  const books = await ledger(simulator);
  // Checked first: a call that was refused for the rate is not an attempt, but was made, and would look unreported below.
  expect(books.rejected_429).toEqual({ requests: 0, tokens: 0 });
  const unreported = [...jobs.values()].filter((each) => {
    const calls = books.calls_by_key[`key-${each.metadata?.n}`] ?? 0;
    return calls < 1 || calls > 1 + each.possible_duplicates;
  });
  expect(unreported).toEqual([]);
  const reported = [...jobs.values()].reduce((sum, each) => sum + each.possible_duplicates, 0);
  await annotate(
    `${books.calls} calls for ${JOBS} jobs, ${books.completed} to their end, ${books.aborted} broken off; duplicates reported: ${reported}`,
  );
  await annotate(`${chronicle.received} events, ${chronicle.repeated} of them again`);
  expect(books.in_flight).toBe(0);
}, 170_000);
