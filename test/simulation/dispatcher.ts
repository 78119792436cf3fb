/** A dispatcher: six header slots, late calls that ask again, settlements in batches, heartbeats. It forgets everything when it restarts. */
import { HEADER_SLOTS } from "../../policy/placement.ts";
import type { PoolReading } from "../../schemas/rate.ts";
import type { Held, Lease, Outcome, Settlement, Word } from "../../schemas/rpc.ts";
import { POOL } from "./loads.ts";
import type { Row, Sluice } from "./sluice.ts";

const HEARTBEAT_MS = 10_000;
const SETTLE_GAP_MS = 200;
const SETTLE_RETRY_MS = 2_000;
const lostLease = { status: 502, type: "server_error", code: "lease_lost", message: "", param: null };
const LOST: Outcome = { kind: "retryable", unknown: false, retryAfterMs: null, problem: lostLease, unsent: true };

export class SimDispatcher {
  readonly #name: string;
  readonly #sluice: Sluice;
  #boot = 1;
  #calls = new Map<string, number>();
  #free = HEADER_SLOTS;
  #queue: (() => void)[] = [];
  #settlements: Settlement[] = [];
  /** Late calls that have not asked yet. */
  #late: { lease: Lease; told: (word: Word) => void }[] = [];
  #asking = false;
  /** The newest reading that was not sent yet. */
  #reading: PoolReading | null = null;
  #settling = false;
  /** Until then, settlements wait for others. */
  #quietUntil = 0;
  #beating = false;

  constructor(name: string, sluice: Sluice) {
    this.#name = name;
    this.#sluice = sluice;
  }

  get boot(): string {
    return `${this.#name} ${this.#boot}`;
  }

  /** `rows`: those of the leases' jobs. */
  start(leases: Lease[], rows: Row[]): string {
    for (const [index, lease] of leases.entries()) {
      if ((this.#calls.get(lease.job) ?? 0) >= lease.attempt) continue;
      this.#calls.set(lease.job, lease.attempt);
      const { boot } = this;
      const row = rows[index]!;
      const { time } = this.#sluice.world;
      const startedAt = time.now;
      time.after(1 + this.#sluice.stallMs(), () => {
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
      this.#leave(lease, row, startedAt);
    } else {
      this.#queue.push(() => this.#leave(lease, row, startedAt));
    }
  }

  /** The call holds a slot and is ready. */
  #leave(lease: Lease, row: Row, startedAt: number): void {
    if (lease.leaveBy === undefined || this.#sluice.world.time.now <= lease.leaveBy) {
      this.#call(lease, row, startedAt);
      return;
    }
    const told = (word: Word) => {
      if (word === "go") return this.#call(lease, row, startedAt);
      this.#handOn();
      if (word === "lost") this.#end(lease, LOST);
      else if (this.#calls.get(lease.job) === lease.attempt) this.#calls.delete(lease.job);
    };
    this.#late.push({ lease, told });
    this.#ask();
  }

  #ask(): void {
    if (this.#asking || this.#late.length === 0) return;
    const { boot } = this;
    const batch = this.#late;
    [this.#late, this.#asking] = [[], true];
    const answered = (words: Word[]) => {
      if (boot !== this.boot) return;
      this.#asking = false;
      for (const [index, { told }] of batch.entries()) told(words[index]!);
      this.#ask();
    };
    const held = batch.map(({ lease: { attempt, job } }) => ({ job, attempt }));
    this.#sluice.late(this.#name, held, answered, () => answered(batch.map(() => "go")));
  }

  #handOn(): void {
    const next = this.#queue.shift();
    if (next) next();
    else this.#free++;
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
        this.#handOn();
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
    this.#late = [];
    this.#asking = false;
    this.#settlements = [];
    this.#reading = null;
    this.#settling = false;
    this.#quietUntil = 0;
    this.#beating = false;
  }
}
