/** What operators raised: asked of the coordinator only if something is too large for what is configured, and once for each pool. */
import { callCoordinator, type Env } from "./objects.ts";

type Tried = { ok: boolean; beyond?: string };

export class RaisedLimits {
  readonly #env: Env;
  readonly #region: string;
  readonly #known = new Map<string, number>();
  readonly #asked = new Map<string, Promise<void>>();

  constructor(env: Env, region: string) {
    this.#env = env;
    this.#region = region;
  }

  /** Tries something against what is known to be raised: at first nothing, and once more if a pool's limits cannot hold it. */
  async allowing<T extends Tried>(tried: (raised: ReadonlyMap<string, number>) => T): Promise<T> {
    const first = tried(this.#known);
    const { beyond } = first;
    if (first.ok || beyond === undefined || this.#known.has(beyond)) return first;
    const asked = this.#asked.get(beyond) ?? this.#ask(beyond);
    this.#asked.set(beyond, asked);
    await asked;
    return tried(this.#known);
  }

  async #ask(pool: string): Promise<void> {
    // If nobody answers, what is configured holds; and so it does with a coordinator of an older version, which does not know the question.
    const most = await callCoordinator(this.#env, this.#region, (stub) => stub.mostTokens(pool)).catch(() => 0);
    this.#known.set(pool, most);
  }
}
