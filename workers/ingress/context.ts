import type { Env } from "../../platform/objects.ts";
import type { RaisedLimits } from "../../platform/raised.ts";
import type { Key, Settings } from "../../platform/settings.ts";
import type { Grant } from "../../schemas/token.ts";

/** What a door needs to answer a request. */
export type Context = {
  request: Request;
  url: URL;
  params: Record<string, string>;
  env: Env;
  settings: Settings;
  raised: RaisedLimits;
  key: Key;
  /** SHA-256 of the key in hexadecimal; empty for a token. */
  keyHash: string;
  /** What the token allows; null for a key. */
  grant: Grant | null;
  /** ms since the epoch, when the request came in. */
  now: number;
  /** Lets work continue after the answer. */
  background: (work: Promise<unknown>) => void;
  /** The next of the mailboxes over which jobs and sockets without a channel are spread. */
  spread: () => number;
};
