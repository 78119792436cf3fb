/**
 * The mailboxes that a lobby follows on behalf of its sockets. To this very mailbox calls are no calls at all, and are answered in the same turn.
 * Law: a call that was given up may still come about. So every `unfollow` has a number, and a `follow` says the last one before it: what comes about after a
 * `follow` that it does not know of is void. Of each socket one `follow` at a time is under way to a channel, or waits there for its turn: however
 * much one asks for, it takes no other's.
 */
import { parseJobId } from "../../platform/ids.ts";
import { callMailbox, within } from "../../platform/objects.ts";
import type { FollowCall, Followed, MailboxRpc, Missed, Missing, UnfollowCall } from "../../schemas/rpc.ts";
import { Asking } from "./asking.ts";
import type { Desk } from "./desk.ts";
import { eventsOf, FOLLOWED, follow, missed, PAGE, unfollow } from "./replay.ts";
import type { MailboxStore } from "./store/store.ts";
import { parseTarget } from "./targets.ts";

/** A mailbox that has not answered by then is asked again later. */
const ANSWER_MS = 10_000;

/** Numbers that are set aside by one row written, and skipped when the object dies. */
const BLOCK = 1_000;

/** `asked`: what is under way. An `unfollow` waits for it: one that overtook its `follow` would leave a follower that nobody is. `users`: of the site. */
type Site = { asked: Set<Promise<unknown>>; users: number };

export class Sources {
  readonly #desk: () => Desk;
  /** The last to follow, by channel and socket: what a socket asks for is answered in order. */
  readonly #tails = new Map<string, Promise<unknown>>();
  /** By channel, while somebody asks. */
  readonly #sites = new Map<string, Site>();
  readonly #asking = new Asking();
  /** Number of the last `unfollow`. */
  #left: number;
  /** Set aside up to here. */
  #limit: number;

  constructor(desk: () => Desk, store: MailboxStore) {
    this.#desk = desk;
    this.#left = store.mark("leaves");
    this.#limit = this.#left;
  }

  /** `wish`: what is still wanted, when it is the socket's turn. */
  async follow(channel: string, socketId: string, wish: () => FollowCall): Promise<Followed> {
    if (this.#isHere(channel)) return follow(this.#desk(), wish());
    const turn = `${socketId} ${channel}`;
    const before = this.#tails.get(turn) ?? Promise.resolve();
    const done = before.catch(() => {}).then(() => this.#inTurn(channel, socketId, wish));
    this.#tails.set(turn, done);
    try {
      return await done;
    } finally {
      if (this.#tails.get(turn) === done) this.#tails.delete(turn);
    }
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
      await Promise.allSettled(this.#sites.get(channel)?.asked ?? []);
      await this.#call(channel, (stub) => stub.unfollow({ ...call, leave }));
    });
    await Promise.allSettled(told);
  }

  /** What was missed of a job, as far as one answer has room. */
  async missed(job: Missing): Promise<Missed> {
    const desk = this.#desk();
    const { channel } = parseJobId(desk.address.tenant, job.id)!;
    if (this.#isHere(channel)) return missed(desk, job);
    return this.#asking.ask([`missed ${channel}`], PAGE, (room) => this.#call(channel, (stub) => stub.missed({ ...job, room })));
  }

  /** Whether there is such a job, or not any more. */
  async has(id: string): Promise<boolean> {
    const desk = this.#desk();
    const { channel } = parseJobId(desk.address.tenant, id)!;
    if (this.#isHere(channel)) return eventsOf(desk, id, 0, false, 0) !== null;
    return (await this.#call(channel, (stub) => stub.events(id, 0, false, 0))) !== null;
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

  async #inTurn(channel: string, socketId: string, wish: () => FollowCall): Promise<Followed> {
    const site = this.#sites.get(channel) ?? { asked: new Set(), users: 0 };
    this.#sites.set(channel, site);
    site.users++;
    try {
      const ways = [`socket ${socketId}`, `follow ${channel}`];
      return await this.#asking.ask(ways, FOLLOWED, (room) => this.#ask(channel, site, { ...wish(), room }));
    } finally {
      if (--site.users === 0) this.#sites.delete(channel);
    }
  }

  async #ask(channel: string, { asked }: Site, call: FollowCall): Promise<Followed> {
    // Nothing of it is wanted any more.
    if (!call.channel && call.jobs.length === 0) return { events: [], missing: [] };
    const leaves = this.#left;
    const answer = this.#call(channel, (stub) => stub.follow({ ...call, leaves }));
    asked.add(answer);
    try {
      return await answer;
    } finally {
      asked.delete(answer);
    }
  }

  #call<T>(channel: string, call: (stub: MailboxRpc) => Promise<T>): Promise<T> {
    const { address, env } = this.#desk();
    return within(ANSWER_MS, callMailbox(env, { tenant: address.tenant, channel }, call));
  }
}
