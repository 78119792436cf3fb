import { noise, type Random } from "./random.ts";

/** When each step of an answer comes, in ms since the request; step 0 is the first byte. */
export interface Pace {
  firstMs: number;
  everyMs: number;
  seed: number;
}

// Typical of small chat models in daytime: a third of a second to the first token, and a little more to read a long prompt.
const FIRST_TOKEN_MS = 350;
const FIRST_TOKEN_SIGMA = 0.35;
const READ_MS_PER_TOKEN = 0.02;
const TOKENS_PER_SECOND = { low: 80, high: 120 };

export function choosePace(random: Random, promptTokens: number, seed: number): Pace {
  const firstMs = random.logNormal(FIRST_TOKEN_MS, FIRST_TOKEN_SIGMA) + promptTokens * READ_MS_PER_TOKEN;
  const rate = TOKENS_PER_SECOND.low + random.next() * (TOKENS_PER_SECOND.high - TOKENS_PER_SECOND.low);
  return { firstMs, everyMs: 1000 / rate, seed };
}

/** Each step is late by up to nine tenths of an interval: uneven but never out of order, and no state to keep per stream. */
export function dueMs(pace: Pace, step: number): number {
  return step === 0 ? pace.firstMs : pace.firstMs + (step + 0.9 * noise(pace.seed, step)) * pace.everyMs;
}
