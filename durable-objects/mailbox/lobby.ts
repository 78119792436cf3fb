/**
 * The sockets that live in this mailbox, and what each subscribes to. Subscriptions are in SQLite, so that hibernation loses
 * nothing. Law: on one socket the events of a job go out in the order of their seq, none twice.
 */
import { parseJobId } from "../../platform/ids.ts";
import { callMailbox } from "../../platform/objects.ts";
import { isEnd } from "../../policy/lifecycle.ts";
import type { JobEvent } from "../../schemas/event.ts";
import type { FollowCall, Followed, MailboxAddress } from "../../schemas/rpc.ts";
import { ClientFrame, type ServerFrame } from "../../schemas/socket.ts";
import type { Desk } from "./desk.ts";
import { follow } from "./replay.ts";

type Subscription = {
  deltas: boolean;
  /** Events that arrived while the past is being fetched; null once it was sent. */
  held: JobEvent[] | null;
};

const jobTarget = (id: string) => `job:${id}`;
const channelTarget = (channel: string) => `channel:${channel}`;

export class Lobby {
  readonly #desk: () => Desk;
  readonly #socketsOf: (id: string) => WebSocket[];
  /** target -> socket id -> subscription */
  readonly #targets = new Map<string, Map<string, Subscription>>();
  /** socket id -> job -> the last seq sent. Forgotten with the object: a client may then see an event again, and knows it by its seq. */
  readonly #sent = new Map<string, Map<string, number>>();

  constructor(desk: () => Desk, socketsOf: (id: string) => WebSocket[], rows: { socket: string; target: string; deltas: number }[]) {
    this.#desk = desk;
    this.#socketsOf = socketsOf;
    for (const row of rows) this.#remember(row.socket, row.target, row.deltas === 1, null);
  }

  /** A frame from a client. Never throws for what a client sent. */
  async receive(socket: WebSocket, socketId: string, message: string | ArrayBuffer): Promise<void> {
    const frame = parseFrame(message);
    if (!frame.ok) return send(socket, { type: "error", error: { code: "invalid_frame", message: frame.message, param: null } });
    switch (frame.value.type) {
      case "subscribe":
        return this.#subscribe(socket, socketId, frame.value);
      case "unsubscribe":
        return this.#unsubscribe(socket, socketId, frame.value);
      case "ack":
        return;
    }
  }

  /** Events of one followed mailbox. */
  deliver(from: MailboxAddress, events: JobEvent[]): void {
    for (const event of events) {
      this.#deliverTo(channelTarget(from.channel), event);
      this.#deliverTo(jobTarget(event.job), event);
      if (isEnd(event.event)) this.#forgetJob(event.job);
    }
  }

  /** The socket is gone. */
  async leave(socketId: string): Promise<void> {
    const targets = [...this.#targets].filter(([, sockets]) => sockets.has(socketId)).map(([target]) => target);
    await this.#drop(socketId, targets);
    this.#sent.delete(socketId);
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
    const desk = this.#desk();
    const targets = [...call.jobs.map(({ id }) => jobTarget(id)), ...(call.channel ? [channelTarget(channel)] : [])];
    for (const target of targets) {
      this.#remember(socketId, target, call.deltas, []);
      desk.store.putSubscription({ socket: socketId, target, deltas: call.deltas ? 1 : 0 });
    }
    let followed: Followed;
    try {
      const own = channel === desk.address.channel;
      followed = own
        ? follow(desk, call)
        : await callMailbox(desk.env, { tenant: desk.address.tenant, channel }, (stub) => stub.follow(call));
    } catch {
      await this.#drop(socketId, targets);
      return send(socket, {
        type: "error",
        error: { code: "unavailable", message: "Subscribe again: the mailbox could not be reached.", param: channel },
      });
    }
    for (const id of followed.missing) send(socket, notFound(id));
    for (const event of followed.events) this.#catchUp(socketId, channel, event);
    for (const target of targets) this.#goLive(socketId, target);
    const over = [...followed.missing, ...followed.events.filter(({ event }) => isEnd(event)).map(({ job }) => job)];
    await this.#drop(socketId, over.map(jobTarget));
    for (const job of over) this.#sent.get(socketId)?.delete(job);
  }

  /** Sends an event of the past, on the job's own subscription or the channel's. */
  #catchUp(socketId: string, channel: string, event: JobEvent): void {
    const subscription = this.#targets.get(jobTarget(event.job))?.get(socketId) ?? this.#targets.get(channelTarget(channel))?.get(socketId);
    if (subscription) this.#sendOnce(socketId, subscription, event);
  }

  #goLive(socketId: string, target: string): void {
    const subscription = this.#targets.get(target)?.get(socketId);
    if (!subscription?.held) return;
    const held = subscription.held;
    subscription.held = null;
    for (const event of held) this.#sendOnce(socketId, subscription, event);
  }

  #deliverTo(target: string, event: JobEvent): void {
    for (const [socketId, subscription] of this.#targets.get(target) ?? []) {
      if (subscription.held) subscription.held.push(event);
      else this.#sendOnce(socketId, subscription, event);
    }
  }

  #sendOnce(socketId: string, subscription: Subscription, event: JobEvent): void {
    if (event.event === "delta" && !subscription.deltas) return;
    const sent = this.#sent.get(socketId) ?? new Map<string, number>();
    if (event.seq <= (sent.get(event.job) ?? 0)) return;
    this.#sent.set(socketId, sent.set(event.job, event.seq));
    for (const socket of this.#socketsOf(socketId)) send(socket, { type: "event", ...event });
  }

  async #unsubscribe(socket: WebSocket, socketId: string, frame: Extract<ClientFrame, { type: "unsubscribe" }>): Promise<void> {
    const jobs = frame.jobs ?? [];
    await this.#drop(socketId, [...jobs.map(jobTarget), ...(frame.channel ? [channelTarget(frame.channel)] : [])]);
    send(socket, { type: "unsubscribed", jobs, channel: frame.channel ?? null });
  }

  /** Ends subscriptions; mailboxes that no socket of this lobby follows any more are told. */
  async #drop(socketId: string, targets: string[]): Promise<void> {
    const { address, env, store } = this.#desk();
    const orphaned = new Map<string, { lobby: MailboxAddress; channel: boolean; jobs: string[] }>();
    for (const target of targets) {
      const sockets = this.#targets.get(target);
      if (!sockets?.delete(socketId)) continue;
      store.dropSubscription(socketId, target);
      if (sockets.size > 0) continue;
      this.#targets.delete(target);
      const { channel, job } = parseTarget(address.tenant, target);
      const call = orphaned.get(channel) ?? { lobby: address, channel: false, jobs: [] };
      if (job) call.jobs.push(job);
      else call.channel = true;
      orphaned.set(channel, call);
    }
    const told = [...orphaned].map(([channel, call]) =>
      callMailbox(env, { tenant: address.tenant, channel }, (stub) => stub.unfollow(call)),
    );
    // A mailbox that was not told goes on sending; nobody here is subscribed, so it is only waste.
    await Promise.allSettled(told);
  }

  /** After its end a job has no more events: its subscriptions go, and the mailbox has forgotten the follower by itself. */
  #forgetJob(job: string): void {
    const target = jobTarget(job);
    for (const [socketId, subscription] of this.#targets.get(target) ?? []) {
      if (subscription.held) continue;
      this.#targets.get(target)!.delete(socketId);
      this.#desk().store.dropSubscription(socketId, target);
    }
    if (this.#targets.get(target)?.size === 0) this.#targets.delete(target);
    for (const sent of this.#sent.values()) sent.delete(job);
  }

  #remember(socketId: string, target: string, deltas: boolean, held: JobEvent[] | null): void {
    const sockets = this.#targets.get(target) ?? new Map<string, Subscription>();
    this.#targets.set(target, sockets.set(socketId, { deltas, held }));
  }
}

function parseFrame(message: string | ArrayBuffer): { ok: true; value: ClientFrame } | { ok: false; message: string } {
  if (typeof message !== "string") return { ok: false, message: "Frames are JSON text." };
  let raw: unknown;
  try {
    raw = JSON.parse(message);
  } catch {
    return { ok: false, message: "The frame is not valid JSON." };
  }
  const parsed = ClientFrame.safeParse(raw);
  if (parsed.success) return { ok: true, value: parsed.data };
  const issue = parsed.error.issues[0];
  return { ok: false, message: `${issue?.path.join(".") || "type"}: ${issue?.message ?? "malformed"}` };
}

function parseTarget(tenant: string, target: string): { channel: string; job: string | null } {
  if (target.startsWith("channel:")) return { channel: target.slice("channel:".length), job: null };
  const job = target.slice("job:".length);
  return { channel: parseJobId(tenant, job)!.channel, job };
}

function notFound(id: string): ServerFrame {
  return { type: "error", error: { code: "job_not_found", message: `No job ${id.slice(0, 200)}.`, param: "jobs" } };
}

function send(socket: WebSocket, frame: ServerFrame): void {
  try {
    socket.send(JSON.stringify(frame));
  } catch {
    // The client is gone; its close is on the way, and it resumes by seq.
  }
}
