/** Calls between objects: a way there and a way back, on either of which they can be lost; what is lost is called again, as `platform/objects.ts` does. */
import type { World } from "./world.ts";

export type Faults = {
  /** Of a call not to arrive, of its answer not to arrive, and of a call to arrive twice: probabilities. */
  lose?: number;
  double?: number;
  /** Of the coordinator to die before a turn is written, and again after it. */
  die?: number;
  /** Of a dispatcher to be made anew with each call that it is about to make. */
  restart?: number;
  /** Faults end at this instant, ms: then everything must come to its end. */
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

  /** `call` runs at the other object and may throw; exactly one of `then` and `failed` is told. */
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
    // Nobody waits for the answer of a message that came twice.
  }
}
