import type { Env } from "../../platform/objects.ts";
import type { Key, Settings } from "../../platform/settings.ts";

/** What a door needs of its request. */
export type Context = {
  request: Request;
  url: URL;
  params: Record<string, string>;
  env: Env;
  settings: Settings;
  key: Key;
  /** Lets work go on after the answer. */
  background: (work: Promise<unknown>) => void;
  /** The next of the mailboxes over which jobs and sockets without a channel are spread. */
  spread: () => number;
};
