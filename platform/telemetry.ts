/**
 * What operators are told: one JSON object per line on the console, which Workers Logs and `wrangler tail` index by field. Only names, codes
 * and numbers: no prompt, no result, no key.
 */
export type Notice = { level: "info" | "warn" | "error"; event: string; [fact: string]: string | number | boolean | null };

export function report(notice: Notice): void {
  // biome-ignore lint/suspicious/noConsole: the console is where a Worker's log goes.
  console[notice.level](JSON.stringify(notice));
}
