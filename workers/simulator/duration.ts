/** OpenAI writes durations as Go does: `9ms`, `3.114s`, `6m0s`, `1h0m0s`. Takes whole milliseconds. */
export function formatDuration(milliseconds: number): string {
  if (milliseconds <= 0) return "0s";
  if (milliseconds < 1000) return `${milliseconds}ms`;
  const hours = Math.floor(milliseconds / 3_600_000);
  const minutes = Math.floor(milliseconds / 60_000) % 60;
  const seconds = (milliseconds % 60_000) / 1000;
  if (hours > 0) return `${hours}h${minutes}m${seconds}s`;
  return minutes > 0 ? `${minutes}m${seconds}s` : `${seconds}s`;
}
