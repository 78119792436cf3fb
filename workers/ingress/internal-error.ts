/** What operators are told about an error thrown through a door. The client gets only the request's id. */
import { SettingsError } from "../../platform/settings.ts";
import { report } from "../../platform/telemetry.ts";

/** `route`: the router's pattern, without the names that fill it in. */
export type Where = { requestId: string; method: string; route: string | null };

export function reportThrown(error: unknown, { method, requestId, route }: Where): void {
  report({ level: "error", event: "internal_error", request_id: requestId, method, route, ...factsOf(error) });
}

/**
 * The parts of an error that may be logged. Its message may contain whatever was being worked on, such as a prompt or a key, so the stack has to do. The
 * exception is a SettingsError: its message says what to fix, and never contains a secret.
 */
export function factsOf(error: unknown): { error: string; message?: string; stack?: string } {
  if (!(error instanceof Error)) return { error: typeof error };
  if (error instanceof SettingsError) return { error: error.name, message: error.message };
  return { error: error.name, stack: framesOf(error) };
}

/** The stack without the message in front of it, which may contain lines that look like frames. */
function framesOf({ message, stack = "" }: Error): string {
  const at = stack.indexOf(message);
  // If the message is only found further down, it matched inside a frame: the stack starts with some other message.
  if (at < 0 || stack.slice(0, at).includes("\n")) return "";
  const lines = stack.slice(at + message.length).split("\n");
  return lines.flatMap((line) => (/^\s+at /.test(line) ? line.trim() : [])).join("\n");
}
