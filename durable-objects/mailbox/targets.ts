/** What a socket subscribes to, as the text that is stored. */
import { parseJobId } from "../../platform/ids.ts";
import type { FollowCall, MailboxAddress } from "../../schemas/rpc.ts";

export function jobTarget(id: string): string {
  return `job:${id}`;
}

export function channelTarget(channel: string): string {
  return `channel:${channel}`;
}

export function targetsOf(jobs: string[], channel: string | null | undefined): string[] {
  return [...jobs.map(jobTarget), ...(channel ? [channelTarget(channel)] : [])];
}

/** The channel to ask, and the job if it is one. */
export function parseTarget(tenant: string, target: string): { channel: string; job: string | null } {
  if (target.startsWith("channel:")) return { channel: target.slice("channel:".length), job: null };
  const job = target.slice("job:".length);
  return { channel: parseJobId(tenant, job)!.channel, job };
}

/** What each mailbox is to be asked for. `missing`: ids that cannot be a job's. */
export function callsOf(lobby: MailboxAddress, jobs: string[], channel: string | null, after: Record<string, number>, deltas: boolean) {
  const calls = new Map<string, FollowCall>();
  const call = (channel: string) => {
    const known = calls.get(channel) ?? { lobby, channel: false, jobs: [], after: {}, deltas };
    calls.set(channel, known);
    return known;
  };
  const missing: string[] = [];
  for (const id of jobs) {
    const name = parseJobId(lobby.tenant, id);
    if (name) call(name.channel).jobs.push({ id, after: after[id] ?? null });
    else missing.push(id);
  }
  if (channel) Object.assign(call(channel), { channel: true, after });
  return { calls, missing };
}

/** The part of a call that is still subscribed to. */
export function wanted(call: FollowCall, channel: string, targets: Set<string>): FollowCall {
  const jobs = call.jobs.filter(({ id }) => targets.has(jobTarget(id)));
  return { ...call, jobs, channel: call.channel && targets.has(channelTarget(channel)) };
}
