/** A reader that lacks events is told what it missed, job by job, out of the log. */
import { spotOf } from "../../platform/ids.ts";
import { isEnd } from "../../policy/lifecycle.ts";
import { EventFrame } from "./frames.ts";
import type { Behind, Reader } from "./reader.ts";
import { PAGE_CHARACTERS } from "./replay.ts";
import type { Sources } from "./sources.ts";

/** A page of so many characters may have been cut: there is more. */
const FULL_CHARACTERS = PAGE_CHARACTERS / 2;

/** Whether a reader still wants a job's events, and its deltas; null for no. */
type Wants = (job: string) => { deltas: boolean } | null;

/** Answers the jobs whose end it was told, or that are gone, and whether a mailbox could not be reached: then it is to be tried again. */
export async function catchUp(reader: Reader, sources: Sources, wants: Wants): Promise<{ over: string[]; unreachable: boolean }> {
  const over: string[] = [];
  /** Mailboxes that did not answer. What is to be had of the others does not wait for them. */
  const silent = new Set<string>();
  reader.catchingUp = true;
  for (const [job, behind] of reader.behind) {
    if (reader.full) break;
    const site = spotOf(job)?.site ?? "";
    if (silent.has(site)) continue;
    try {
      if (await tell(reader, job, behind, sources, wants)) over.push(job);
    } catch {
      silent.add(site);
      reader.waits(job);
    }
  }
  reader.catchingUp = false;
  return { over, unreachable: silent.size > 0 };
}

/** Tells of one job as much as goes; answers whether nothing more comes of it. */
async function tell(reader: Reader, job: string, behind: Behind, sources: Sources, wants: Wants): Promise<boolean> {
  for (;;) {
    const wish = wants(job);
    const { newest } = behind;
    const events = wish && (await sources.missed({ id: job, after: behind.after, ...wish, verbatim: reader.verbatim }));
    // It has begun anew meanwhile, or left.
    if (reader.behind.get(job) !== behind) return false;
    if (!events || events.length === 0) {
      // What came while it was asked for may be missing in the answer.
      if (events && behind.newest > newest) continue;
      const over = events !== null && !(await sources.has(job));
      if (reader.behind.get(job) !== behind) return false;
      if (behind.newest > newest) continue;
      reader.caughtUp(job);
      return over;
    }
    let characters = 0;
    for (const event of events) {
      if (reader.full) {
        reader.stillBehind(job, behind, behind.after);
        return false;
      }
      const frame = new EventFrame(event);
      characters += frame.text.length;
      reader.put(frame);
      behind.after = event.seq;
    }
    const over = isEnd(events.at(-1)!.event);
    // A page that has all that there was: what comes from here on is told as it comes. A stream that runs would bring something each time.
    if (!over && (characters > FULL_CHARACTERS || behind.newest > behind.after)) continue;
    reader.caughtUp(job);
    return over;
  }
}
