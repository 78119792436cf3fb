/** One job, followed to its end. */
import { type Event, eventFrom, isEnd } from "./events.ts";
import type { Plan } from "./subscription.ts";

/** @param after the last seq that the caller has seen, 0 for none. */
export function jobPlan(job: string, after = 0): Plan {
  let last = after;
  let over = false;
  return {
    path: "/v1/subscribe",
    opened: (line) => line.send({ jobs: [job], after: { [job]: last }, deltas: true }),
    subscribed: async () => true,
    take: (frame): Event | null => {
      if (frame.job !== job || frame.seq <= last) return null;
      const event = eventFrom(frame);
      last = event.seq;
      over = isEnd(event);
      return event;
    },
    over: () => over,
  };
}
