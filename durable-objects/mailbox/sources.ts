/**
 * The mailboxes that a lobby follows on behalf of its sockets. The lobby's own mailbox is called directly, and answers in the same turn.
 * Law: a call that was given up may still take effect. So every `unfollow` has a number, and a `follow` names the last one before it: an `unfollow` that
 * takes effect after the `follow`, but is not newer, is void. Each socket has one `follow` at a time under way to a channel, or waiting there for its turn:
 * however much one socket asks for, it takes no other's turn.
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

/** Numbers that one row write reserves; those left of them are skipped when the object dies. */
const BLOCK = 1_000;

/** `asked`: `follow` calls under way. An `unfollow` waits for them: if it overtook one, a follower without readers would stay. `users`: of this entry. */
type Site = { asked: Set<Promise<unknown>>; users: number };

export class Sources {
  readonly #desk: () => Desk;
  /** The last `follow` of each socket to each channel: what a socket asks for is answered in order. */
  readonly #tails = new Map<string, Promise<unknown>>();
  /** By channel, while somebody asks. */
  readonly #sites = new Map<string, Site>();
  readonly #asking = new Asking();
  /** Number of the last `unfollow`. */
  #left: number;
  /** Numbers are reserved up to here. */
  #limit: number;

  constructor(desk: () => Desk, store: MailboxStore) {
    this.#desk = desk;
    this.#left = store.mark("leaves");
    this.#limit = this.#left;
  }

  /** `wish` is called when it is the socket's turn, and says what is still wanted. */
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

  /** No socket of this lobby follows these targets any more. A mailbox that cannot be told finds out from the answer to its next events. */
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

  /** What was missed of a job, as much as one answer has room for. */
  async missed(job: Missing): Promise<Missed> {
    const desk = this.#desk();
    const { channel } = parseJobId(desk.address.tenant, job.id)!;
    if (this.#isHere(channel)) return missed(desk, job);
    return this.#asking.ask([`missed ${channel}`], PAGE, (room) => this.#call(channel, (stub) => stub.missed({ ...job, room })));
  }

  /** Whether the job still exists. */
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
