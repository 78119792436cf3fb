/** The deployed entry with the test's clock and dice, and the test's upstream in place of the simulator. */
import { DurableObject } from "cloudflare:workers";
import * as objects from "../../durable-objects/index.ts";
import { parseExact } from "../../platform/exact-json.ts";
import type { Env } from "../../platform/objects.ts";
import type { CoordinatorRpc, DispatcherRpc, MailboxRpc } from "../../schemas/rpc.ts";
import type { ArchiveRpc, BatchRpc } from "../../schemas/rpc-batch.ts";
import { route } from "../../workers/ingress/router.ts";
import { keepAtHand } from "./at-hand.ts";
import { countNesting, nested } from "./depth.ts";
import { world } from "./world.ts";

keepAtHand(import.meta.filename);

const DISPATCHER_HEADER = "x-test-dispatcher";

/** The environment, overridden by the test's own variables. */
function worldly(env: Env): Env {
  const own = { ...env, ...world.env };
  return { ...own, SLUICE_POOLS: atOnce(own.SLUICE_POOLS) };
}

/** Spares tests from learning what a pool may spend at once: it is a minute of its rate, unless the test sets `burst_seconds`. Null: it is learned. */
function atOnce(pools: unknown): unknown {
  if (typeof pools !== "string") return pools;
  const written = Object.entries(JSON.parse(pools) as Record<string, object>);
  return JSON.stringify(Object.fromEntries(written.map(([id, pool]) => [id, { burst_seconds: 60, ...pool }])));
}

/** The environment, with an upstream that is told which dispatcher calls. */
function signed(env: Env, dispatcher: string): Env {
  const SIMULATOR = {
    getByName: (name: string) => ({
      fetch: (request: Request) => {
        request.headers.set(DISPATCHER_HEADER, dispatcher);
        return env.SIMULATOR.getByName(name).fetch(request);
      },
    }),
  };
  return { ...worldly(env), SIMULATOR: SIMULATOR as unknown as DurableObjectNamespace };
}

function between<R>(method: string, args: unknown[], go: () => Promise<R>): Promise<R> {
  const stands = world.between.get(method);
  // Without the depth that the caller tells last.
  const said = args.filter((arg) => !(arg instanceof Object && "~depth" in arg));
  return stands ? (Promise.resolve(stands(go, said)) as Promise<R>) : go();
}

export class Coordinator extends objects.Coordinator {
  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, nested(worldly(env), ctx));
  }

  protected override outside() {
    return receivers(super.outside().timeoutMs);
  }

  override enqueue(...args: Parameters<CoordinatorRpc["enqueue"]>) {
    return between("coordinator.enqueue", args, () => super.enqueue(...args));
  }

  override cancel(...args: Parameters<CoordinatorRpc["cancel"]>) {
    return between("coordinator.cancel", args, () => super.cancel(...args));
  }

  override watch(...args: Parameters<CoordinatorRpc["watch"]>) {
    return between("coordinator.watch", args, () => super.watch(...args));
  }

  override settle(...args: Parameters<CoordinatorRpc["settle"]>) {
    return between("coordinator.settle", args, () => super.settle(...args));
  }

  override heartbeat(...args: Parameters<CoordinatorRpc["heartbeat"]>) {
    return between("coordinator.heartbeat", args, () => super.heartbeat(...args));
  }

  override late(...args: Parameters<CoordinatorRpc["late"]>) {
    return between("coordinator.late", args, () => super.late(...args));
  }

  protected override now(): number {
    return world.now;
  }

  protected override random(): number {
    return world.random;
  }
}

/** Stands in for the receivers of webhooks and alerts. */
function receivers(timeoutMs: number) {
  return {
    fetch: async (request: Request) => world.receiver(request),
    random: () => world.random,
    timeoutMs: world.webhookTimeoutMs ?? timeoutMs,
    wait: async (ms: number) => void world.waits.push(ms),
  };
}

export class Mailbox extends objects.Mailbox {
  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, nested(worldly(env), ctx));
    const name = ctx.id.name ?? "";
    world.wakes.set(name, (world.wakes.get(name) ?? 0) + 1);
  }

  override fetch(request: Request): Promise<Response> {
    return between("mailbox.fetch", [request], () => super.fetch(request));
  }

  override submit(...args: Parameters<MailboxRpc["submit"]>) {
    return between("mailbox.submit", args, () => super.submit(...args));
  }

  override collect(...args: Parameters<MailboxRpc["collect"]>) {
    return between("mailbox.collect", args, () => super.collect(...args));
  }

  override open(...args: Parameters<MailboxRpc["open"]>) {
    return between("mailbox.open", args, () => super.open(...args));
  }

  override append(...args: Parameters<MailboxRpc["append"]>) {
    return between("mailbox.append", args, () => super.append(...args));
  }

  override commit(...args: Parameters<MailboxRpc["commit"]>) {
    return between("mailbox.commit", args, () => super.commit(...args));
  }

  override follow(...args: Parameters<MailboxRpc["follow"]>) {
    return between("mailbox.follow", args, () => super.follow(...args));
  }

  override unfollow(...args: Parameters<MailboxRpc["unfollow"]>) {
    return between("mailbox.unfollow", args, () => super.unfollow(...args));
  }

  override missed(...args: Parameters<MailboxRpc["missed"]>) {
    return between("mailbox.missed", args, () => super.missed(...args));
  }

  override relay(...args: Parameters<MailboxRpc["relay"]>) {
    return between("mailbox.relay", args, () => super.relay(...args));
  }

  protected override restMs(): number {
    return world.restMs;
  }

  protected override heldCharacters(): number {
    return world.heldCharacters ?? super.heldCharacters();
  }

  protected override stored(): number {
    return world.stored ?? super.stored();
  }

  protected override relayMs(): number {
    return world.relayMs ?? super.relayMs();
  }

  override judge(...args: Parameters<MailboxRpc["judge"]>) {
    return between("mailbox.judge", args, () => super.judge(...args));
  }

  protected override outside() {
    return receivers(super.outside().timeoutMs);
  }

  protected override now(): number {
    return world.now;
  }
}

export class Archive extends objects.Archive {
  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, nested(worldly(env), ctx));
  }

  override enter(...args: Parameters<ArchiveRpc["enter"]>) {
    return between("archive.enter", args, () => super.enter(...args));
  }

  protected override now(): number {
    return world.now;
  }
}

export class Batch extends objects.Batch {
  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, nested(worldly(env), ctx));
  }

  override begin(...args: Parameters<BatchRpc["begin"]>) {
    return between("batch.begin", args, () => super.begin(...args));
  }

  protected override restMs(): number {
    return world.restMs;
  }

  protected override outside() {
    return receivers(super.outside().timeoutMs);
  }

  protected override now(): number {
    return world.now;
  }
}

export class Dispatcher extends objects.Dispatcher {
  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, nested(signed(env, ctx.id.name ?? ""), ctx));
  }

  override start(...args: Parameters<DispatcherRpc["start"]>) {
    return between("dispatcher.start", args, () => super.start(...args));
  }

  override abort(...args: Parameters<DispatcherRpc["abort"]>) {
    return between("dispatcher.abort", args, () => super.abort(...args));
  }

  override report(...args: Parameters<DispatcherRpc["report"]>) {
    return between("dispatcher.report", args, () => super.report(...args));
  }

  protected override now(): number {
    return world.dispatchersNow ?? super.now();
  }

  protected override heartbeatMs(): number {
    return world.heartbeatMs ?? super.heartbeatMs();
  }
}

export class Simulator extends DurableObject {
  override async fetch(request: Request): Promise<Response> {
    const dispatcher = request.headers.get(DISPATCHER_HEADER) ?? "";
    const body = parseExact(await request.text()) as Record<string, unknown>;
    world.calls.push(body);
    const { waitingBy, mostWaitingBy } = world;
    const count = (more: number) => {
      if (waitingBy !== world.waitingBy) return;
      world.waiting += more;
      world.mostWaiting = Math.max(world.mostWaiting, world.waiting);
      waitingBy.set(dispatcher, (waitingBy.get(dispatcher) ?? 0) + more);
      mostWaitingBy.set(dispatcher, Math.max(mostWaitingBy.get(dispatcher) ?? 0, waitingBy.get(dispatcher)!));
    };
    let waits = true;
    const leave = () => {
      if (waits) count(-1);
      waits = false;
    };
    count(1);
    request.signal.addEventListener("abort", leave);
    try {
      return await world.upstream({ body, signal: request.signal, dispatcher });
    } finally {
      leave();
    }
  }
}

for (const Class of [Coordinator, Mailbox, Archive, Batch, Dispatcher]) countNesting(Class);

export default {
  fetch: (request: Request, env: Env, ctx: ExecutionContext) => route(request, nested(worldly(env), request), ctx, world.now),
};
