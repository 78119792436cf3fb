/**
 * What was estimated of waits, held against what they turned out to be: of a sample of jobs, by pool and flow. In memory alone: after a wake it
 * is learned anew.
 */
import { type Calibration, learn, NAIVE } from "../../policy/calibration.ts";
import type { Entry } from "./book.ts";

/** Jobs whose wait is under way and will be learned from: of one flow, and of all where each has some. */
const SAMPLES = 256;
const SAMPLES_OF_ALL = 4_096;
const SAMPLES_AT_LEAST = 2;
/** Until a flow's own waits have taught so much, it is told what all of the pool taught. */
const ENOUGH = 16;

type Sample = { since: number; rawMs: number; told: Calibration };

export class Expectations {
  #whole = NAIVE;
  readonly #byFlow = new Map<string, Calibration>();
  /** By flow and job: a job that rests meanwhile teaches as well. */
  readonly #samples = new Map<string, Map<string, Sample>>();
  #sampled = 0;

  of(flow: string): Calibration {
    const own = this.#byFlow.get(flow);
    return own && own.seen >= ENOUGH ? own : this.#whole;
  }

  /** A job begins to wait; `rawMs` as reckoned, without calibration. */
  expect(entry: Entry, rawMs: () => number, now: number): void {
    const { flow } = entry;
    const samples = this.#samples.get(flow) ?? new Map<string, Sample>();
    if (samples.size >= (this.#sampled < SAMPLES_OF_ALL ? SAMPLES : SAMPLES_AT_LEAST)) return;
    this.#sampled++;
    this.#samples.set(flow, samples.set(entry.row.job, { since: now, rawMs: rawMs(), told: this.of(flow) }));
  }

  /** Its wait is over: it starts. */
  started(entry: Entry, now: number): void {
    const sample = this.#samples.get(entry.flow)?.get(entry.row.job);
    if (!sample) return;
    this.gone(entry);
    const { flow } = entry;
    const { rawMs, since, told } = sample;
    const own = this.#byFlow.get(flow) ?? { ...this.#whole, seen: 0 };
    this.#whole = learn(this.#whole, told, rawMs, now - since);
    this.#byFlow.set(flow, learn(own, told, rawMs, now - since));
  }

  /** It waits no more, for another reason: that teaches nothing. */
  gone(entry: Entry): void {
    const { flow } = entry;
    const samples = this.#samples.get(flow);
    if (!samples?.delete(entry.row.job)) return;
    this.#sampled--;
    if (samples.size === 0) this.#samples.delete(flow);
  }
}
