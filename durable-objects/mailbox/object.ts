/**
 * A mailbox as the runtime sees it: it wakes, holds sockets and answers its alarm. Whatever memory loses during sleep is found in storage.
 */
import { DurableObject } from "cloudflare:workers";
import { Alarm } from "../../platform/alarm.ts";
import { parseMailboxName } from "../../platform/mailboxes.ts";
import { ringWhenDeep } from "../../platform/nesting.ts";
import { callMailbox, type Env, within } from "../../platform/objects.ts";
import { OUTSIDE, type Outside } from "../../platform/outside.ts";
import { readSettings, type Settings } from "../../platform/settings.ts";
import { Sql } from "../../platform/sql.ts";
import type { JobEnd } from "../../schemas/job.ts";
import type { WebhookEvent } from "../../schemas/webhook.ts";
import { Calls } from "./calls.ts";
import type { Desk } from "./desk.ts";
import { Followers } from "./followers.ts";
import { hear } from "./hear.ts";
import { HELD_CHARACTERS } from "./held.ts";
import { Inquiries } from "./inquiries.ts";
import { Lobby } from "./lobby.ts";
import { Order } from "./order.ts";
import { closeOver } from "./passes.ts";
import { newest } from "./replay.ts";
import { retire } from "./retention.ts";
import { Room } from "./room.ts";
import { acceptSocket, callIn, callOf, closeSocket, grantIn, isCalled, socketId } from "./sockets.ts";
import { MailboxStore } from "./store/store.ts";
import { Streams } from "./streams.ts";
import { Intake } from "./submit.ts";
import { jobEvent, Webhooks } from "./webhooks.ts";

/** A lobby that has not accepted events by then is told of them later. */
const RELAY_MS = 10_000;

/** Half the time after which the platform lets an idle object sleep. */
const REST_MS = 5_000;

/** While jobs await the coordinator's confirmation, the object is woken this often, in case it died meanwhile. */
const WATCHDOG_MS = 30_000;

/** The runtime's side of a mailbox; its RPC methods are in mailbox.ts. */
export abstract class MailboxObject extends DurableObject<Env> {
  protected readonly desk: Desk;
  protected readonly intake: Intake;
  protected readonly lobby: Lobby;
  readonly #alarm: Alarm;

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    const address = parseMailboxName(ctx.id.name ?? "");
    const settings = readSettings(env);
    const store = new MailboxStore(new Sql(ctx.storage));
    this.#alarm = new Alarm(ctx);
    this.lobby = new Lobby(
      () => this.desk,
      (id) => ctx.getWebSockets(id),
      store,
      this.heldCharacters(),
    );
    this.desk = {
      address,
      env,
      settings,
      store,
      running: new Map(),
      promised: new Map(),
      followers: new Followers(store, address, {
        deliver: (events) => this.lobby.deliver(address, events),
        relay: (lobby, events) =>
          within(
            this.relayMs(),
            callMailbox(env, parseMailboxName(lobby), (stub) => stub.relay(address, events)),
          ),
        newest: (n, deltas) => newest(this.desk, n, deltas),
        now: () => this.now(),
        background: (work) => ctx.waitUntil(work),
        rest: () => new Promise((done) => setTimeout(done, this.restMs())),
        wakeBy: (at) => this.#alarm.wakeBy(at, this.now()),
      }),
      inquiries: new Inquiries(() => this.desk),
      order: new Order(store),
      streams: new Streams(),
      calls: new Calls(() => this.desk),
      webhooks: new Webhooks(() => this.desk, this.outside()),
      called: (n) => isCalled(ctx, n),
      eventOf: (n) => this.eventOf(n),
      now: () => this.now(),
      background: (work) => ctx.waitUntil(work),
      ended: (status) => this.ended(status),
      room: new Room(
        () => this.stored(),
        () => this.now(),
      ),
      retentionMs: this.retentionMs(settings),
      wakeBy: (at) => this.#alarm.wakeBy(at, this.now()),
    };
    ringWhenDeep(env, () => this.#alarm.wakeBy(this.now(), this.now()));
    this.intake = new Intake(this.desk);
    ctx.setWebSocketAutoResponse(new WebSocketRequestResponsePair("ping", "pong"));
    if (this.intake.unconfirmed > 0) ctx.waitUntil(this.intake.resend());
    ctx.waitUntil(this.lobby.leaveLost());
    this.desk.followers.tellOwed();
  }

  /** A WebSocket upgrade, authenticated by the ingress. */
  override async fetch(request: Request): Promise<Response> {
    const grant = grantIn(request);
    if (grant && this.desk.store.passes.find(grant.id)?.revoked) return new Response(null, { status: 401 });
    const answer = acceptSocket(this.ctx, request, this.desk.wakeBy);
    const call = callIn(request);
    if (call !== null && answer.webSocket) this.desk.calls.came(call);
    return answer;
  }

  override async webSocketMessage(socket: WebSocket, message: string | ArrayBuffer): Promise<void> {
    await hear(this.desk, this.lobby, socket, message);
  }

  override async webSocketClose(socket: WebSocket, code: number, reason: string): Promise<void> {
    closeSocket(socket, code, reason);
    await this.#gone(socket);
  }

  override async webSocketError(socket: WebSocket): Promise<void> {
    await this.#gone(socket);
  }

  override async alarm(): Promise<void> {
    this.#alarm.rang();
    const over = closeOver(this.ctx, this.now());
    // Calls to other objects are not awaited: one that does not answer must not hold up what is due here.
    for (const id of over.closed) this.desk.background(this.lobby.leave(id));
    this.desk.background(this.lobby.resume());
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
    if (next !== Number.POSITIVE_INFINITY) this.#alarm.wakeBy(next, this.now());
  }

  async #gone(socket: WebSocket): Promise<void> {
    const call = callOf(socket);
    if (call !== null) this.desk.calls.left(call);
    await this.lobby.leave(socketId(socket));
  }

  /** Called for each job's end. */
  protected ended(_: JobEnd): void {}

  protected eventOf(n: number): WebhookEvent {
    return jobEvent(this.desk, n);
  }

  protected retentionMs(settings: Settings): number {
    return settings.retentionMs;
  }

  /** How long another mailbox has to accept events, ms. */
  protected relayMs(): number {
    return RELAY_MS;
  }

  /** How long a mailbox stays awake after it has told other mailboxes something, ms. */
  protected restMs(): number {
    return REST_MS;
  }

  /** Characters of events held for subscriptions that still wait for the past. */
  protected heldCharacters(): number {
    return HELD_CHARACTERS;
  }

  /** Bytes. */
  protected stored(): number {
    return this.ctx.storage.sql.databaseSize;
  }

  protected outside(): Outside {
    return OUTSIDE;
  }

  /** ms since the epoch. */
  protected now(): number {
    return Date.now();
  }
}
