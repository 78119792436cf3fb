/** A reader that lacks events is told what it missed, job by job, out of the log. */
import { aTurn } from "../../platform/turns.ts";
import { isEnd } from "../../policy/lifecycle.ts";
import type { Behind } from "./arrears.ts";
import { EventFrame } from "./frames.ts";
import type { Reader } from "./reader.ts";
import type { Sources } from "./sources.ts";

/** Whether a reader still wants a job's events, and its deltas; null for no. */
type Wants = (job: string) => { deltas: boolean } | null;

/**
 * Tells a reader what it lacks of one mailbox's jobs. Answers those whose end it was told, or that are gone, and whether the mailbox could not be reached:
 * then it is to be tried again.
 */
export async function catchUp(
  reader: Reader,
  site: string,
  sources: Sources,
  wants: Wants,
): Promise<{ over: string[]; unreachable: boolean }> {
  const over: string[] = [];
  for (const [job, behind] of reader.behind.of(site)) {
    if (reader.full) break;
    try {
      if (await tell(reader, job, behind, sources, wants)) over.push(job);
    } catch {
      reader.waits(job);
      return { over, unreachable: true };
    }
  }
  return { over, unreachable: false };
}

/** Tells of one job as much as goes, page by page; answers whether nothing more comes of it. */
async function tell(reader: Reader, job: string, behind: Behind, sources: Sources, wants: Wants): Promise<boolean> {
  for (let first = true; ; first = false) {
    // This very mailbox answers in the same turn: whoever else is there has one between two pages.
    if (!first) await aTurn();
    const wish = wants(job);
    const { newest } = behind;
    // What it may have been told comes as it came then, each by its own seq: a delta that stands for several would be new to it, and its beginning not.
    const apart = reader.verbatim || behind.after < behind.had;
    const page = wish && (await sources.missed({ id: job, after: behind.after, ...wish, verbatim: apart }));
    // It has begun anew meanwhile, or left.
    if (reader.behind.get(job) !== behind) return false;
    if (!page || page.events.length === 0) {
      // What came while it was asked for may be missing in the answer.
      if (page && behind.newest > newest) continue;
      const over = page !== null && !(await sources.has(job));
      if (reader.behind.get(job) !== behind) return false;
      if (behind.newest > newest) continue;
      reader.caughtUp(job);
      return over;
    }
    for (const event of page.events) {
      if (reader.full) {
        reader.stillBehind(job, behind, behind.after);
        return false;
      }
      reader.put(new EventFrame(event));
      behind.after = event.seq;
    }
    const over = isEnd(page.events.at(-1)!.event);
    // All that there was: what comes from here on is told as it comes. A stream that runs would bring something each time.
    if (!over && (page.more || behind.newest > behind.after)) {
      // In the turn in which it was told, lest it be told so again.
      reader.waits(job);
      continue;
    }
    reader.caughtUp(job);
    return over;
  }
}
