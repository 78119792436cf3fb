/**
 * What the clock calls. The platform gives an alarm up after six failures, as in an outage of its own, and nobody wakes a coordinator whose alarm is lost until somebody asks it: accepted jobs would
 * wait for that.
 */
import { callCoordinator, type Env } from "../platform/objects.ts";
import { readSettings } from "../platform/settings.ts";

/** The coordinator starts what may start, and sets its alarm anew. @throws if it cannot be reached: the platform's log shows it, and the next call is minutes away. */
export async function look(env: Env): Promise<void> {
  await callCoordinator(env, readSettings(env).region, (stub) => stub.look());
}
