/**
 * Estimated waits compared with real ones, for a sample of jobs, by pool and line. A line is the jobs of one flow that mostly take one resource: where one
 * kind is let ahead, the two kinds of a flow wait differently. In memory only: learned anew after a wake.
 */
import { type Calibration, ENOUGH, learn, NAIVE, TOLD_WELL } from "../../policy/calibration.ts";
import type { Entry } from "./book.ts";

/** Sampled jobs whose wait is under way: per line, in all, and per line once the total is reached. */
const SAMPLES = TOLD_WELL;
const SAMPLES_OF_ALL = 4_096;
const SAMPLES_AT_LEAST = 2;

type Line = { known: Calibration | null; samples: number; passed: number };
type Sample = { line: Line; since: number; rawMs: number; told: Calibration };

export class Expectations {
  #whole = NAIVE;
  readonly #lines = new Map<string, Line>();
  /** By job: one that rests meanwhile still teaches. */
  readonly #samples = new Map<string, Sample>();

  /** Until a line's own waits have taught enough, what the whole pool taught applies. */
  of(line: string): Calibration {
    const known = this.#lines.get(line)?.known;
    return known && known.seen >= ENOUGH ? known : this.#whole;
  }

  /**
   * A job begins to wait in a line of this `length`; `rawMs` is the estimate without calibration. Only one in several is sampled, so that the samples under way
   * are spread over the whole line: taken as they come, they would end together, and nothing would be learned until the next ones do.
   */
  expect(entry: Entry, name: string, length: number, rawMs: () => number, now: number): void {
    const line = this.#lines.get(name) ?? { known: null, samples: 0, passed: Number.POSITIVE_INFINITY };
    this.#lines.set(name, line);
    line.passed++;
    const most = this.#samples.size < SAMPLES_OF_ALL ? SAMPLES : SAMPLES_AT_LEAST;
    if (line.samples >= most || line.passed <= length / SAMPLES) return;
    line.samples++;
    line.passed = 0;
    this.#samples.set(entry.row.job, { line, since: now, rawMs: rawMs(), told: this.of(name) });
  }

  /** Its wait is over: it starts. */
  started(entry: Entry, now: number): void {
    const sample = this.#samples.get(entry.row.job);
    if (!sample) return;
    this.gone(entry);
    const { line, rawMs, since, told } = sample;
    const own = line.known ?? { ...this.#whole, seen: 0, learned: 0 };
    this.#whole = learn(this.#whole, told, rawMs, now - since);
    line.known = learn(own, told, rawMs, now - since);
  }

  /** It stops waiting for another reason, which teaches nothing. */
  gone(entry: Entry): void {
    const sample = this.#samples.get(entry.row.job);
    if (!sample) return;
    this.#samples.delete(entry.row.job);
    sample.line.samples--;
  }
}
