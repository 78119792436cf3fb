import { DurableObject } from "cloudflare:workers";
import { Batcher } from "../../platform/batcher.ts";
import { callCoordinator, callMailbox, type Env } from "../../platform/objects.ts";
import { readSettings, type Settings } from "../../platform/settings.ts";
import { aTurn } from "../../platform/turns.ts";
import type { PoolReading } from "../../schemas/rate.ts";
import type { CoordinatorRpc, DispatcherRpc, Held, Lease, Outcome, Settlement, Word } from "../../schemas/rpc.ts";
import { attempt, Call, type Ports } from "./attempt.ts";
import { unknownEnd } from "./classify.ts";
import { openHolds } from "./prepare.ts";
import { openUpstream } from "./upstream.ts";

/** Leases are renewed this often: four times within the time after which the coordinator considers them lost. */
const HEARTBEAT_MS = 10_000;
/** Settlements gather this long after the first: the budget does not depend on them, and the coordinator can take only so many events. */
const SETTLEMENTS = { maxItems: 500, gapMs: 200, regroup: false, abreast: 1 };
/** Late calls are late together: those that come while the coordinator is asked about others share the next message. */
const LATE = { maxItems: 500, gapMs: 0, regroup: false, abreast: 1 };
/** A settlement that the coordinator did not take is sent again after this. */
const SETTLE_RETRY_MS = 2_000;
const LOST = "the lease was lost";

/**
 * How a call ended that was broken off because the coordinator did not know its lease. After a restart the coordinator may have given the very same lease
 * again since, and `void` or `aborted` would end the job although that one is valid.
 */
function forgotten({ controller }: Call, outcome: Outcome | null): Outcome | null {
  if (controller.signal.reason !== LOST || (outcome?.kind !== "void" && outcome?.kind !== "aborted")) return outcome;
  const end = unknownEnd("unknown_outcome", "The call was broken off because its lease was lost.", { blame: false });
  return outcome.kind === "void" ? { ...end, unknown: false, unsent: true } : end;
}

/** Makes upstream calls, each under a lease from the coordinator. Stores nothing: if it dies, its calls are lost, and the coordinator finds out. */
export class Dispatcher extends DurableObject<Env> implements DispatcherRpc {
  readonly #boot = crypto.randomUUID();
  readonly #calls = new Map<string, Call>();
  /** The newest reading of each pool, until the coordinator is told. */
  readonly #readings = new Map<string, PoolReading>();
  readonly #settlements = new Batcher<Settlement, null>((batch) => this.#settle(batch), SETTLEMENTS);
  readonly #late = new Batcher<Held, Word>(
    (held) => callCoordinator(this.env, this.#settings.region, (stub) => stub.late(this.ctx.id.name ?? "", held)),
    LATE,
  );
  readonly #settings: Settings;
  readonly #ports: Ports;
  #beating = false;

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    this.#settings = readSettings(env);
    const { timeouts } = this.#settings;
    this.#ports = {
      upstream: openUpstream(env, () => this.now()),
      holds: openHolds(),
      timeouts,
      open: async (lease) => {
        const call = { lease, dispatcher: ctx.id.name ?? "", inPieces: true as const };
        return (await callMailbox(env, lease.mailbox, (stub) => stub.open([call])))[0]!;
      },
      late: ({ attempt: number, job }) => this.#late.add({ job, attempt: number }),
      piece: (lease, index) => callMailbox(env, lease.mailbox, (stub) => stub.piece(lease.job, index)),
      append: async (lease, call) => (await callMailbox(env, lease.mailbox, (stub) => stub.append([call])))[0]!,
      commit: async (lease, call) => (await callMailbox(env, lease.mailbox, (stub) => stub.commit([call])))[0]!,
      // If this is lost, the pool hears of it when the call ends.
      proven: ({ attempt: number, job }) =>
        ctx.waitUntil(this.#tell((stub, readings) => stub.proven(ctx.id.name ?? "", job, number, readings)).catch(() => {})),
      read: (reading) => this.#readings.set(reading.pool, reading),
      now: () => this.now(),
    };
  }

  async start(leases: Lease[]): Promise<{ boot: string }> {
    for (const lease of leases) {
      const known = this.#calls.get(lease.job);
      if (known && known.lease.attempt >= lease.attempt) continue;
      known?.abort("a newer attempt has begun");
      const call = new Call(lease, this.#ports.now());
      this.#calls.set(lease.job, call);
      this.ctx.waitUntil(this.#run(call));
    }
    this.#beat();
    // The caller's answer is not urgent: the calls go first.
    await aTurn();
    return { boot: this.#boot };
  }

  async abort(jobs: string[]): Promise<void> {
    for (const job of jobs) this.#calls.get(job)?.abort("the job was cancelled");
  }

  async report(): Promise<{ boot: string; held: Held[] }> {
    return { boot: this.#boot, held: this.#held() };
  }

  async watch(held: Held[]): Promise<void> {
    for (const { job, attempt: number } of held) {
      const call = this.#calls.get(job);
      if (call?.lease.attempt === number) call.watch();
    }
  }

  /** ms since the epoch. */
  protected now(): number {
    return Date.now();
  }

  protected heartbeatMs(): number {
    return HEARTBEAT_MS;
  }

  async #run(call: Call): Promise<void> {
    const { job, attempt: number } = call.lease;
    const outcome = forgotten(call, await attempt(call, this.#ports));
    const waited = call.waitedMs === null ? {} : { waitedMs: call.waitedMs };
    if (outcome) await this.#settlements.add({ job, attempt: number, outcome, headersMs: call.headersMs, ...waited });
    // Held until the coordinator knows the outcome: a report before that must not make the call look lost.
    if (this.#calls.get(job) === call) this.#calls.delete(job);
  }

  async #settle(settlements: Settlement[]): Promise<null[]> {
    const batch = { dispatcher: this.ctx.id.name ?? "", boot: this.#boot, settlements, readings: this.#takeReadings() };
    for (;;) {
      try {
        await callCoordinator(this.env, this.#settings.region, (stub) => stub.settle(batch));
        return settlements.map(() => null);
      } catch {
        await new Promise((done) => setTimeout(done, SETTLE_RETRY_MS));
      }
    }
  }

  /** Sends along the readings that the coordinator has not been told. If the message does not arrive, they go with the next one. */
  async #tell<T>(say: (stub: CoordinatorRpc, readings: PoolReading[]) => Promise<T>): Promise<T> {
    const readings = this.#takeReadings();
    try {
      return await callCoordinator(this.env, this.#settings.region, (stub) => say(stub, readings));
    } catch (error) {
      for (const unheard of readings) if (!this.#readings.has(unheard.pool)) this.#readings.set(unheard.pool, unheard);
      throw error;
    }
  }

  #takeReadings(): PoolReading[] {
    const readings = [...this.#readings.values()];
    this.#readings.clear();
    return readings;
  }

  #held(): Held[] {
    return [...this.#calls.values()].map(({ lease }) => ({ job: lease.job, attempt: lease.attempt }));
  }

  #beat(): void {
    if (this.#beating || this.#calls.size === 0) return;
    this.#beating = true;
    setTimeout(() => void this.#heartbeat(), this.heartbeatMs());
  }

  async #heartbeat(): Promise<void> {
    const held = this.#held();
    if (held.length > 0) {
      const beat = this.#tell((stub, readings) => stub.heartbeat(this.ctx.id.name ?? "", this.#boot, held, readings));
      const { stop } = await beat.catch(() => ({ stop: [] as Held[] }));
      for (const { job, attempt: number } of stop) {
        const call = this.#calls.get(job);
        if (call?.lease.attempt === number) call.abort(LOST);
      }
    }
    this.#beating = false;
    this.#beat();
  }
}
