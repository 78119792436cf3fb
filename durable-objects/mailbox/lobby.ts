/**
 * The sockets that live in this mailbox, and what each subscribes to. Subscriptions are in SQLite, so that hibernation loses
 * nothing. Law: while a subscription waits for the past of a job, nothing overtakes it.
 */
import { parseJobId } from "../../platform/ids.ts";
import { isEnd } from "../../policy/lifecycle.ts";
import { Sent } from "../../policy/sent.ts";
import type { JobEvent } from "../../schemas/event.ts";
import type { FollowCall, Followed, MailboxAddress } from "../../schemas/rpc.ts";
import { ALL_SUBSCRIPTIONS_LIMIT, CLOSE, type ClientFrame, CONSUMERS_LIMIT, SUBSCRIPTIONS_LIMIT } from "../../schemas/socket.ts";
import type { Behind } from "./arrears.ts";
import { catchUp } from "./catch-up.ts";
import { Consumers } from "./consumers.ts";
import type { Desk } from "./desk.ts";
import { EventFrame, type Fault, notFound } from "./frames.ts";
import { Held, type Lost, lostWith } from "./held.ts";
import { Reader } from "./reader.ts";
import { closeSocket } from "./sockets.ts";
import { Sources } from "./sources.ts";
import type { MailboxStore } from "./store/store.ts";
import { consume, isLive, postpone, type Subscription, UNCONSUMED } from "./subscription.ts";
import { Talk } from "./talk.ts";
import { callsOf, channelTarget, jobTarget, parseTarget, targetsOf, wanted } from "./targets.ts";

type Subscribe = Extract<ClientFrame, { type: "subscribe" }>;

/** Jobs that a reader may lag behind with; one that lags further is let go. */
const BEHIND_LIMIT = 10_000;
/** A mailbox that could not be asked for what a reader missed is asked again after this. */
const RETRY_MS = 5_000;

export class Lobby {
  readonly #desk: () => Desk;
  readonly #socketsOf: (id: string) => WebSocket[];
  readonly #sources: Sources;
  readonly #consumers: Consumers;
  /** target -> socket id -> subscription */
  readonly #targets = new Map<string, Map<string, Subscription>>();
  /** How many subscriptions there are in all. */
  #subscriptions = 0;
  /** By socket id. */
  readonly #readers = new Map<string, Reader>();
  readonly #sent = new Sent();
  readonly talk: Talk;
  readonly #held: Held;

  /** `held`: characters of events that may be held for subscriptions that wait for the past. */
  constructor(desk: () => Desk, socketsOf: (id: string) => WebSocket[], store: MailboxStore, held: number) {
    this.#desk = desk;
    this.#socketsOf = socketsOf;
    this.#sources = new Sources(desk, store);
    this.#consumers = new Consumers(desk);
    this.talk = new Talk({
      now: () => desk().now(),
      acks: (id) => this.#readers.get(id)?.acks ?? null,
      letGo: (id, code, reason) => this.#letGo(id, code, reason),
    });
    this.#held = new Held(held);
    for (const { consumer, deltas, place, socket, target } of store.subscriptions())
      Object.assign(this.#subscribed(socket, target, deltas === 1), {
        ...{ consumer, place },
        acked: (consumer !== null && store.consumers.cursor(consumer)) || 0,
      });
    for (const { had, job, last, socket } of store.lags()) this.reader(socket).wasBehind(job, last, had);
  }

  /** Passes on events of one followed mailbox; returns to how many sockets any of them went at most, less than 0 if nobody here follows these jobs. */
  deliver(from: MailboxAddress, events: JobEvent[]): number {
    let most = -1;
    for (const event of events) {
      let told = 0;
      const { place } = event;
      const frame = new EventFrame(event, place === undefined ? null : this.#desk().order.safe(place));
      const sockets = [channelTarget(from.channel), jobTarget(event.job)].flatMap((target) => [
        ...(this.#targets.get(target)?.keys() ?? []),
      ]);
      for (const socketId of new Set(sockets)) if (this.#pass(socketId, from.channel, frame)) told++;
      if (sockets.length > 0) most = Math.max(most, told);
      if (isEnd(event.event)) this.#forgetJob(event.job);
    }
    return most;
  }

  /** The socket is gone. */
  async leave(socketId: string): Promise<void> {
    const reader = this.#readers.get(socketId);
    if (!reader) return;
    const targets = [...reader.targets];
    if (reader.behind.size > 0) this.#desk().store.dropLags(socketId);
    reader.leave();
    this.#readers.delete(socketId);
    this.talk.read(socketId);
    await this.#drop(socketId, targets);
  }

  /** Tries again to tell readers what they missed because a mailbox could not be reached. */
  async resume(): Promise<void> {
    for (const { behind } of this.#readers.values()) behind.retry();
    await Promise.all([...this.#readers.keys()].map((id) => this.#catchUp(id)));
  }

  /** At wake: drops readers without a socket. A crash or a deploy closes sockets without a word, and their subscriptions would stay for ever. */
  async leaveLost(): Promise<void> {
    await Promise.all([...this.#readers.keys()].filter((id) => this.#socketsOf(id).length === 0).map((id) => this.leave(id)));
  }

  /** Whether the socket is served: it has not left, and was not given up. */
  readonly knows = (socketId: string): boolean => this.#readers.has(socketId);

  /** The client has dealt with this many more frames. The lobby's part of flow control: see policy/window.ts. */
  async ack(socketId: string, frames: number): Promise<void> {
    this.reader(socketId).acked(frames);
    this.talk.read(socketId);
    await this.#catchUp(socketId);
  }

  /** A consumer has dealt with everything up to here. */
  ackCursor(socketId: string, channel: string | null, cursor: number): Fault | null {
    const subscription = channel === this.#home ? this.#consumption(socketId) : null;
    if (!subscription?.consumer) return fault("not_a_consumer", "Subscribe to the channel as a consumer first.", "channel");
    if (!this.#consumers.ack(subscription.consumer, cursor)) return fault("invalid_cursor", "No event has had this cursor.", "cursor");
    subscription.acked = Math.max(subscription.acked, cursor);
    return null;
  }

  /** `consumer`: the name under which the channel is followed. Returns why nothing of the frame is followed, null if it is. */
  async subscribe(socket: WebSocket, socketId: string, frame: Subscribe, consumer: string | null): Promise<Fault | null> {
    const deltas = frame.deltas ?? false;
    const after = frame.after ?? {};
    const jobs = [...new Set(frame.jobs ?? [])];
    const { targets } = this.reader(socketId);
    const more = targetsOf(jobs, frame.channel).filter((target) => !targets.has(target)).length;
    if (targets.size + more > SUBSCRIPTIONS_LIMIT)
      return fault("too_many_subscriptions", `A socket may follow at most ${SUBSCRIPTIONS_LIMIT} jobs and channels.`, "jobs");
    if (more > 0 && targets.size + more > 1 && this.#subscriptions + more > ALL_SUBSCRIPTIONS_LIMIT)
      return fault("channel_full", "Together the sockets here follow too much. Connect with another ?channel=, or without one.", "jobs");
    if (consumer && frame.channel !== this.#home)
      return fault("consumer_elsewhere", "A consumer must connect with ?channel= set to the channel that it follows.", "channel");
    const opened = consumer === null ? null : this.#consumers.open(consumer);
    if (consumer && !opened)
      return fault("too_many_consumers", `A channel may have ${CONSUMERS_LIMIT} consumers with keys, and as many with tokens.`, "consumer");
    const { calls, missing } = callsOf(this.#desk().address, jobs, frame.channel ?? null, after, deltas);
    // Answered before any event that the subscription brings.
    const found = jobs.filter((id) => !missing.includes(id));
    const begun = opened ? { consumer: frame.consumer!, ...opened } : {};
    this.talk.answer(socket, socketId, { type: "subscribed", jobs: found, channel: frame.channel ?? null, deltas, ...begun });
    for (const each of notFound(missing)) this.talk.answer(socket, socketId, each);
    // Let go, because it reads none of its answers.
    if (!this.#readers.has(socketId)) return null;
    // A client that says itself what it has (`after`) is told the past of those jobs alone.
    const place = opened && Object.keys(after).length === 0 ? opened.cursor : null;
    const consuming = { consumer, place, told: 0, page: null, acked: opened?.cursor ?? 0 };
    await Promise.all([...calls].map(([channel, each]) => this.#follow(socket, socketId, channel, each, consuming)));
    return null;
  }

  async unsubscribe(socket: WebSocket, socketId: string, frame: Extract<ClientFrame, { type: "unsubscribe" }>): Promise<void> {
    const { targets } = this.reader(socketId);
    const jobs = [...new Set(frame.jobs ?? [])].filter((id) => targets.has(jobTarget(id)));
    const channel = frame.channel && targets.has(channelTarget(frame.channel)) ? frame.channel : null;
    const dropped = this.#drop(socketId, targetsOf(jobs, channel));
    this.talk.answer(socket, socketId, { type: "unsubscribed", jobs, channel });
    await dropped;
  }

  /** Tells a reader what it missed, if it has room, for each mailbox separately. */
  async #catchUp(socketId: string): Promise<void> {
    const reader = this.#readers.get(socketId);
    if (!reader?.roomy) return;
    this.#consume(socketId);
    await Promise.all(reader.behind.ask(this.#desk().now()).map((site) => this.#catchUpWith(socketId, reader, site)));
  }

  async #catchUpWith(socketId: string, reader: Reader, site: string): Promise<void> {
    const { over, unreachable } = await catchUp(reader, site, this.#sources, (job) => this.#wish(socketId, job));
    const retryAt = this.#desk().now() + RETRY_MS;
    if (unreachable) reader.waitsFor(site, retryAt);
    else reader.behind.answered(site);
    if (unreachable) this.#desk().wakeBy(retryAt);
    // Other mailboxes wait for their turn to be asked; or this one is next again, because something of it was lost meanwhile.
    this.#desk().background(this.#catchUp(socketId));
    await this.#drop(socketId, over.map(jobTarget));
  }

  #consume(socketId: string): void {
    const [reader, subscription] = [this.#readers.get(socketId), this.#consumption(socketId)];
    if (!reader || !subscription || subscription.place === null) return;
    const { place } = subscription;
    consume(this.#desk(), reader, subscription, () => this.#consume(socketId));
    // Stored, because the rest may have to wait.
    if (subscription.place !== place) this.#put(socketId, channelTarget(this.#home), subscription);
  }

  async #follow(
    socket: WebSocket,
    socketId: string,
    channel: string,
    call: FollowCall,
    consuming: Pick<Subscription, "consumer" | "place" | "told" | "page" | "acked">,
  ): Promise<void> {
    const named = call.jobs.map(({ id }) => id);
    const targets = targetsOf(named, call.channel ? channel : null);
    const begun = new Map<string, Subscription>();
    for (const target of targets) {
      const subscription = this.#subscribed(socketId, target, call.deltas);
      begun.set(target, subscription);
      if (subscription.pending++ === 0) this.#held.begin(channel, subscription);
      if (target === channelTarget(channel)) {
        if (subscription.consumer !== consuming.consumer) this.#consumers.left(subscription.consumer);
        Object.assign(subscription, consuming);
      }
      this.#put(socketId, target, subscription);
    }
    // A subscription that ended meanwhile may have been started again by another frame, which then gets the answer.
    const standing = () => targets.filter((target) => this.#targets.get(target)?.get(socketId) === begun.get(target));
    const wish = () => wanted(call, channel, new Set(standing()));
    let followed: Followed;
    try {
      followed = await this.#sources.follow(channel, socketId, wish);
    } catch {
      const lost = standing();
      // Held events may belong to other subscriptions too.
      this.#goLive(socketId, channel, lost);
      await this.#drop(socketId, lost);
      const message = "The mailbox could not be reached. Subscribe again.";
      return this.talk.answer(socket, socketId, { type: "error", error: { code: "unavailable", message, param: channel } });
    }
    for (const each of notFound(followed.missing)) this.talk.answer(socket, socketId, each);
    const reader = this.#readers.get(socketId);
    // It left meanwhile.
    if (!reader) return;
    const current = new Set(standing());
    const isAsked = (job: string) => current.has(jobTarget(job)) || current.has(channelTarget(channel));
    const starts = [...Object.entries(call.after), ...call.jobs.map(({ id, after }) => [id, after ?? 0] as const)];
    const none = new Set([...followed.missing, ...(followed.unknown ?? [])]);
    for (const [job, seq] of starts) if (isAsked(job) && !none.has(job)) reader.startFrom(job, followed.from?.[job] ?? seq);
    const known = (followed.over ?? []).filter(isAsked);
    if (known.length > 0) this.talk.answer(socket, socketId, { type: "ended", jobs: known });
    if (!this.#readers.has(socketId)) return;
    for (const event of followed.events) if (isAsked(event.job)) reader.take(new EventFrame(event), call.deltas, "logged");
    for (const { after, id, newest } of followed.behind ?? []) if (isAsked(id)) reader.lose(id, after, newest);
    const live = this.#goLive(socketId, channel, current);
    this.#consume(socketId);
    const told = [...followed.events, ...live.map(({ event }) => event)];
    const over = told.filter(({ event, job }) => isEnd(event) && !reader.behind.has(job)).map(({ job }) => job);
    const done = [...followed.missing, ...known, ...over].map(jobTarget);
    await this.#drop(
      socketId,
      done.filter((target) => this.#targets.get(target)?.get(socketId)?.pending === 0),
    );
  }

  /** The past of these targets was sent: sends what came meanwhile, as far as it was held, and returns it. */
  #goLive(socketId: string, channel: string, targets: Iterable<string>): EventFrame[] {
    const live = new Map<string, Subscription>();
    for (const target of targets) {
      const subscription = this.#targets.get(target)?.get(socketId);
      if (subscription && --subscription.pending === 0) live.set(target, subscription);
    }
    const has = (job: string, number: number) =>
      [channelTarget(channel), jobTarget(job)].some((target) => (live.get(target)?.from ?? Number.POSITIVE_INFINITY) <= number);
    const from = [...live.values()].reduce((least, each) => Math.min(least, each.from), Number.POSITIVE_INFINITY);
    const held = this.#held.since(channel, from);
    for (const subscription of live.values()) this.#held.end(channel, subscription);
    if (!held) this.#letGo(socketId);
    const told = (held?.frames ?? []).filter(({ frame, number }) => has(frame.event.job, number));
    for (const { frame, number } of told) this.#pass(socketId, channel, frame, number);
    for (const each of held?.lost ?? []) if (has(each.job, each.number)) this.#lose(socketId, channel, each);
    this.#lags(socketId);
    return told.map(({ frame }) => frame);
  }

  /** Some events of a job were not held. If another subscription of the socket has waited since before them, it learns of them when its wait ends. */
  #lose(socketId: string, channel: string, { after, job, newest, number }: Lost): void {
    const own = this.#own(socketId, channel, job);
    const waits = own.some(({ from, pending }) => pending > 0 && from <= number);
    if (own.length > 0 && !waits) this.reader(socketId).mayLack(job, after, newest);
  }

  /** Passes an event to a socket, by whichever of its subscriptions. `number`: the event's, if it was held. Returns whether it was sent. */
  #pass(socketId: string, channel: string, frame: EventFrame, number?: number): boolean {
    const { event } = frame;
    let own = this.#own(socketId, channel, event.job);
    if (own.length === 0) return false;
    const waiting = own.find(({ pending }) => pending > 0);
    if (waiting) {
      // Nothing overtakes the past. An event that was held is not held for a subscription that began to wait after it.
      if (number === undefined) this.#held.add(channel, frame);
      else this.#lose(socketId, channel, { ...lostWith(event), number });
      return false;
    }
    const reader = this.reader(socketId);
    const consumer = own.find((each) => each.consumer !== null) ?? null;
    const late = consumer !== null && !isLive(reader, consumer, frame.event);
    if (late) {
      if (postpone(this.#desk(), reader, consumer, frame.event as JobEvent & { place: number }))
        this.#put(socketId, channelTarget(channel), consumer);
      own = own.filter((each) => each !== consumer);
    }
    const deltas = own.some((each) => each.deltas);
    // By another subscription, a late consumer is told the event without a cursor: it has yet to be told what came before.
    const went = own.length > 0 && reader.take(frame, deltas, consumer !== null && !late ? "consumed" : "live");
    this.#lags(socketId, late);
    return went;
  }

  /** Tells a reader what it lacks, if it has room without an ack: the object slept meanwhile, or a mailbox could not be reached. */
  #lags(socketId: string, late = false): void {
    const behind = this.#readers.get(socketId)?.behind.size ?? 0;
    if (behind > BEHIND_LIMIT) this.#letGo(socketId);
    else if (late || behind > 0) this.#desk().background(this.#catchUp(socketId));
  }

  /** Gives a socket up, by default because it lags too far to be told: its client comes back and resumes. */
  #letGo(socketId: string, code: number = CLOSE.tooSlow, reason = "too slow"): void {
    for (const socket of this.#socketsOf(socketId)) closeSocket(socket, code, reason);
    this.#desk().background(this.leave(socketId));
  }

  #own(socketId: string, channel: string, job: string): Subscription[] {
    return [jobTarget(job), channelTarget(channel)].flatMap((target) => this.#targets.get(target)?.get(socketId) ?? []);
  }

  #wish(socketId: string, job: string): { deltas: boolean } | null {
    const own = this.#own(socketId, parseJobId(this.#desk().address.tenant, job)!.channel, job);
    return own.length > 0 ? { deltas: own.some(({ deltas }) => deltas) } : null;
  }

  /** Ends subscriptions, and tells mailboxes what no socket of this lobby follows any more. */
  async #drop(socketId: string, targets: string[]): Promise<void> {
    await this.#sources.leave(targets.filter((target) => this.#remove(socketId, target)));
  }

  /** Ends a subscription; returns whether it was the last to this target. */
  #remove(socketId: string, target: string): boolean {
    const sockets = this.#targets.get(target);
    const subscription = sockets?.get(socketId);
    if (!sockets || !subscription) return false;
    sockets.delete(socketId);
    this.#subscriptions--;
    if (subscription.pending > 0) this.#held.end(parseTarget(this.#desk().address.tenant, target).channel, subscription);
    this.#consumers.left(subscription.consumer);
    this.#readers.get(socketId)?.targets.delete(target);
    this.#desk().store.dropSubscription(socketId, target);
    if (sockets.size === 0) this.#targets.delete(target);
    return sockets.size === 0;
  }

  /** After its end a job has no more events: its subscriptions go; its mailbox drops the follower by itself. */
  #forgetJob(job: string): void {
    const target = jobTarget(job);
    for (const [socketId, { pending }] of this.#targets.get(target) ?? [])
      if (pending === 0 && !this.#readers.get(socketId)?.behind.has(job)) this.#remove(socketId, target);
  }

  #subscribed(socketId: string, target: string, deltas: boolean): Subscription {
    const sockets = this.#targets.get(target) ?? new Map<string, Subscription>();
    this.#targets.set(target, sockets);
    const subscription = sockets.get(socketId) ?? { ...UNCONSUMED, deltas, pending: 0, from: 0 };
    subscription.deltas = deltas;
    if (!sockets.has(socketId)) this.#subscriptions++;
    sockets.set(socketId, subscription);
    this.reader(socketId).targets.add(target);
    return subscription;
  }

  #put(socket: string, target: string, { consumer, deltas, place }: Subscription): void {
    this.#desk().store.putSubscription({ socket, target, deltas: deltas ? 1 : 0, consumer, place });
  }

  /** This mailbox's own channel. */
  get #home(): string {
    return this.#desk().address.channel;
  }

  /** A socket's subscription to this mailbox's own channel, if it has one. */
  #consumption(socketId: string): Subscription | null {
    return this.#targets.get(channelTarget(this.#home))?.get(socketId) ?? null;
  }

  reader(socketId: string): Reader {
    const known = this.#readers.get(socketId);
    if (known) return known;
    const notes = {
      now: () => this.#desk().now(),
      // Deferred: the expiry may be noticed in the middle of telling.
      over: () => this.#desk().background(Promise.resolve().then(() => this.leave(socketId))),
      behind: (job: string, { after: last, had }: Pick<Behind, "after" | "had">) =>
        this.#desk().store.putLag({ socket: socketId, job, last, had }),
      caughtUp: (job: string) => this.#desk().store.dropLag(socketId, job),
    };
    const reader = new Reader(() => this.#socketsOf(socketId), notes, this.#sent.reader());
    this.#readers.set(socketId, reader);
    return reader;
  }
}

function fault(code: string, message: string, param: string): Fault {
  return { code, message, param, close: null };
}
