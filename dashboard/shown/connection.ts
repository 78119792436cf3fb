/** The page's connection to the service, in words. */
import type { Tone } from "./condition.ts";
import { duration } from "./words.ts";

/** `resting`: the page was out of sight for a long time. `refused`: the key was not accepted. */
export type Connection =
  | { state: "connecting" | "live" | "resting" }
  | { state: "reconnecting"; why: string }
  | { state: "refused"; status: number; message: string };

/** `said` changes only with the state, because it is read aloud. `age`: how old the figures are, if they are not live. */
type ConnectionView = { tone: Tone; said: string; age: string };

/** `heardAt`: when the figures came, ms; null if none did. */
export function connectionView(connection: Connection, heardAt: number | null, now: number): ConnectionView {
  const age = heardAt === null ? "no figures yet" : `figures are ${duration((now - heardAt) / 1_000)} old`;
  switch (connection.state) {
    case "live":
      return { tone: "calm", said: "Live", age: "" };
    case "connecting":
      return { tone: "warn", said: "Connecting", age };
    case "resting":
      return { tone: "warn", said: "Resting: this page was out of sight", age };
    case "reconnecting":
      return { tone: "bad", said: `Reconnecting: ${connection.why}`, age };
    case "refused":
      return { tone: "bad", said: "Not connected", age };
  }
}

/** Tells whoever gave a key why it was not accepted. */
export function refusalOf({ message, status }: { status: number; message: string }): string {
  if (status === 401) return "The service does not know this key.";
  if (status === 403) return "This key does not have the role operate: use one that does.";
  return message;
}
