/**
 * What calls were expected to take, and what they took. Answers without a bound are learned from, by tenant and model. Law: samples are written once in a
 * while, never for each call: rows are billed, and a crash may lose a few.
 */
import { ENOUGH, expectedOutput, noteOutput, type Outputs } from "../../policy/outputs.ts";
import type { Usage } from "../../schemas/job.ts";
import type { Estimates } from "../../schemas/queue.ts";
import type { Ticket } from "../../schemas/rpc.ts";
import type { CoordinatorStore } from "./store/store.ts";

/** Pairs of tenant and model that are remembered; the one longest without an answer makes room. */
const PAIRS_KEPT = 1_000;
/** Answers of a pair per write. */
const WRITTEN_EVERY = 10;

type Pair = { tenant: string; model: string; outputs: Outputs; expected: number | null; unwritten: number };

const NONE: Estimates = { calls: 0, reserved_tokens: 0, used_tokens: 0, exceeded: 0, exceeded_tokens: 0 };

export class EstimateBook {
  /** The pair longest without an answer comes first. */
  readonly #pairs = new Map<string, Pair>();
  readonly #changed = new Set<Pair>();
  readonly #gone = new Set<Pair>();
  readonly #pools = new Map<string, Estimates>();

  restore(store: CoordinatorStore): void {
    for (const { model, outputs, tenant } of store.outputs())
      this.#pairs.set(nameOf(tenant, model), { tenant, model, outputs, expected: expectedOutput(outputs), unwritten: 0 });
  }

  /** Expected tokens of one choice; null while too little is known. */
  expected(tenant: string, model: string): number | null {
    return this.#pairs.get(nameOf(tenant, model))?.expected ?? null;
  }

  /** A call has ended and reported its usage. `open`: nothing bounded its answer. */
  note(pool: string, tenant: string, open: Ticket["open"] | null, reserved: number, usage: Usage): void {
    const known = this.#pools.get(pool) ?? NONE;
    const beyond = Math.max(0, usage.total_tokens - reserved);
    this.#pools.set(pool, {
      calls: known.calls + 1,
      reserved_tokens: known.reserved_tokens + reserved,
      used_tokens: known.used_tokens + usage.total_tokens,
      exceeded: known.exceeded + (beyond > 0 ? 1 : 0),
      exceeded_tokens: known.exceeded_tokens + beyond,
    });
    if (open) this.#learn(tenant, open.model, Math.ceil(usage.completion_tokens / open.choices));
  }

  /** Of a pool, since the coordinator woke. */
  shown(pool: string): Estimates {
    return this.#pools.get(pool) ?? NONE;
  }

  write(store: CoordinatorStore): void {
    if (this.#changed.size + this.#gone.size === 0) return;
    for (const { tenant, model } of this.#gone) store.dropOutputs(tenant, model);
    for (const pair of this.#changed) {
      store.putOutputs(pair.tenant, pair.model, pair.outputs);
      pair.unwritten = 0;
    }
    this.#gone.clear();
    this.#changed.clear();
  }

  #learn(tenant: string, model: string, tokens: number): void {
    const name = nameOf(tenant, model);
    const pair = this.#pairs.get(name) ?? { tenant, model, outputs: [], expected: null, unwritten: 0 };
    pair.outputs = noteOutput(pair.outputs, tokens);
    pair.expected = expectedOutput(pair.outputs);
    if (++pair.unwritten >= WRITTEN_EVERY || pair.outputs.length === ENOUGH) this.#changed.add(pair);
    this.#gone.delete(pair);
    this.#pairs.delete(name);
    this.#pairs.set(name, pair);
    if (this.#pairs.size > PAIRS_KEPT) this.#forget(this.#pairs.entries().next().value!);
  }

  #forget([name, pair]: [string, Pair]): void {
    this.#pairs.delete(name);
    this.#changed.delete(pair);
    this.#gone.add(pair);
  }
}

/** Unambiguous, because a tenant's name holds no line break. */
function nameOf(tenant: string, model: string): string {
  return `${tenant}\n${model}`;
}
