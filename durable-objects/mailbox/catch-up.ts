/** A reader that lagged is told what it missed, job by job, out of the log. */
import { isEnd } from "../../policy/lifecycle.ts";
import { EventFrame } from "./frames.ts";
import type { Behind, Reader } from "./reader.ts";
import type { Sources } from "./sources.ts";

/** Whether a reader still wants a job's events, and its deltas; null for no. */
type Wants = (job: string) => { deltas: boolean } | null;

/** Answers the jobs whose end it was told, and whether a mailbox could not be reached: then it is to be tried again. */
export async function catchUp(reader: Reader, sources: Sources, wants: Wants): Promise<{ over: string[]; unreachable: boolean }> {
  const over: string[] = [];
  let unreachable = false;
  reader.catchingUp = true;
  try {
    for (const [job, behind] of reader.behind) {
      if (reader.full) break;
      if (await tell(reader, job, behind, sources, wants)) over.push(job);
    }
  } catch {
    unreachable = true;
  } finally {
    reader.catchingUp = false;
  }
  return { over, unreachable };
}

/** Tells of one job as much as goes; answers whether its end was told. */
async function tell(reader: Reader, job: string, behind: Behind, sources: Sources, wants: Wants): Promise<boolean> {
  for (;;) {
    const wish = wants(job);
    const events = wish && (await sources.missed({ id: job, after: behind.after, ...wish }));
    // It has begun anew meanwhile, or left.
    if (reader.behind.get(job) !== behind) return false;
    if (!events || events.length === 0) {
      reader.caughtUp(job);
      return false;
    }
    for (const event of events) {
      if (reader.full) {
        reader.stillBehind(job, behind, behind.after);
        return false;
      }
      reader.put(new EventFrame(event));
      behind.after = event.seq;
    }
    // What came while it was asked for may be missing in the answer.
    if (behind.newest > behind.after) continue;
    reader.caughtUp(job);
    return isEnd(events.at(-1)!.event);
  }
}
