/**
 * The sockets that live in this mailbox, and what each subscribes to. Subscriptions are in SQLite, so that hibernation loses
 * nothing. Law: on one socket the events of a job go out in the order of their seq, none twice.
 */
import { parseJobId } from "../../platform/ids.ts";
import { callMailbox } from "../../platform/objects.ts";
import { isEnd } from "../../policy/lifecycle.ts";
import type { JobEvent } from "../../schemas/event.ts";
import type { FollowCall, Followed, MailboxAddress } from "../../schemas/rpc.ts";
import type { ClientFrame } from "../../schemas/socket.ts";
import type { Desk } from "./desk.ts";
import { notFound, parseFrame, send } from "./frames.ts";
import { endPass, isOver, within } from "./passes.ts";
import { follow, unfollow } from "./replay.ts";
import { grantOf } from "./sockets.ts";
import type { SubscriptionRow } from "./store/store.ts";
import { channelTarget, jobTarget, parseTarget } from "./targets.ts";

type Subscription = {
  deltas: boolean;
  /** Frames of which the past is being fetched. */
  pending: number;
  /** Events that arrived meanwhile. */
  held: JobEvent[];
};

/** The last seq that a socket was sent of a job, and whether deltas were among what it was sent. */
type Sent = { seq: number; deltas: boolean };

/** Jobs of which a socket's last seq is remembered. */
const JOBS_REMEMBERED = 2_000;

export class Lobby {
  readonly #desk: () => Desk;
  readonly #socketsOf: (id: string) => WebSocket[];
  /** target -> socket id -> subscription */
  readonly #targets = new Map<string, Map<string, Subscription>>();
  /** socket id -> job. Forgotten with the object: a client may then see an event again, and knows it by its seq. */
  readonly #sent = new Map<string, Map<string, Sent>>();
  /** The last call under way to each channel. */
  readonly #tails = new Map<string, Promise<unknown>>();

  constructor(desk: () => Desk, socketsOf: (id: string) => WebSocket[], rows: SubscriptionRow[]) {
    this.#desk = desk;
    this.#socketsOf = socketsOf;
    for (const row of rows) this.#subscribed(row.socket, row.target, row.deltas === 1);
  }

  /** A frame from a client. Never throws for what a client sent. */
  async receive(socket: WebSocket, socketId: string, message: string | ArrayBuffer): Promise<void> {
    const grant = grantOf(socket);
    if (isOver(grant, this.#desk().now())) {
      endPass(socket);
      return this.leave(socketId);
    }
    const frame = parseFrame(message);
    if (!frame.ok) return send(socket, { type: "error", error: { code: "invalid_frame", message: frame.message, param: null } });
    switch (frame.value.type) {
      case "subscribe": {
        const { frame: allowed, refused } = within(grant, this.#desk().address.tenant, frame.value);
        for (const each of refused) send(socket, each);
        return this.#subscribe(socket, socketId, allowed);
      }
      case "unsubscribe":
        return this.#unsubscribe(socket, socketId, frame.value);
      case "ack":
        return;
    }
  }

  /** Events of one followed mailbox. */
  deliver(from: MailboxAddress, events: JobEvent[]): void {
    for (const event of events) {
      const sockets = [channelTarget(from.channel), jobTarget(event.job)].flatMap((target) => [
        ...(this.#targets.get(target)?.keys() ?? []),
      ]);
      for (const socketId of new Set(sockets)) this.#pass(socketId, from.channel, event);
      if (isEnd(event.event)) this.#forgetJob(event.job);
    }
  }

  /** The socket is gone. */
  async leave(socketId: string): Promise<void> {
    const targets = [...this.#targets].filter(([, sockets]) => sockets.has(socketId)).map(([target]) => target);
    this.#sent.delete(socketId);
    await this.#drop(socketId, targets);
  }

  /** At wake: a crash or a deploy closes sockets without a word, and their subscriptions would stay for ever. */
  async leaveLost(): Promise<void> {
    const known = new Set([...this.#targets.values()].flatMap((sockets) => [...sockets.keys()]));
    await Promise.all([...known].filter((id) => this.#socketsOf(id).length === 0).map((id) => this.leave(id)));
  }

  async #subscribe(socket: WebSocket, socketId: string, frame: Extract<ClientFrame, { type: "subscribe" }>): Promise<void> {
    const { address } = this.#desk();
    const deltas = frame.deltas ?? false;
    const after = frame.after ?? {};
    const calls = new Map<string, FollowCall>();
    const call = (channel: string) => {
      const known = calls.get(channel) ?? { lobby: address, channel: false, jobs: [], after: {}, deltas };
      calls.set(channel, known);
      return known;
    };
    const missing: string[] = [];
    for (const id of frame.jobs ?? []) {
      const name = parseJobId(address.tenant, id);
      if (name) call(name.channel).jobs.push({ id, after: after[id] ?? null });
      else missing.push(id);
    }
    if (frame.channel) {
      const whole = call(frame.channel);
      whole.channel = true;
      whole.after = after;
    }
    // Answered first: the events that follow belong to it.
    const jobs = (frame.jobs ?? []).filter((id) => !missing.includes(id));
    send(socket, { type: "subscribed", jobs, channel: frame.channel ?? null, deltas });
    for (const id of missing) send(socket, notFound(id));
    await Promise.all([...calls].map(([channel, each]) => this.#follow(socket, socketId, channel, each)));
  }

  async #follow(socket: WebSocket, socketId: string, channel: string, call: FollowCall): Promise<void> {
    const targets = [...call.jobs.map(({ id }) => jobTarget(id)), ...(call.channel ? [channelTarget(channel)] : [])];
    for (const target of targets) {
      this.#subscribed(socketId, target, call.deltas).pending++;
      this.#desk().store.putSubscription({ socket: socketId, target, deltas: call.deltas ? 1 : 0 });
    }
    let followed: Followed;
    try {
      followed = await this.#ask(channel, call);
    } catch {
      // What was held belongs to other subscriptions too.
      for (const target of targets) this.#goLive(socketId, channel, target);
      await this.#drop(socketId, targets);
      const message = "Subscribe again: the mailbox could not be reached.";
      return send(socket, { type: "error", error: { code: "unavailable", message, param: channel } });
    }
    for (const id of followed.missing) send(socket, notFound(id));
    this.#startFrom(socketId, call);
    for (const event of followed.events) {
      const asked = [jobTarget(event.job), channelTarget(channel)].filter((target) => targets.includes(target));
      if (asked.some((target) => this.#targets.get(target)?.has(socketId))) this.#sendOnce(socketId, call.deltas, event);
    }
    const live = targets.flatMap((target) => this.#goLive(socketId, channel, target));
    const over = [...followed.missing, ...[...followed.events, ...live].filter(({ event }) => isEnd(event)).map(({ job }) => job)];
    await this.#drop(socketId, over.map(jobTarget));
  }

  /**
   * Calls to one mailbox go one after another: an `unfollow` for who has left must not overtake, nor be overtaken by, the `follow` for
   * who comes. To this very mailbox they are no calls at all.
   */
  async #ask(channel: string, call: FollowCall): Promise<Followed> {
    const desk = this.#desk();
    if (channel === desk.address.channel) return follow(desk, call);
    return this.#inTurn(channel, () => callMailbox(desk.env, { tenant: desk.address.tenant, channel }, (stub) => stub.follow(call)));
  }

  async #inTurn<T>(channel: string, work: () => Promise<T>): Promise<T> {
    const before = this.#tails.get(channel) ?? Promise.resolve();
    const done = before.catch(() => {}).then(work);
    this.#tails.set(channel, done);
    try {
      return await done;
    } finally {
      if (this.#tails.get(channel) === done) this.#tails.delete(channel);
    }
  }

  /** Who names a job says what it has of it, and is sent the rest, whatever went over this socket before. */
  #startFrom(socketId: string, { after, deltas, jobs }: FollowCall): void {
    const sent = this.#sent.get(socketId) ?? new Map<string, Sent>();
    this.#sent.set(socketId, sent);
    for (const [job, seq] of Object.entries(after)) sent.set(job, { seq, deltas });
    for (const { id, after: seq } of jobs) sent.set(id, { seq: seq ?? 0, deltas });
  }

  /** The past of a target was sent; what was held meanwhile follows, and is answered. */
  #goLive(socketId: string, channel: string, target: string): JobEvent[] {
    const subscription = this.#targets.get(target)?.get(socketId);
    if (!subscription || --subscription.pending > 0) return [];
    const held = subscription.held.splice(0);
    for (const event of held) this.#pass(socketId, channel, event);
    return held;
  }

  /** An event to a socket, by whichever of its subscriptions. While one of them waits for the past, nothing overtakes it. */
  #pass(socketId: string, channel: string, event: JobEvent): void {
    const own = [jobTarget(event.job), channelTarget(channel)].flatMap((target) => this.#targets.get(target)?.get(socketId) ?? []);
    const waiting = own.find(({ pending }) => pending > 0);
    if (waiting) waiting.held.push(event);
    else if (own.length > 0)
      this.#sendOnce(
        socketId,
        own.some(({ deltas }) => deltas),
        event,
      );
  }

  #sendOnce(socketId: string, deltas: boolean, event: JobEvent): void {
    if (event.event === "delta" && !deltas) return;
    const sent = this.#sent.get(socketId) ?? new Map<string, Sent>();
    const last = sent.get(event.job);
    if (last && event.seq <= last.seq) return;
    // Put last, so that the first is the one longest unheard of: an end may still be on its way twice, and is known by this.
    sent.delete(event.job);
    sent.set(event.job, { seq: event.seq, deltas: deltas && last?.deltas !== false });
    if (sent.size > JOBS_REMEMBERED) sent.delete(sent.keys().next().value!);
    this.#sent.set(socketId, sent);
    for (const socket of this.#socketsOf(socketId)) send(socket, { type: "event", ...event });
  }

  async #unsubscribe(socket: WebSocket, socketId: string, frame: Extract<ClientFrame, { type: "unsubscribe" }>): Promise<void> {
    const jobs = frame.jobs ?? [];
    const dropped = this.#drop(socketId, [...jobs.map(jobTarget), ...(frame.channel ? [channelTarget(frame.channel)] : [])]);
    send(socket, { type: "unsubscribed", jobs, channel: frame.channel ?? null });
    await dropped;
  }

  /** Ends subscriptions; mailboxes that no socket of this lobby follows any more are told. */
  async #drop(socketId: string, targets: string[]): Promise<void> {
    const desk = this.#desk();
    const { tenant } = desk.address;
    const orphaned = new Map<string, { lobby: MailboxAddress; channel: boolean; jobs: string[] }>();
    for (const target of targets) {
      const sockets = this.#targets.get(target);
      if (!sockets?.delete(socketId)) continue;
      desk.store.dropSubscription(socketId, target);
      if (sockets.size > 0) continue;
      this.#targets.delete(target);
      const { channel, job } = parseTarget(tenant, target);
      const call = orphaned.get(channel) ?? { lobby: desk.address, channel: false, jobs: [] };
      if (job) call.jobs.push(job);
      else call.channel = true;
      orphaned.set(channel, call);
    }
    const told = [...orphaned].map(async ([channel, call]) => {
      if (channel === desk.address.channel) unfollow(desk, call);
      else await this.#inTurn(channel, () => callMailbox(desk.env, { tenant, channel }, (stub) => stub.unfollow(call)));
    });
    // A mailbox that was not told goes on sending; nobody here is subscribed, so it is only waste.
    await Promise.allSettled(told);
  }

  /** After its end a job has no more events: its subscriptions go, and the mailbox has forgotten the follower by itself. */
  #forgetJob(job: string): void {
    const target = jobTarget(job);
    for (const [socketId, subscription] of this.#targets.get(target) ?? []) {
      if (subscription.pending > 0) continue;
      this.#targets.get(target)!.delete(socketId);
      this.#desk().store.dropSubscription(socketId, target);
    }
    if (this.#targets.get(target)?.size === 0) this.#targets.delete(target);
  }

  #subscribed(socketId: string, target: string, deltas: boolean): Subscription {
    const sockets = this.#targets.get(target) ?? new Map<string, Subscription>();
    this.#targets.set(target, sockets);
    const subscription = sockets.get(socketId) ?? { deltas, pending: 0, held: [] };
    subscription.deltas = deltas;
    sockets.set(socketId, subscription);
    return subscription;
  }
}
