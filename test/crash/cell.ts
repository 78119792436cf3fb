/** One cell of the crash matrix: jobs are submitted, objects die once at a given step, and afterwards the books are audited. */
import { runDurableObjectAlarm } from "cloudflare:test";
import { expect } from "vitest";
import type { Job } from "../../schemas/job.ts";
import type { QueueState } from "../../schemas/queue.ts";
import { advanceTo, call, coordinator, crash, dispatcher, job, mailbox, story, ticketRows, until } from "../support/service.ts";
import { connect } from "../support/socket.ts";
import { kill, type Moment, type Stand, standAt } from "../support/stand.ts";
import { completion, refusal, world } from "../support/world.ts";

export const CHANNEL = "c";
const KEYS = ["one", "two", "three"];

export type Victim = "all objects" | "the one that is called" | "the one that calls";
export type Step = {
  method: string;
  name?: string;
  called: () => DurableObjectStub;
  caller: () => DurableObjectStub;
  /** How upstream refuses the nth call for a job, from 1; null: it answers. */
  upstream?: (nth: number) => Response | null;
  /** A client watches the channel, with deltas. */
  watched?: boolean;
  /** Upstream is called before the crash, where that is possible, and answers only after it. */
  slow?: boolean;
  /** How the jobs end. */
  end?: "completed" | "failed";
};

const theMailbox = () => mailbox("alice", CHANNEL);
const theDispatcher = () => dispatcher();
const theCoordinator = () => coordinator();

/** Every method by which objects talk to each other about a job. */
export const STEPS: Step[] = [
  { method: "coordinator.enqueue", called: theCoordinator, caller: theMailbox },
  { method: "dispatcher.start", called: theDispatcher, caller: theCoordinator },
  { method: "dispatcher.start", name: "dispatcher.start, upstream is slow", called: theDispatcher, caller: theCoordinator, slow: true },
  { method: "mailbox.open", called: theMailbox, caller: theDispatcher },
  { method: "mailbox.append", called: theMailbox, caller: theDispatcher, watched: true },
  { method: "mailbox.commit", called: theMailbox, caller: theDispatcher },
  { method: "coordinator.heartbeat", called: theCoordinator, caller: theDispatcher, slow: true },
  { method: "coordinator.settle", called: theCoordinator, caller: theDispatcher },
  {
    method: "mailbox.judge",
    name: "mailbox.judge, another attempt",
    called: theMailbox,
    caller: theCoordinator,
    upstream: (nth) => (nth === 1 ? refusal(500, "broken", {}, "server_error") : null),
  },
  {
    method: "mailbox.judge",
    name: "mailbox.judge, the end",
    called: theMailbox,
    caller: theCoordinator,
    upstream: () => refusal(400, "broken"),
    end: "failed",
  },
];

/** What upstream saw and said, by job. */
type Ledger = Map<string, { calls: number; refused: number; answers: string[] }>;

function keepLedger(step: Step, stand: Stand): Ledger {
  const ledger: Ledger = new Map(KEYS.map((key) => [key, { calls: 0, refused: 0, answers: [] }]));
  const { calls: age } = world;
  world.upstream = async ({ body }) => {
    const [{ content: key }] = body.messages as [{ content: string }];
    const entry = ledger.get(key)!;
    const nth = ++entry.calls;
    // Polls until the stand is left, because one object must not settle another's promise.
    while (step.slow && !stand.left && world.calls === age) await scheduler.wait(2);
    const refused = step.upstream?.(nth) ?? null;
    if (refused) {
      entry.refused++;
      return refused;
    }
    const answer = `answer ${nth} to ${key}`;
    entry.answers.push(answer);
    return completion(answer);
  };
  return ledger;
}

/** Moves the clock and rings alarms until nothing is left to do. */
async function settled(): Promise<void> {
  await until(async () => {
    await advanceTo(world.now + 2_000);
    await runDurableObjectAlarm(theMailbox());
    const { pools } = await queue();
    return pools.every((each) => each.depth + each.in_flight + each.scheduled === 0) && (await ticketRows()) === 0;
  });
  await until(async () => (await dispatcher().report()).held.length === 0);
}

const queue = async () => (await call<QueueState>("GET", "/v1/queue", undefined, { key: "sk-dev-operator" })).body;
const jobs = async () => (await call<{ data: Job[] }>("GET", `/v1/jobs?channel=${CHANNEL}&limit=100`)).body.data;

export async function dieAt(step: Step, moment: Moment, victim: Victim): Promise<void> {
  // Leases must not run out while the clock is moved and their dispatchers are alive.
  world.heartbeatMs = 10;
  const stand = standAt(step.method, moment);
  const ledger = keepLedger(step, stand);
  if (step.watched) await (await connect()).subscribe({ channel: CHANNEL, deltas: true });

  const submissions = KEYS.map((key) =>
    job({ channel: CHANNEL, retry: "always", metadata: { key } }, { messages: [{ role: "user", content: key }] }),
  );
  const asked = call<{ data: Job[] }>("POST", "/v1/jobs", { jobs: submissions });
  await until(() => stand.reached);
  const starting = step.method === "dispatcher.start" && moment === "before it runs";
  if (step.slow && !starting) await until(() => world.calls.length === KEYS.length);
  if (victim === "all objects") await crash();
  else await kill(victim === "the one that is called" ? step.called() : step.caller());
  stand.go();

  const { status, body } = await asked;
  expect(status).toBe(202);
  const accepted = body.data.map(({ id }) => id);
  expect(accepted.filter(Boolean)).toHaveLength(KEYS.length);
  await settled();

  const all = await jobs();
  expect(all.map(({ id }) => id).sort()).toEqual([...accepted].sort());
  for (const each of all) await audit(each, ledger.get(each.metadata!.key!)!, step.end ?? "completed");
  for (const pool of (await queue()).pools) expect(pool).toMatchObject({ in_flight: 0, depth: 0, scheduled: 0, tenants: [] });
}

/** Checks that the job ended once, with one of upstream's answers, and that it reports every call. */
async function audit(job: Job, seen: { calls: number; refused: number; answers: string[] }, end: Job["status"]): Promise<void> {
  const { body: whole } = await call("GET", `/v1/jobs/${job.id}`);
  expect(whole.status).toBe(end);
  const ends = (await story(job.id)).filter((event) => ["completed", "failed", "cancelled", "expired"].includes(event));
  expect(ends).toEqual([end]);
  if (end === "completed") {
    const { choices } = whole.response as { choices: { message: { content: string } }[] };
    expect(seen.answers).toContain(choices[0]!.message.content);
  } else {
    expect(whole.error).toMatchObject({ code: "broken" });
  }
  expect(seen.calls).toBeGreaterThanOrEqual(1);
  expect(seen.calls).toBeLessThanOrEqual(whole.attempts);
  const surely = seen.refused + (end === "completed" ? 1 : 0);
  expect(seen.calls - surely).toBeLessThanOrEqual(whole.possible_duplicates);
}
