/**
 * The jobs of one tenant in one pool. Law: they start in the order of `Queue`; those of each kind stand in a line of their own as well,
 * so that one kind can go ahead while the other's resource is spent. A job stays of the kind that it came in with: limits change while it waits.
 */
import { precedes, Queue, type Waiting } from "./queue.ts";

/** What a job takes the greater share of: its dominant resource. */
export type Kind = "requests" | "tokens";
export const KINDS: readonly Kind[] = ["requests", "tokens"];

export class Lane {
  readonly tenant: string;
  readonly weight: number;
  /** Service so far, in ms of the pool's rate divided by weight. */
  virtual = 0;
  /** Service to be given back at the next start. */
  credit = 0;
  /** Where the lane stands in the heap of each kind; -1 where it does not. */
  readonly slots: Record<Kind, number> = { requests: -1, tokens: -1 };
  readonly #lines: Record<Kind, Queue> = { requests: new Queue(), tokens: new Queue() };

  constructor(tenant: string, weight: number) {
    this.tenant = tenant;
    this.weight = weight;
  }

  get size(): number {
    return this.#lines.requests.size + this.#lines.tokens.size;
  }

  first(kind: Kind): Waiting | undefined {
    return this.#lines[kind].first();
  }

  /** The kind of the job that is next. */
  nextKind(): Kind {
    const [requests, tokens] = [this.first("requests"), this.first("tokens")];
    return tokens && (!requests || precedes(tokens, requests)) ? "tokens" : "requests";
  }

  add(waiting: Waiting, kind: Kind): void {
    this.#lines[kind].add(waiting);
  }

  /** Answers whether it was there. */
  remove(waiting: Waiting): boolean {
    return this.#lines.requests.remove(waiting) || this.#lines.tokens.remove(waiting);
  }

  /** How many of the lane start before this one. */
  rank(waiting: Waiting): number {
    return this.#lines.requests.rank(waiting) + this.#lines.tokens.rank(waiting);
  }
}
