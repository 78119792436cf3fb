/** One job, followed to its end. */
import { type Event, eventFrom, isEnd } from "./events.ts";
import { type Gap, gapBefore } from "./gaps.ts";
import type { Line } from "./socket.ts";
import type { Plan } from "./subscription.ts";

/** @param after the last seq that the caller has seen, 0 for none. */
export function jobPlan(job: string, after = 0): Plan {
  let last = after;
  let over = false;
  let gap: Gap | null = null;
  /** Requests for missing events without an answer yet; until then, events come too early. */
  let unanswered = 0;
  const ask = (line: Line) => line.send({ jobs: [job], after: { [job]: last }, deltas: true });
  return {
    path: "/v1/subscribe",
    opened: (line) => {
      unanswered = 0;
      ask(line);
    },
    subscribed: async () => {
      unanswered = Math.max(0, unanswered - 1);
      return true;
    },
    take: (frame, line): Event | null => {
      if (frame.job !== job || unanswered > 0) return null;
      const event = eventFrom(frame);
      // Nothing follows an end, so if it is at or before `last`, the `after` given was beyond the whole job; the end still counts.
      if (frame.seq <= last && !isEnd(event)) return null;
      const found = frame.seq <= last ? null : gapBefore(frame, last, gap);
      if (found) {
        gap = found;
        unanswered++;
        ask(line);
        return null;
      }
      last = event.seq;
      over = isEnd(event);
      return event;
    },
    ended: (jobs) => {
      over ||= jobs.includes(job);
    },
    over: () => over,
  };
}
