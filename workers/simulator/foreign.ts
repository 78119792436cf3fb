import { hash, Random } from "./random.ts";

/** What other programs do with the same key, or in the same organisation. Times in ms. */
export interface ForeignStream {
  model: string;
  /** Calls and tokens per minute at full rate. */
  rpm: number;
  tpm: number;
  /** Unix ms. */
  from: number;
  until: number;
  /** The rate grows evenly from nothing to full over this time. */
  rampMs: number;
  /** Alternates from the start on: active for `onMs`, silent for `offMs`. Always active if `offMs` is 0. */
  onMs: number;
  offMs: number;
  /** In another project: draws only on the organisation's limits. */
  elsewhere: boolean;
}

export interface Arrival {
  at: number;
  elsewhere: boolean;
  model: string;
  tokens: number;
}

/** Calls come at random times, on average at the given rate, with sizes from half to one and a half times the mean. */
export class ForeignTraffic {
  private readonly sources: Source[];

  constructor(streams: readonly ForeignStream[], seed: number) {
    this.sources = streams.map((stream, index) => new Source(stream, hash(`foreign ${index}`, seed)));
  }

  /** The arrivals up to `now` that were not taken before, in order of time. */
  *take(now: number): Iterable<Arrival> {
    for (;;) {
      const first = this.sources.reduce<Source | undefined>((best, one) => (one.at < (best?.at ?? Infinity) ? one : best), undefined);
      if (first === undefined || first.at > now) return;
      yield first.take();
    }
  }
}

class Source {
  /** When its next call comes; infinite when there is none. */
  at: number;
  private readonly stream: ForeignStream;
  private readonly random: Random;

  constructor(stream: ForeignStream, seed: number) {
    this.stream = stream;
    this.random = new Random(seed);
    this.at = this.after(stream.from);
  }

  take(): Arrival {
    const { elsewhere, model, rpm, tpm } = this.stream;
    const taken = { at: this.at, elsewhere, model, tokens: Math.round((tpm / rpm) * (0.5 + this.random.next())) };
    this.at = this.after(this.at);
    return taken;
  }

  /** Draws at the full rate and drops calls where the rate is lower. Every call has its own draw, so nothing depends on when we look. */
  private after(time: number): number {
    const { from, until, rpm, rampMs } = this.stream;
    for (let at = time; ; ) {
      at += this.gap(rpm);
      // A pause may be long, so it is skipped in one step.
      for (let end = this.pauseEnd(at); end !== null; end = this.pauseEnd(at)) at = end + this.gap(rpm);
      if (at >= until) return Infinity;
      if (this.random.next() * rampMs < at - from) return at;
    }
  }

  private gap(rpm: number): number {
    return -Math.log(1 - this.random.next()) * (60_000 / rpm);
  }

  /** When the pause that `at` falls into ends; null if it falls into none. */
  private pauseEnd(at: number): number | null {
    const { from, onMs, offMs } = this.stream;
    const turnMs = onMs + offMs;
    if (offMs === 0) return null;
    const place = (at - from) % turnMs;
    return place < onMs ? null : at - place + turnMs;
  }
}
