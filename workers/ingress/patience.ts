/** Why the signal was aborted, if the time was over before the caller went. */
export const OUT_OF_TIME = "out of time";

/** A caller's patience, as a signal: aborted when the time is over, or when the caller goes. `over` ends it, whatever became of it. */
export function patienceOf(request: Request, ms: number): { signal: AbortSignal; over: () => void } {
  const reader = new AbortController();
  const over = () => {
    clearTimeout(timer);
    reader.abort();
  };
  const timer = setTimeout(() => reader.abort(OUT_OF_TIME), Math.max(0, ms));
  if (request.signal.aborted) over();
  else request.signal.addEventListener("abort", over);
  return { signal: reader.signal, over };
}
