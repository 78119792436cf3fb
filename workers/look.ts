/**
 * Called by the cron trigger. The platform gives up an alarm after six failures, as during an outage of its own. A coordinator whose alarm is lost is not
 * woken until somebody calls it, and accepted jobs would wait that long.
 */
import { callCoordinator, type Env } from "../platform/objects.ts";
import { readSettings } from "../platform/settings.ts";

/**
 * The coordinator starts what may start and sets its alarm again.
 * @throws if it cannot be reached: the platform's log shows it, and the next call comes within minutes.
 */
export async function look(env: Env): Promise<void> {
  await callCoordinator(env, readSettings(env).region, (stub) => stub.look());
}
