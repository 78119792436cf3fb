import { DurableObject } from "cloudflare:workers";
import { Alarm } from "../../platform/alarm.ts";
import { Batcher } from "../../platform/batcher.ts";
import { isBatchChannel, parseMailboxName } from "../../platform/mailboxes.ts";
import { callMailbox, type Env, within } from "../../platform/objects.ts";
import { OUTSIDE, type Outside } from "../../platform/outside.ts";
import { readSettings, type Settings } from "../../platform/settings.ts";
import { Sql } from "../../platform/sql.ts";
import type { JobEvent, ToldEvent } from "../../schemas/event.ts";
import type { Job, JobEnd } from "../../schemas/job.ts";
import type { Problem } from "../../schemas/problem.ts";
import type {
  AppendCall,
  Appended,
  Claim,
  CommitCall,
  Committed,
  FollowCall,
  Followed,
  ListQuery,
  MailboxAddress,
  MailboxRpc,
  Missing,
  Move,
  OpenCall,
  Opened,
  Submission,
  Submitted,
  Verdict,
} from "../../schemas/rpc.ts";
import type { Pass } from "../../schemas/token.ts";
import type { Delivery, WebhookEvent } from "../../schemas/webhook.ts";
import { append, commit, judge, open } from "./attempts.ts";
import { Calls } from "./calls.ts";
import { claim } from "./claims.ts";
import { deliveries, redeliver } from "./deliveries.ts";
import type { Desk } from "./desk.ts";
import { Followers } from "./followers.ts";
import { hear } from "./hear.ts";
import { Inquiries } from "./inquiries.ts";
import { Lobby } from "./lobby.ts";
import { Order } from "./order.ts";
import { closeOver, revoke } from "./passes.ts";
import { moved } from "./positions.ts";
import { cancel, get, list } from "./read.ts";
import { again, lineOfABatch } from "./redrive.ts";
import { eventsOf, follow, missed, newest, type UnfollowCall, unfollow } from "./replay.ts";
import { retire } from "./retention.ts";
import { acceptSocket, closeSocket, grantIn, socketId } from "./sockets.ts";
import { MailboxStore } from "./store/store.ts";
import { Streams } from "./streams.ts";
import { Intake, type SubmitCall } from "./submit.ts";
import { jobEvent, Webhooks } from "./webhooks.ts";

/**
 * Calls that arrive together share a commit: alone, an insert costs 0.3 to 0.5 ms, gathered a tenth of it. The spacing
 * bounds what a busy mailbox asks of the coordinator, and is too short to be felt.
 */
const SUBMITS = { maxItems: 256, gapMs: 4, regroup: true, abreast: 8 };
const COMMITS = { maxItems: 256, gapMs: 1, regroup: true, abreast: 8 };

/** A lobby that has not taken events by then is told of them later. */
const RELAY_MS = 10_000;

/** While the coordinator is asked about jobs, the object is woken this often: it may have died over it. */
const WATCHDOG_MS = 30_000;

/** One channel of a tenant: its jobs, their results and events, and the sockets of its clients. */
export class Mailbox extends DurableObject<Env> implements MailboxRpc {
  protected readonly desk: Desk;
  protected readonly intake: Intake;
  readonly #lobby: Lobby;
  readonly #submits: Batcher<SubmitCall, Submitted[]>;
  readonly #commits: Batcher<CommitCall[], Committed[]>;
  readonly #alarm: Alarm;

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    const address = parseMailboxName(ctx.id.name ?? "");
    const settings = readSettings(env);
    const store = new MailboxStore(new Sql(ctx.storage));
    this.#alarm = new Alarm(ctx);
    this.#lobby = new Lobby(
      () => this.desk,
      (id) => ctx.getWebSockets(id),
      store,
    );
    this.desk = {
      address,
      env,
      settings,
      store,
      running: new Map(),
      promised: new Map(),
      followers: new Followers(store, address, {
        deliver: (events) => this.#lobby.deliver(address, events),
        relay: (lobby, events) =>
          within(
            this.relayMs(),
            callMailbox(env, parseMailboxName(lobby), (stub) => stub.relay(address, events)),
          ),
        newest: (n, deltas) => newest(this.desk, n, deltas),
        now: () => this.now(),
        background: (work) => ctx.waitUntil(work),
        wakeBy: (at) => this.#alarm.wakeBy(at),
      }),
      inquiries: new Inquiries(() => this.desk),
      order: new Order(store),
      streams: new Streams(),
      calls: new Calls(() => this.desk),
      webhooks: new Webhooks(() => this.desk, this.outside()),
      eventOf: (n) => this.eventOf(n),
      now: () => this.now(),
      background: (work) => ctx.waitUntil(work),
      ended: (status) => this.ended(status),
      retentionMs: this.retentionMs(settings),
      wakeBy: (at) => this.#alarm.wakeBy(at),
    };
    this.intake = new Intake(this.desk);
    this.#submits = new Batcher((calls) => this.intake.submitTogether(calls), SUBMITS);
    this.#commits = new Batcher(async (lists) => lists.map((calls) => calls.map((call) => commit(this.desk, call))), COMMITS);
    ctx.setWebSocketAutoResponse(new WebSocketRequestResponsePair("ping", "pong"));
    if (this.intake.unconfirmed > 0) ctx.waitUntil(this.intake.resend());
    ctx.waitUntil(this.#lobby.leaveLost());
    this.desk.followers.tellOwed();
  }

  submit(submissions: Submission[], repeated: boolean): Promise<Submitted[]> {
    return this.#submits.add({ submissions, repeated });
  }

  async claim(claims: Claim[]): Promise<boolean[]> {
    return claim(this.desk, claims);
  }

  async dismiss(id: string): Promise<void> {
    this.desk.calls.dismiss(id);
  }

  async collect(id: string): Promise<void> {
    this.desk.calls.collect(id);
  }

  get(id: string): Promise<Job | null> {
    return get(this.desk, id);
  }

  list(query: ListQuery): Promise<Job[]> {
    return list(this.desk, query);
  }

  async events(id: string, after: number, deltas: boolean): Promise<JobEvent[] | null> {
    return eventsOf(this.desk, id, after, deltas);
  }

  cancel(id: string): Promise<Job | null> {
    return cancel(this.desk, id);
  }

  async deliveries(id: string): Promise<Delivery[] | null> {
    return deliveries(this.desk, id);
  }

  async redeliver(id: string, delivery: string): Promise<Delivery | null> {
    return redeliver(this.desk, id, delivery);
  }

  async redrive(id: string, nonce: string, repeated: boolean): Promise<Submitted | null> {
    if (isBatchChannel(this.desk.address.channel)) return { ok: false, problem: lineOfABatch() };
    const submission = again(this.desk, id, nonce);
    return submission && (await this.submit([submission], repeated))[0]!;
  }

  open(calls: OpenCall[]): Promise<Opened[]> {
    return Promise.all(
      calls.map(async (call) => ((await this.intake.stands(call)) ? open(this.desk, call) : { ok: false, reason: "unleased" })),
    );
  }

  async append(calls: AppendCall[]): Promise<Appended[]> {
    return calls.map((call) => append(this.desk, call));
  }

  commit(calls: CommitCall[]): Promise<Committed[]> {
    return this.#commits.add(calls);
  }

  async judge(verdicts: Verdict[]): Promise<(Problem | null)[]> {
    return verdicts.map((verdict) => judge(this.desk, verdict));
  }

  moved(moves: Move[]): Promise<string[]> {
    return moved(this.desk, moves, (n) => this.intake.announced(n));
  }

  async follow(call: FollowCall): Promise<Followed> {
    return follow(this.desk, call);
  }

  async unfollow(call: UnfollowCall): Promise<void> {
    unfollow(this.desk, call);
  }

  async revoke(pass: Pass): Promise<void> {
    const closed = revoke(this.ctx, this.desk.store.passes, pass);
    this.#alarm.wakeBy(pass.expiresAt);
    await Promise.all(closed.map((id) => this.#lobby.leave(id)));
  }

  async isRevoked({ id }: Pass): Promise<boolean> {
    return this.desk.store.passes.find(id)?.revoked === true;
  }

  async relay(from: MailboxAddress, events: JobEvent[]): Promise<number> {
    return this.#lobby.deliver(from, events);
  }

  async missed(jobs: Missing[]): Promise<ToldEvent[]> {
    return missed(this.desk, jobs);
  }

  /** A WebSocket upgrade, authenticated by the ingress. */
  override async fetch(request: Request): Promise<Response> {
    const grant = grantIn(request);
    if (grant && (await this.isRevoked(grant))) return new Response(null, { status: 401 });
    return acceptSocket(this.ctx, request, this.desk.wakeBy);
  }

  override async webSocketMessage(socket: WebSocket, message: string | ArrayBuffer): Promise<void> {
    await hear(this.desk, this.#lobby, socket, message);
  }

  override async webSocketClose(socket: WebSocket, code: number, reason: string): Promise<void> {
    closeSocket(socket, code, reason);
    await this.#lobby.leave(socketId(socket));
  }

  override async webSocketError(socket: WebSocket): Promise<void> {
    await this.#lobby.leave(socketId(socket));
  }

  override async alarm(): Promise<void> {
    this.#alarm.rang();
    const over = closeOver(this.ctx, this.now());
    // What asks other objects is not waited for: one that does not answer holds up nothing that is due here.
    for (const id of over.closed) this.desk.background(this.#lobby.leave(id));
    this.desk.background(this.#lobby.resume());
    this.desk.background(this.intake.resend());
    const wishes = [
      over.next,
      this.intake.unconfirmed > 0 ? this.now() + WATCHDOG_MS : null,
      this.desk.followers.resume(),
      await this.desk.calls.sweep(),
      retire(this.desk),
      this.desk.webhooks.pump(),
      this.desk.store.passes.drop(this.now()),
    ];
    const next = Math.min(...wishes.map((wish) => wish ?? Number.POSITIVE_INFINITY));
    if (next !== Number.POSITIVE_INFINITY) this.#alarm.wakeBy(next);
  }

  /** Rows written since the object woke: what the platform bills. */
  rowsWritten(): number {
    return this.desk.store.sql.rowsWritten;
  }

  /** Called for each job's end. */
  protected ended(_: JobEnd): void {}

  protected eventOf(n: number): WebhookEvent {
    return jobEvent(this.desk, n);
  }

  protected retentionMs(settings: Settings): number {
    return settings.retentionMs;
  }

  /** ms that another mailbox has to take events. */
  protected relayMs(): number {
    return RELAY_MS;
  }

  protected outside(): Outside {
    return OUTSIDE;
  }

  /** ms since the epoch. */
  protected now(): number {
    return Date.now();
  }
}
