/** A dispatcher: six header slots, settlements in batches, heartbeats; forgets all when it is made anew. */
import { HEADER_SLOTS } from "../../policy/placement.ts";
import type { PoolReading } from "../../schemas/rate.ts";
import type { Held, Lease, Outcome, Settlement } from "../../schemas/rpc.ts";
import { POOL } from "./loads.ts";
import type { Row, Sluice } from "./sluice.ts";

const HEARTBEAT_MS = 10_000;
const SETTLE_GAP_MS = 200;
const SETTLE_RETRY_MS = 2_000;

export class SimDispatcher {
  readonly #name: string;
  readonly #sluice: Sluice;
  #boot = 1;
  #calls = new Map<string, number>();
  #free = HEADER_SLOTS;
  #queue: (() => void)[] = [];
  #settlements: Settlement[] = [];
  /** The newest, until it is told. */
  #reading: PoolReading | null = null;
  #settling = false;
  /** Until then settlements wait for others. */
  #quietUntil = 0;
  #beating = false;

  constructor(name: string, sluice: Sluice) {
    this.#name = name;
    this.#sluice = sluice;
  }

  get boot(): string {
    return `${this.#name} ${this.#boot}`;
  }

  /** `rows`: of their jobs. */
  start(leases: Lease[], rows: Row[]): string {
    for (const [index, lease] of leases.entries()) {
      if ((this.#calls.get(lease.job) ?? 0) >= lease.attempt) continue;
      this.#calls.set(lease.job, lease.attempt);
      const { boot } = this;
      const row = rows[index]!;
      const { time } = this.#sluice.world;
      const startedAt = time.now;
      time.after(1, () => {
        if (boot === this.boot) this.#open(lease, row, startedAt);
      });
    }
    this.#beat();
    return this.boot;
  }

  report(): { boot: string; held: Held[] } {
    return { boot: this.boot, held: [...this.#calls].map(([job, attempt]) => ({ job, attempt })) };
  }

  #open(lease: Lease, row: Row, startedAt: number): void {
    if (!this.#sluice.wants(row, lease.attempt)) {
      this.#end(lease, { kind: "void" });
    } else if (this.#free > 0) {
      this.#free--;
      this.#call(lease, row, startedAt);
    } else {
      this.#queue.push(() => this.#call(lease, row, startedAt));
    }
  }

  #call(lease: Lease, row: Row, startedAt: number): void {
    const { world, lines } = this.#sluice;
    if (lines.restarts()) {
      this.#restart();
      return;
    }
    const { boot } = this;
    const mine = () => boot === this.boot;
    const { job } = row;
    const sentAt = world.time.now;
    const waitedMs = sentAt - startedAt;
    let headersMs: number | null = null;
    const back = (outcome: Outcome) => {
      if (mine()) this.#end(lease, outcome, headersMs, waitedMs);
    };
    world.call(
      job,
      (outcome) => {
        if (!mine()) return;
        if (outcome.kind === "refused") return back({ kind: "rate_limited", retryAfterMs: outcome.retryAfterMs });
        this.#sluice.commit(row, lease.attempt);
        const usage = { prompt_tokens: job.prompt, completion_tokens: job.output, total_tokens: outcome.used };
        back({ kind: "committed", usage });
      },
      (rates) => {
        if (!mine()) return;
        headersMs = world.time.now - sentAt;
        if (rates) this.#reading = { ...rates, pool: POOL, job: job.id, sentAt, at: world.time.now };
        const next = this.#queue.shift();
        if (next) next();
        else this.#free++;
      },
    );
  }

  #end({ job, attempt }: Held, outcome: Outcome, headersMs: number | null = null, waitedMs = 0): void {
    this.#settlements.push({ job, attempt, outcome, headersMs, waitedMs });
    if (this.#settling) return;
    const { time } = this.#sluice.world;
    if (time.now >= this.#quietUntil) {
      this.#settle();
      return;
    }
    const { boot } = this;
    this.#settling = true;
    time.at(this.#quietUntil, () => boot === this.boot && this.#settle());
  }

  #settle(): void {
    const batch = this.#settlements;
    this.#settlements = [];
    this.#settling = batch.length > 0;
    if (!this.#settling) return;
    const { boot } = this;
    const readings = this.#takeReadings();
    const { time } = this.#sluice.world;
    const send = () => {
      if (boot !== this.boot) return;
      this.#sluice.settle(
        this.#name,
        boot,
        batch,
        readings,
        () => {
          if (boot !== this.boot) return;
          for (const { job, attempt } of batch) if (this.#calls.get(job) === attempt) this.#calls.delete(job);
          this.#quietUntil = time.now + SETTLE_GAP_MS;
          this.#settling = this.#settlements.length > 0;
          if (this.#settling) time.at(this.#quietUntil, () => boot === this.boot && this.#settle());
        },
        () => time.after(SETTLE_RETRY_MS, send),
      );
    };
    send();
  }

  #takeReadings(): PoolReading[] {
    const readings = this.#reading ? [this.#reading] : [];
    this.#reading = null;
    return readings;
  }

  #beat(): void {
    if (this.#beating || this.#calls.size === 0) return;
    this.#beating = true;
    const { boot } = this;
    this.#sluice.world.time.after(HEARTBEAT_MS, () => {
      if (boot !== this.boot) return;
      this.#beating = false;
      if (this.#calls.size > 0) this.#sluice.heartbeat(this.#name, boot, this.report().held, this.#takeReadings(), () => {});
      this.#beat();
    });
  }

  #restart(): void {
    this.#boot++;
    this.#calls = new Map();
    this.#free = HEADER_SLOTS;
    this.#queue = [];
    this.#settlements = [];
    this.#reading = null;
    this.#settling = false;
    this.#quietUntil = 0;
    this.#beating = false;
  }
}
