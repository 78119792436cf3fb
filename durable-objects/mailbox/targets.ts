/** What a socket subscribes to, as text: it is stored so. */
import { parseJobId } from "../../platform/ids.ts";

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
