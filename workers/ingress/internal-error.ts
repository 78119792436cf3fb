/** What operators are told of what was thrown through a door. Its client is told no more than the request's id. */
import { SettingsError } from "../../platform/settings.ts";
import { report } from "../../platform/telemetry.ts";

/** `route`: as the router has it, without the names that a path fills it with. */
export type Where = { requestId: string; method: string; route: string | null };

export function reportThrown(error: unknown, { method, requestId, route }: Where): void {
  report({ level: "error", event: "internal_error", request_id: requestId, method, route, ...factsOf(error) });
}

/**
 * What an error may be logged by. Its message may hold whatever was being worked on, a prompt or a key, so where it came from has to do; but for a message
 * of the settings, which says what to mend and is made to hold no secret.
 */
export function factsOf(error: unknown): { error: string; message?: string; stack?: string } {
  if (!(error instanceof Error)) return { error: typeof error };
  if (error instanceof SettingsError) return { error: error.name, message: error.message };
  return { error: error.name, stack: framesOf(error) };
}

/** The stack without the message, which stands before it and may have lines like its own. */
function framesOf({ message, stack = "" }: Error): string {
  const at = stack.indexOf(message);
  // Further down it is a frame's: what stands at the top is another message.
  if (at < 0 || stack.slice(0, at).includes("\n")) return "";
  const lines = stack.slice(at + message.length).split("\n");
  return lines.flatMap((line) => (/^\s+at /.test(line) ? line.trim() : [])).join("\n");
}
