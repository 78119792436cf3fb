/** Waits, unless the client gives up first: then false, at once, and no timer is left behind. */
export function wait(milliseconds: number, signal: AbortSignal): Promise<boolean> {
  if (signal.aborted) return Promise.resolve(false);
  if (milliseconds <= 0) return Promise.resolve(true);
  return new Promise((resolve) => {
    const giveUp = () => {
      clearTimeout(timer);
      resolve(false);
    };
    const timer = setTimeout(() => {
      signal.removeEventListener("abort", giveUp);
      resolve(true);
    }, milliseconds);
    signal.addEventListener("abort", giveUp, { once: true });
  });
}
