/** A token that comes with the answer to a submit: valid for that job only, to be handed to the page that waits for it. */
import { keyMay, shown } from "../../policy/grant.ts";
import type { Job } from "../../schemas/job.ts";
import type { Problem } from "../../schemas/problem.ts";
import type { Submitted } from "../../schemas/rpc.ts";
import { type Action, type JobToken, TOKEN_LIFETIME } from "../../schemas/token.ts";
import type { Accepted } from "./accept.ts";
import type { Context } from "./context.ts";
import { noTokens, notByToken } from "./respond.ts";
import { mint } from "./tokens.ts";

/** Why no such token can be made; null if it can. Checked before the job is accepted. */
export function objectionTo(wish: JobToken, { grant, key, settings }: Pick<Context, "grant" | "key" | "settings">): Problem | null {
  if (settings.tokenSecret === null) return noTokens();
  if (grant) return notByToken("ask for another token", "token");
  const beyond = actionsOf(wish).find((action) => !keyMay(key.roles, action));
  if (beyond === undefined) return null;
  return {
    status: 403,
    type: "permission_error",
    code: "insufficient_permissions",
    message: `This key may not ${beyond}.`,
    param: "token",
  };
}

/** The answer to each submission, in order. */
export function answersTo(context: Context, accepted: Accepted[], results: Submitted[]): Promise<(Job | Problem)[]> {
  return Promise.all(
    results.map(async (result, index) => {
      const wish = accepted[index]!;
      if (!result.ok) return result.problem;
      const job = shown(context.grant, context.key.roles, result.job);
      return wish.ok && wish.token ? { ...job, token: await tokenFor(context, job.id, wish.token) } : job;
    }),
  );
}

async function tokenFor({ keyHash, now, settings }: Context, job: string, wish: JobToken) {
  const allowed = { channels: [], jobs: [job], actions: actionsOf(wish), models: null, maxJobs: null };
  return mint(settings.tokenSecret!, keyHash, allowed, wish.expires_in ?? TOKEN_LIFETIME.standard, now);
}

function actionsOf({ actions }: JobToken): Action[] {
  return actions ?? ["read"];
}
