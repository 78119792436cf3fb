/** Abort reason when the time ran out before the caller left. */
export const OUT_OF_TIME = "out of time";

/** A caller's patience as a signal: aborted when the time is up or the caller leaves. `over` ends it early. */
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
