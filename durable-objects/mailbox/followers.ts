/**
 * Who is told of this mailbox's events. A client's socket may live in another mailbox (its lobby); the lobby follows here.
 * Law: to each lobby events go in order, and a job's follower is forgotten only when the end has reached it.
 */
import { parseMailboxName } from "../../platform/mailboxes.ts";
import { callMailbox, type Env } from "../../platform/objects.ts";
import { isEnd } from "../../policy/lifecycle.ts";
import type { JobEvent } from "../../schemas/event.ts";
import type { MailboxAddress } from "../../schemas/rpc.ts";
import type { MailboxStore } from "./store/store.ts";

/** In place of a job's number: every job of the mailbox. */
export const WHOLE_CHANNEL = 0;

export class Followers {
  /** lobby name -> whether it wants deltas, by target */
  readonly #byTarget = new Map<number, Map<string, boolean>>();
  /** The last message under way to each lobby: the next waits for it. */
  readonly #tails = new Map<string, Promise<number | null>>();
  readonly #store: MailboxStore;
  readonly #env: Env;
  readonly #self: MailboxAddress;
  readonly #deliver: (events: JobEvent[]) => number;

  /** `deliver` hands events to the sockets of this very object, and answers to how many. */
  constructor(store: MailboxStore, env: Env, self: MailboxAddress, deliver: (events: JobEvent[]) => number) {
    this.#store = store;
    this.#env = env;
    this.#self = self;
    this.#deliver = deliver;
    for (const row of store.followers()) this.#remember(row.target, row.lobby, row.deltas === 1);
  }

  watched(n: number): boolean {
    return this.#byTarget.has(WHOLE_CHANNEL) || this.#byTarget.has(n);
  }

  wantsDeltas(n: number): boolean {
    return [...this.#lobbies(n).values()].some((deltas) => deltas);
  }

  /** Answers whether that is new. */
  add(target: number, lobby: string, deltas: boolean): boolean {
    const before = this.#byTarget.get(target)?.get(lobby);
    const wanted = deltas || before === true;
    if (before === wanted) return false;
    this.#remember(target, lobby, wanted);
    this.#store.putFollower({ target, lobby, deltas: wanted ? 1 : 0 });
    return true;
  }

  remove(target: number, lobby: string): void {
    const lobbies = this.#byTarget.get(target);
    if (!lobbies?.delete(lobby)) return;
    if (lobbies.size === 0) this.#byTarget.delete(target);
    this.#store.dropFollower(target, lobby);
  }

  /** Tells all who follow this job. Resolves when every lobby has the event, or cannot be reached, with the number of sockets that it goes to. */
  async tell(n: number, event: JobEvent): Promise<number> {
    const told = [...this.#lobbies(n)].map(async ([lobby, deltas]) => {
      if (event.event === "delta" && !deltas) return 0;
      const readers = await this.#send(lobby, event);
      if (readers !== null && isEnd(event.event)) this.remove(n, lobby);
      return readers ?? 0;
    });
    return (await Promise.all(told)).reduce((sum, readers) => sum + readers, 0);
  }

  #lobbies(n: number): Map<string, boolean> {
    const lobbies = new Map(this.#byTarget.get(WHOLE_CHANNEL));
    for (const [lobby, deltas] of this.#byTarget.get(n) ?? []) lobbies.set(lobby, deltas || lobbies.get(lobby) === true);
    return lobbies;
  }

  /** Answers how many sockets of the lobby it goes to; null if the lobby does not have it. */
  #send(lobby: string, event: JobEvent): Promise<number | null> {
    const address = parseMailboxName(lobby);
    if (address.tenant === this.#self.tenant && address.channel === this.#self.channel) {
      return Promise.resolve(this.#deliver([event]));
    }
    const sent: Promise<number | null> = (this.#tails.get(lobby) ?? Promise.resolve(null))
      .then(() => callMailbox(this.#env, address, (stub) => stub.relay(this.#self, [event])))
      // The client resumes by seq; a lobby that cannot be reached must not hold the others up.
      .catch(() => null);
    this.#tails.set(lobby, sent);
    return sent.finally(() => {
      if (this.#tails.get(lobby) === sent) this.#tails.delete(lobby);
    });
  }

  #remember(target: number, lobby: string, deltas: boolean): void {
    const lobbies = this.#byTarget.get(target) ?? new Map<string, boolean>();
    this.#byTarget.set(target, lobbies.set(lobby, deltas));
  }
}
