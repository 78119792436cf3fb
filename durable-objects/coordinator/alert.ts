/**
 * Alerts operators elsewhere, by one POST to their URL. In addition to the log, not instead of it: an alert under way when the object dies
 * is not sent again, and `GET /v1/queue` shows how things stand.
 */
import { type Outside, post } from "../../platform/outside.ts";
import { type Notice, report } from "../../platform/telemetry.ts";

/** Waits before each try, ms. */
const WAITS_MS = [0, 2_000, 10_000, 30_000];
/** Not an error, but the end of one. */
const OVER = "pool_resumed";

export function isAlert({ level, event }: Notice): boolean {
  return level === "error" || event === OVER;
}

/** @param now when it happened, ms. Never throws. */
export async function alert(outside: Outside, url: string, notice: Notice, now: number): Promise<void> {
  const body = JSON.stringify({ text: textOf(notice), ...notice, at: Math.floor(now / 1_000) });
  let status: number | null = null;
  for (const ms of WAITS_MS) {
    if (ms > 0) await outside.wait(ms);
    const answer = await post(outside, url, { "content-type": "application/json" }, body);
    status = answer.status;
    if (status !== null && status >= 200 && status < 300) return;
  }
  report({ level: "warn", event: "alert_undelivered", about: notice.event, status });
}

/** A line for people: chat services show the field `text`. */
function textOf({ event, level: _, ...facts }: Notice): string {
  const told = Object.entries(facts).filter(([, value]) => value !== null);
  return `Sluice: ${event} (${told.map(([name, value]) => `${name} ${value}`).join(", ")})`;
}
