/** The coordinator alone: the test plays its mailboxes and dispatchers. */
import type { Held, Lease, Outcome, Ticket, Verdict } from "../../schemas/rpc.ts";
import { advanceTo, coordinator, inside } from "./service.ts";
import { world } from "./world.ts";

export const MAILBOX = { tenant: "alice", channel: "c" };
export const problem = { status: 500, type: "server_error", code: "broken", message: "upstream broke", param: null };

export const retryable = (unknown = false): Outcome => ({ kind: "retryable", unknown, retryAfterMs: null, problem });
export const committed: Outcome = { kind: "committed", usage: null };
export const fatal: Outcome = { kind: "fatal", problem };

/** Stands in for all dispatchers and mailboxes: records what the coordinator tells them. */
export function playAll() {
  const played = {
    /** Leases that were handed out, with the time. */
    starts: [] as (Lease & { at: number })[],
    verdicts: [] as Verdict[],
    /** The incarnation that dispatchers answer with. */
    boot: "first",
    /** If true, mailboxes do not answer. */
    deaf: false,
    /** What dispatchers say they hold when asked; null: they do not answer. */
    held: null as Held[] | null,
    asked: 0,
    jobs: () => played.starts.map(({ job }) => job),
    verdictsOn: (job: string) => played.verdicts.filter((each) => each.job === job).map(({ kind }) => kind),
  };
  world.between.set("dispatcher.start", async (_, args) => {
    for (const lease of args[0] as Lease[]) played.starts.push({ ...lease, at: world.now });
    return { boot: played.boot };
  });
  world.between.set("dispatcher.report", async () => {
    played.asked++;
    if (!played.held) throw new Error("silent");
    return { boot: played.boot, held: played.held };
  });
  world.between.set("mailbox.judge", async (_, args) => {
    played.verdicts.push(...(args[0] as Verdict[]));
    if (played.deaf) throw new Error("deaf");
    return (args[0] as Verdict[]).map(() => null);
  });
  return played;
}

export const ticket = (job: string, more: Partial<Ticket> = {}): Ticket => ({
  ...{ job, pool: "gpt-5-mini", priority: 0, tokens: 20, acceptedAt: world.now, notBefore: null, deadline: null },
  ...more,
});

export const enqueue = (tickets: Ticket[], mailbox = MAILBOX) => coordinator().enqueue(mailbox, tickets);

/** The leased dispatcher reports how an attempt ended. */
export async function settle(job: string, attempt: number, outcome: Outcome, boot = "first"): Promise<void> {
  const [place] = await coordinator().locate([job]);
  const settlements = [{ job, attempt, outcome, headersMs: null }];
  await coordinator().settle({ dispatcher: place?.held?.dispatcher ?? "disp-wnam-00", boot, settlements });
}

/** Lets time pass with the coordinator awake throughout: it checks its leases as often as it means to. */
export async function passesTo(at: number): Promise<void> {
  for (let next = world.now + 10_000; next < at; next += 10_000) await advanceTo(next);
  await advanceTo(at);
}

/** When the coordinator's alarm rings, ms; null if it is not set. */
export const alarm = () => inside(coordinator(), (_, state) => state.storage.getAlarm());

/** Lets time pass and ends each call as soon as it starts, with the outcome that `answer` gives; counts the outcomes. */
export function player(played: ReturnType<typeof playAll>) {
  let heard = 0;
  return async (until: number, answer: (at: number) => Outcome): Promise<{ refused: number; taken: number }> => {
    const count = { refused: 0, taken: 0 };
    for (; world.now <= until; await advanceTo(world.now + 500)) {
      for (; heard < played.starts.length; heard++) {
        const { attempt, job } = played.starts[heard]!;
        const outcome = answer(world.now);
        count[outcome.kind === "committed" ? "taken" : "refused"]++;
        await settle(job, attempt, outcome);
      }
    }
    return count;
  };
}
