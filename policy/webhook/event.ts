/** The event that is sent to a webhook, and the text that is signed. */
import type { Job, JobEnd } from "../../schemas/job.ts";
import type { JobEndedEvent } from "../../schemas/webhook.ts";

/** Most characters of a response, as JSON, that an event carries: more is a burden for a receiver that only wants to know that the job ended. */
export const RESPONSE_LIMIT = 100_000;
/** Most characters of an error's message that an event carries. */
const MESSAGE_LIMIT = 10_000;

const JOB_PREFIX = "job_";
const EVENT_PREFIX = "evt_";

/** A job ends once, so its event's id follows from the job's id, and is the same however often the event is sent. */
export function eventId(jobId: string): string {
  return EVENT_PREFIX + jobId.slice(JOB_PREFIX.length);
}

export function eventType(end: JobEnd): JobEndedEvent["type"] {
  return `job.${end}`;
}

/** The event of a job that has ended. `omitted`: the response is too long and left out. */
export function eventOf(job: Job, omitted: boolean): JobEndedEvent {
  const message = job.error?.message ?? "";
  const long = message.length > MESSAGE_LIMIT;
  const error = job.error && long ? { ...job.error, message: message.slice(0, MESSAGE_LIMIT) } : job.error;
  return {
    id: eventId(job.id),
    object: "event",
    type: eventType(job.status as JobEnd),
    created_at: job.ended_at ?? 0,
    data: { ...job, error, truncated: omitted || long },
  };
}

/** The text to sign, according to the Standard Webhooks specification. `at` in Unix seconds. */
export function signedContent(id: string, at: number, body: string): string {
  return `${id}.${at}.${body}`;
}
