/**
 * The mailboxes that a lobby follows on behalf of its sockets. To this very mailbox calls are no calls at all, and are answered in the same turn.
 * Law: a call that was given up may still come about. So every `unfollow` has a number, and a `follow` says the last one before it: what comes about after a
 * `follow` that it does not know of is void.
 */
import { parseJobId } from "../../platform/ids.ts";
import { callMailbox, within } from "../../platform/objects.ts";
import type { ToldEvent } from "../../schemas/event.ts";
import type { FollowCall, Followed, MailboxRpc, Missing, UnfollowCall } from "../../schemas/rpc.ts";
import type { Desk } from "./desk.ts";
import { eventsOf, follow, missed, unfollow } from "./replay.ts";
import type { MailboxStore } from "./store/store.ts";
import { parseTarget } from "./targets.ts";

/** A mailbox that has not answered by then is asked again later. */
const ANSWER_MS = 10_000;

/** Numbers that are set aside by one row written, and skipped when the object dies. */
const BLOCK = 1_000;

export class Sources {
  readonly #desk: () => Desk;
  /**
   * The last call under way to each channel. They go one after another: an `unfollow` for who has left must not overtake, nor be overtaken by, the
   * `follow` for who comes.
   */
  readonly #tails = new Map<string, Promise<unknown>>();

  /** Number of the last `unfollow`. */
  #left: number;
  /** Set aside up to here. */
  #limit: number;

  constructor(desk: () => Desk, store: MailboxStore) {
    this.#desk = desk;
    this.#left = store.mark("leaves");
    this.#limit = this.#left;
  }

  async follow(channel: string, call: FollowCall): Promise<Followed> {
    if (this.#isHere(channel)) return follow(this.#desk(), call);
    const leaves = this.#left;
    return this.#inTurn(channel, (stub) => stub.follow({ ...call, leaves }));
  }

  /** Nobody of this lobby follows these targets any more. A mailbox that is not told finds out by the answer to what it sends. */
  async leave(targets: string[]): Promise<void> {
    const { address } = this.#desk();
    const calls = new Map<string, UnfollowCall>();
    for (const target of targets) {
      const { channel, job } = parseTarget(address.tenant, target);
      const call = calls.get(channel) ?? { lobby: address, channel: false, jobs: [] };
      if (job) call.jobs.push(job);
      else call.channel = true;
      calls.set(channel, call);
    }
    const told = [...calls].map(async ([channel, call]) => {
      if (this.#isHere(channel)) return unfollow(this.#desk(), call);
      const leave = this.#number();
      await this.#inTurn(channel, (stub) => stub.unfollow({ ...call, leave }));
    });
    await Promise.allSettled(told);
  }

  /** What was missed of a job. */
  async missed(job: Missing): Promise<ToldEvent[]> {
    const desk = this.#desk();
    const { tenant } = desk.address;
    const { channel } = parseJobId(tenant, job.id)!;
    if (this.#isHere(channel)) return missed(desk, [job]);
    return within(
      ANSWER_MS,
      callMailbox(desk.env, { tenant, channel }, (stub) => stub.missed([job])),
    );
  }

  /** Whether there is such a job, or not any more. */
  async has(id: string): Promise<boolean> {
    const desk = this.#desk();
    const { tenant } = desk.address;
    const { channel } = parseJobId(tenant, id)!;
    const nothing = Number.MAX_SAFE_INTEGER;
    if (this.#isHere(channel)) return eventsOf(desk, id, nothing, false) !== null;
    const asked = callMailbox(desk.env, { tenant, channel }, (stub) => stub.events(id, nothing, false));
    return (await within(ANSWER_MS, asked)) !== null;
  }

  #number(): number {
    if (this.#left === this.#limit) {
      this.#limit += BLOCK;
      this.#desk().store.putMark("leaves", this.#limit);
    }
    return ++this.#left;
  }

  #isHere(channel: string): boolean {
    return channel === this.#desk().address.channel;
  }

  async #inTurn<T>(channel: string, call: (stub: MailboxRpc) => Promise<T>): Promise<T> {
    const { address, env } = this.#desk();
    const before = this.#tails.get(channel) ?? Promise.resolve();
    const done = before.catch(() => {}).then(() => within(ANSWER_MS, callMailbox(env, { tenant: address.tenant, channel }, call)));
    this.#tails.set(channel, done);
    try {
      return await done;
    } finally {
      if (this.#tails.get(channel) === done) this.#tails.delete(channel);
    }
  }
}
