/**
 * The sockets that live in this mailbox, and what each subscribes to. Subscriptions are in SQLite, so that hibernation loses
 * nothing. Law: while a subscription waits for the past of a job, nothing overtakes it.
 */
import { parseJobId } from "../../platform/ids.ts";
import { isEnd } from "../../policy/lifecycle.ts";
import type { JobEvent } from "../../schemas/event.ts";
import type { FollowCall, Followed, MailboxAddress } from "../../schemas/rpc.ts";
import { CLOSE, type ClientFrame, SUBSCRIPTIONS_LIMIT } from "../../schemas/socket.ts";
import { catchUp } from "./catch-up.ts";
import type { Desk } from "./desk.ts";
import { EventFrame, type Fault, notFound, parseFrame, send } from "./frames.ts";
import { endPass, isOver, within } from "./passes.ts";
import { Reader } from "./reader.ts";
import { closeSocket, grantOf } from "./sockets.ts";
import { Sources } from "./sources.ts";
import type { MailboxStore } from "./store/store.ts";
import { channelTarget, jobTarget } from "./targets.ts";

type Subscribe = Extract<ClientFrame, { type: "subscribe" }>;

type Subscription = {
  deltas: boolean;
  /** Frames of which the past is being fetched. */
  pending: number;
  /** Events that arrived meanwhile. */
  held: EventFrame[];
};

/** Jobs that a reader may lag behind with; one that lags further is let go. */
const BEHIND_LIMIT = 10_000;

/** A mailbox that could not be asked for what a reader missed is asked again after this. */
const RETRY_MS = 5_000;

const TOO_MANY_FRAMES: Fault = { code: "too_many_frames", message: "Too many frames.", close: CLOSE.tooMany };

export class Lobby {
  readonly #desk: () => Desk;
  readonly #socketsOf: (id: string) => WebSocket[];
  readonly #sources: Sources;
  /** target -> socket id -> subscription */
  readonly #targets = new Map<string, Map<string, Subscription>>();
  /** By socket id. */
  readonly #readers = new Map<string, Reader>();

  constructor(desk: () => Desk, socketsOf: (id: string) => WebSocket[], store: MailboxStore) {
    this.#desk = desk;
    this.#socketsOf = socketsOf;
    this.#sources = new Sources(desk);
    for (const row of store.subscriptions()) this.#subscribed(row.socket, row.target, row.deltas === 1);
    for (const { job, last, socket } of store.lags()) this.#reader(socket).behind.set(job, { after: last, newest: last });
  }

  /** A frame from a client. Never throws for what a client sent. */
  async receive(socket: WebSocket, socketId: string, message: string | ArrayBuffer): Promise<void> {
    const grant = grantOf(socket);
    const now = this.#desk().now();
    if (isOver(grant, now)) {
      endPass(socket);
      return this.leave(socketId);
    }
    const { manners } = this.#reader(socketId);
    if (!manners.mayCome(now)) return this.#refuse(socket, socketId, TOO_MANY_FRAMES);
    const frame = parseFrame(message);
    if (!frame.ok) {
      const { fault } = frame;
      return this.#refuse(socket, socketId, manners.mayErr() ? fault : { ...fault, close: fault.close ?? CLOSE.protocol });
    }
    switch (frame.value.type) {
      case "subscribe": {
        const { frame: allowed, refused } = within(grant, this.#desk().address.tenant, frame.value);
        for (const each of refused) send(socket, each);
        return this.#subscribe(socket, socketId, allowed);
      }
      case "unsubscribe":
        return this.#unsubscribe(socket, socketId, frame.value);
      case "ack":
        return this.#ack(socketId, frame.value.frames ?? null);
    }
  }

  /** Events of one followed mailbox; answers to how many sockets they went. */
  deliver(from: MailboxAddress, events: JobEvent[]): number {
    let told = 0;
    for (const event of events) {
      const frame = new EventFrame(event);
      const sockets = [channelTarget(from.channel), jobTarget(event.job)].flatMap((target) => [
        ...(this.#targets.get(target)?.keys() ?? []),
      ]);
      for (const socketId of new Set(sockets)) if (this.#pass(socketId, from.channel, frame)) told++;
      if (isEnd(event.event)) this.#forgetJob(event.job);
    }
    return told;
  }

  /** The socket is gone. */
  async leave(socketId: string): Promise<void> {
    const reader = this.#readers.get(socketId);
    if (!reader) return;
    const targets = [...reader.targets];
    if (reader.behind.size > 0) this.#desk().store.dropLags(socketId);
    reader.behind.clear();
    this.#readers.delete(socketId);
    await this.#drop(socketId, targets);
  }

  /** Tries again to tell readers what they missed: a mailbox could not be reached. */
  async resume(): Promise<void> {
    await Promise.all([...this.#readers.keys()].map((id) => this.#catchUp(id)));
  }

  /** At wake: a crash or a deploy closes sockets without a word, and their subscriptions would stay for ever. */
  async leaveLost(): Promise<void> {
    await Promise.all([...this.#readers.keys()].filter((id) => this.#socketsOf(id).length === 0).map((id) => this.leave(id)));
  }

  async #refuse(socket: WebSocket, socketId: string, { close, code, message }: Fault): Promise<void> {
    send(socket, { type: "error", error: { code, message, param: null } });
    if (close === null) return;
    closeSocket(socket, close, code);
    await this.leave(socketId);
  }

  async #ack(socketId: string, frames: number | null): Promise<void> {
    if (frames === null) return;
    this.#reader(socketId).acked(frames);
    await this.#catchUp(socketId);
  }

  /** Tells a reader what it missed, if it can be told. */
  async #catchUp(socketId: string): Promise<void> {
    const reader = this.#readers.get(socketId);
    if (!reader?.canCatchUp) return;
    const { over, unreachable } = await catchUp(reader, this.#sources, (job) => this.#wish(socketId, job));
    if (unreachable) this.#desk().wakeBy(this.#desk().now() + RETRY_MS);
    await this.#drop(socketId, over.map(jobTarget));
  }

  async #subscribe(socket: WebSocket, socketId: string, frame: Subscribe): Promise<void> {
    const { address } = this.#desk();
    const deltas = frame.deltas ?? false;
    const after = frame.after ?? {};
    const jobs = frame.jobs ?? [];
    if (this.#reader(socketId).targets.size + jobs.length + (frame.channel ? 1 : 0) > SUBSCRIPTIONS_LIMIT) {
      const message = `A socket follows ${SUBSCRIPTIONS_LIMIT} jobs and channels at most: nothing of this frame is followed.`;
      return send(socket, { type: "error", error: { code: "too_many_subscriptions", message, param: "jobs" } });
    }
    const calls = new Map<string, FollowCall>();
    const call = (channel: string) => {
      const known = calls.get(channel) ?? { lobby: address, channel: false, jobs: [], after: {}, deltas };
      calls.set(channel, known);
      return known;
    };
    const missing: string[] = [];
    for (const id of jobs) {
      const name = parseJobId(address.tenant, id);
      if (name) call(name.channel).jobs.push({ id, after: after[id] ?? null });
      else missing.push(id);
    }
    if (frame.channel) Object.assign(call(frame.channel), { channel: true, after });
    // Answered first: the events that follow belong to it.
    send(socket, { type: "subscribed", jobs: jobs.filter((id) => !missing.includes(id)), channel: frame.channel ?? null, deltas });
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
      followed = await this.#sources.follow(channel, call);
    } catch {
      // What was held belongs to other subscriptions too.
      for (const target of targets) this.#goLive(socketId, channel, target);
      await this.#drop(socketId, targets);
      const message = "Subscribe again: the mailbox could not be reached.";
      return send(socket, { type: "error", error: { code: "unavailable", message, param: channel } });
    }
    for (const id of followed.missing) send(socket, notFound(id));
    const reader = this.#readers.get(socketId);
    // It left meanwhile.
    if (!reader) return;
    for (const [job, seq] of Object.entries(call.after)) reader.startFrom(job, seq);
    for (const { id, after } of call.jobs) reader.startFrom(id, after ?? 0);
    for (const event of followed.events) {
      const asked = [jobTarget(event.job), channelTarget(channel)].filter((target) => targets.includes(target));
      if (asked.some((target) => this.#targets.get(target)?.has(socketId))) reader.take(new EventFrame(event), call.deltas);
    }
    const live = targets.flatMap((target) => this.#goLive(socketId, channel, target));
    const told = [...followed.events, ...live.map(({ event }) => event)];
    const over = told.filter(({ event, job }) => isEnd(event) && !reader.behind.has(job)).map(({ job }) => job);
    await this.#drop(socketId, [...followed.missing, ...over].map(jobTarget));
  }

  /** The past of a target was sent; what was held meanwhile follows, and is answered. */
  #goLive(socketId: string, channel: string, target: string): EventFrame[] {
    const subscription = this.#targets.get(target)?.get(socketId);
    if (!subscription || --subscription.pending > 0) return [];
    const held = subscription.held.splice(0);
    for (const frame of held) this.#pass(socketId, channel, frame);
    return held;
  }

  /** An event to a socket, by whichever of its subscriptions. Answers whether it went. */
  #pass(socketId: string, channel: string, frame: EventFrame): boolean {
    const own = this.#own(socketId, channel, frame.event.job);
    const waiting = own.find(({ pending }) => pending > 0);
    if (waiting) waiting.held.push(frame);
    if (waiting || own.length === 0) return false;
    const reader = this.#reader(socketId);
    const went = reader.take(
      frame,
      own.some(({ deltas }) => deltas),
    );
    if (reader.behind.size > BEHIND_LIMIT) this.#letGo(socketId);
    // Room without an ack: the object slept meanwhile, or a mailbox was not to be reached.
    else if (reader.canCatchUp) this.#desk().background(this.#catchUp(socketId));
    return went;
  }

  /** It lags too far to be told: its client comes back and resumes. */
  #letGo(socketId: string): void {
    for (const socket of this.#socketsOf(socketId)) closeSocket(socket, CLOSE.tooSlow, "too slow");
    this.#desk().background(this.leave(socketId));
  }

  #own(socketId: string, channel: string, job: string): Subscription[] {
    return [jobTarget(job), channelTarget(channel)].flatMap((target) => this.#targets.get(target)?.get(socketId) ?? []);
  }

  #wish(socketId: string, job: string): { deltas: boolean } | null {
    const own = this.#own(socketId, parseJobId(this.#desk().address.tenant, job)!.channel, job);
    return own.length > 0 ? { deltas: own.some(({ deltas }) => deltas) } : null;
  }

  async #unsubscribe(socket: WebSocket, socketId: string, frame: Extract<ClientFrame, { type: "unsubscribe" }>): Promise<void> {
    const jobs = frame.jobs ?? [];
    const dropped = this.#drop(socketId, [...jobs.map(jobTarget), ...(frame.channel ? [channelTarget(frame.channel)] : [])]);
    send(socket, { type: "unsubscribed", jobs, channel: frame.channel ?? null });
    await dropped;
  }

  /** Ends subscriptions; mailboxes that no socket of this lobby follows any more are told. */
  async #drop(socketId: string, targets: string[]): Promise<void> {
    await this.#sources.leave(targets.filter((target) => this.#remove(socketId, target)));
  }

  /** Ends a subscription; answers whether it was the last to this target. */
  #remove(socketId: string, target: string): boolean {
    const sockets = this.#targets.get(target);
    if (!sockets?.delete(socketId)) return false;
    this.#readers.get(socketId)?.targets.delete(target);
    this.#desk().store.dropSubscription(socketId, target);
    if (sockets.size === 0) this.#targets.delete(target);
    return sockets.size === 0;
  }

  /** After its end a job has no more events: its subscriptions go, and the mailbox has forgotten the follower by itself. */
  #forgetJob(job: string): void {
    const target = jobTarget(job);
    for (const [socketId, { pending }] of this.#targets.get(target) ?? [])
      if (pending === 0 && !this.#readers.get(socketId)?.behind.has(job)) this.#remove(socketId, target);
  }

  #subscribed(socketId: string, target: string, deltas: boolean): Subscription {
    const sockets = this.#targets.get(target) ?? new Map<string, Subscription>();
    this.#targets.set(target, sockets);
    const subscription = sockets.get(socketId) ?? { deltas, pending: 0, held: [] };
    subscription.deltas = deltas;
    sockets.set(socketId, subscription);
    this.#reader(socketId).targets.add(target);
    return subscription;
  }

  #reader(socketId: string): Reader {
    const known = this.#readers.get(socketId);
    if (known) return known;
    const notes = {
      behind: (job: string, last: number) => this.#desk().store.putLag({ socket: socketId, job, last }),
      caughtUp: (job: string) => this.#desk().store.dropLag(socketId, job),
    };
    const reader = new Reader(() => this.#socketsOf(socketId), notes);
    this.#readers.set(socketId, reader);
    return reader;
  }
}
