import type { Answer } from "./model.ts";
import { anotherWord } from "./prose.ts";
import { hash, noise } from "./random.ts";

const encoder = new TextEncoder();

/** The log probability of one token of one choice, derived each time from its position so that nothing has to be kept. */
export function logprobOf(answer: Answer, index: number, position: number): object {
  const token = answer.choices[index]!.content![position]!;
  const seed = hash(`${index}:${position}`, answer.seed);
  const chosen = describe(token, -3 * noise(seed, 0) ** 4);
  const top: object[] = [];
  for (let rank = 0; rank < (answer.topLogprobs ?? 0); rank++) {
    top.push(rank === 0 ? chosen : describe(anotherWord(noise(seed, rank)), -3 - rank - noise(seed, -rank)));
  }
  return { ...chosen, top_logprobs: top };
}

function describe(token: string, logprob: number): object {
  return { token, logprob: -Math.round(-logprob * 1e6) / 1e6, bytes: [...encoder.encode(token)] };
}
