/**
 * How long the deltas of a stream gather before they are sent. Each delta is a commit and a send to every reader, and one object has to do that for all
 * streams of its channel: with many readers they come in fewer, larger pieces.
 */

/** A person sees 20 frames a second as a flow. */
export const FLOW_MS = 50;
/** Longer than this looks like a standstill. */
const LONGEST_MS = 1_000;
/** Sends that deltas may cost a mailbox in a second: a quarter of what one object was measured to do. */
const SENDS_PER_SECOND = 5_000;
/** What a delta costs before the first reader has it (a call, a commit), in sends. */
const APPEND_SENDS = 4;

/** ms from one delta of a stream to the next. `streams`: those under way; `readers`: of all of them together. */
export function gapMs(streams: number, readers: number): number {
  const sends = streams * APPEND_SENDS + readers;
  return Math.min(LONGEST_MS, Math.max(FLOW_MS, Math.ceil((sends * 1_000) / SENDS_PER_SECOND)));
}
