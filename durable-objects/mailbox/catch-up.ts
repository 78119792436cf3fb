/** A reader that lacks events is told what it missed, job by job, from the log. */
import { aTurn } from "../../platform/turns.ts";
import { isEnd } from "../../policy/lifecycle.ts";
import type { Behind } from "./arrears.ts";
import { EventFrame } from "./frames.ts";
import type { Reader } from "./reader.ts";
import type { Sources } from "./sources.ts";

/** Whether a reader still wants a job's events, and its deltas; null for no. */
type Wants = (job: string) => { deltas: boolean } | null;

/**
 * Tells a reader what it lacks of one mailbox's jobs. `over`: jobs whose end it was told, or that are gone; `unreachable`: the mailbox could not be reached
 * and must be tried again.
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

/** Tells as much of one job as its reader takes, page by page; returns whether nothing more will come of it. */
async function tell(reader: Reader, job: string, behind: Behind, sources: Sources, wants: Wants): Promise<boolean> {
  for (let first = true; ; first = false) {
    // This mailbox itself answers in the same turn: between two pages, others get a turn too.
    if (!first) await aTurn();
    const wish = wants(job);
    const { newest } = behind;
    // Events that it may have been told are sent unmerged, as they were then: a merged delta would be new to it by its seq, but begin with what it has.
    const apart = reader.verbatim || behind.after < behind.had;
    const page = wish && (await sources.missed({ id: job, after: behind.after, ...wish, verbatim: apart }));
    // The client has started over meanwhile, or left.
    if (reader.behind.get(job) !== behind) return false;
    if (!page || page.events.length === 0) {
      // Events that came while the page was asked for may be missing from it.
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
    // It was told all that there was, and is told the rest as it comes: while a stream runs, asking once more would find something each time.
    if (!over && (page.more || behind.newest > behind.after)) {
      // Stored in the turn in which it was told, so that it is not told again.
      reader.waits(job);
      continue;
    }
    reader.caughtUp(job);
    return over;
  }
}
