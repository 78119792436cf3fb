/** What a browser token allows. `null` stands for a key, which may do all that its roles allow. */
import type { Job } from "../schemas/job.ts";
import type { Role } from "../schemas/settings.ts";
import type { Action, Grant, TokenInput } from "../schemas/token.ts";
import { withoutAccount } from "./last-failure.ts";

/** What an endpoint asks for: a role, or a part of one. */
export type Need = Role | "cancel" | "mint";

/** Whether a key's roles meet a need. Whoever may submit may cancel, and whoever may read or submit may mint tokens. */
export function keyMay(roles: readonly Role[], need: Need): boolean {
  if (need === "mint") return roles.includes("read") || roles.includes("submit");
  return roles.includes(need === "cancel" ? "submit" : need);
}

/** A token may do what it says, as long as its key may do so too. It never operates, and mints no tokens. */
export function grantMay(grant: Grant, roles: readonly Role[], need: Need): boolean {
  return (grant.actions as string[]).includes(need) && keyMay(roles, need);
}

export function mayUseChannel(grant: Grant | null, channel: string): boolean {
  return grant === null || grant.channels.includes(channel);
}

/** A token for a channel is valid for the jobs of that channel. */
export function mayUseJob(grant: Grant | null, id: string, channel: string): boolean {
  return grant === null || grant.jobs.includes(id) || grant.channels.includes(channel);
}

/**
 * A job as shown to whoever acts on it. A token sees the model's answer only if it may read, and nothing about the state of the account. A key that may submit
 * sees what became of its jobs.
 */
export function shown(grant: Grant | null, roles: readonly Role[], job: Job): Job {
  if (grant === null) return job;
  const { last_failure } = job;
  return {
    ...job,
    ...(!grantMay(grant, roles, "read") && { response: null }),
    ...(last_failure && { last_failure: withoutAccount(last_failure) }),
  };
}

export type ChannelChoice = { ok: true; channel: string | null } | { ok: false; reason: "channel_required" | "channel_not_allowed" };

/** The channel that a request means. A token for one channel implies it; with several, the client must name one. */
export function channelMeant(grant: Grant | null, named: string | null): ChannelChoice {
  if (grant === null) return { ok: true, channel: named };
  if (named !== null) return grant.channels.includes(named) ? { ok: true, channel: named } : { ok: false, reason: "channel_not_allowed" };
  if (grant.channels.length === 1) return { ok: true, channel: grant.channels[0]! };
  return { ok: false, reason: grant.channels.length === 0 ? "channel_not_allowed" : "channel_required" };
}

export type Objection = { param: string; code: string; message: string; status: 400 | 403 };

/** Why a key may not make such a token; null if it may. */
export function objection(input: TokenInput, roles: readonly Role[]): Objection | null {
  const beyond = input.actions.find((action: Action) => !keyMay(roles, action));
  if (beyond) return { param: "actions", code: "insufficient_permissions", message: `This key may not ${beyond}.`, status: 403 };
  if (input.channels.length + input.jobs.length === 0)
    return { param: "channels", code: "invalid_token_request", message: "Name at least one channel or job.", status: 400 };
  if (input.actions.includes("submit") && input.channels.length === 0)
    return { param: "channels", code: "invalid_token_request", message: "A token that submits must name a channel.", status: 400 };
  if (input.max_jobs !== null && !(input.actions.includes("submit") && input.channels.length === 1)) {
    const message = "max_jobs is allowed only for a token that may submit to exactly one channel.";
    return { param: "max_jobs", code: "invalid_token_request", message, status: 400 };
  }
  return null;
}
