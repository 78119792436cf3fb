import type { Ticker } from "./ticker.ts";

/** Waits until `time` (Unix ms). Resolves to false at once if the client gives up first. */
export function waitUntil(ticker: Ticker, time: number, signal: AbortSignal): Promise<boolean> {
  if (signal.aborted) return Promise.resolve(false);
  return new Promise((resolve) => {
    const giveUp = () => {
      takeBack();
      resolve(false);
    };
    const takeBack = ticker.at(time, () => {
      signal.removeEventListener("abort", giveUp);
      resolve(true);
    });
    signal.addEventListener("abort", giveUp, { once: true });
  });
}
