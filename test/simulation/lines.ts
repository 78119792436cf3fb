/** Calls between objects: a way there and a way back, and a message can be lost on either. A lost call is repeated, as in `platform/objects.ts`. */
import type { World } from "./world.ts";

export type Faults = {
  /** Probabilities that a call does not arrive, or its answer does not, and that a call arrives twice. */
  lose?: number;
  double?: number;
  /** Probability that the coordinator dies before a turn is written, and again after it. */
  die?: number;
  /** Probability that a dispatcher restarts at each call that it is about to make. */
  restart?: number;
  /** Faults end at this instant, ms; after that everything must finish. */
  until?: number;
};

const ATTEMPTS = 4;
const FIRST_PAUSE_MS = 25;
const WAY_MS = 1;

export class Lines {
  readonly #world: World;
  readonly #faults: Faults;

  constructor(world: World, faults: Faults) {
    this.#world = world;
    this.#faults = faults;
  }

  dies(): boolean {
    return this.#strikes(this.#faults.die);
  }

  restarts(): boolean {
    return this.#strikes(this.#faults.restart);
  }

  /** `call` runs at the other object and may throw. Exactly one of `then` and `failed` is called. */
  call<R>(call: () => R, then: (answer: R) => void, failed: () => void, count = 1): void {
    const { time, random } = this.#world;
    const again = () => {
      if (count >= ATTEMPTS) failed();
      else time.after(FIRST_PAUSE_MS * 4 ** (count - 1) * random.between(0.5, 1.5), () => this.call(call, then, failed, count + 1));
    };
    time.after(WAY_MS, () => {
      if (this.#strikes(this.#faults.lose)) return again();
      try {
        const answer = call();
        if (this.#strikes(this.#faults.double)) time.after(random.between(1, 500), () => quietly(call));
        if (this.#strikes(this.#faults.lose)) again();
        else time.after(WAY_MS, () => then(answer));
      } catch {
        again();
      }
    });
  }

  #strikes(probability: number | undefined): boolean {
    if (!probability || this.#world.time.now >= (this.#faults.until ?? Number.POSITIVE_INFINITY)) return false;
    return this.#world.random.chance(probability);
  }
}

function quietly(call: () => unknown): void {
  try {
    call();
  } catch {
    // Nobody waits for the answer to a message that came twice.
  }
}
