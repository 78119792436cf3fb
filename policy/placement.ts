/**
 * Which dispatcher makes the next call. Law: while the fleet can grow, no dispatcher is handed a call while, by our estimate, six of
 * its calls still wait for response headers: that is all that the platform lets one object do at once, and a seventh
 * would queue there and reach upstream later than the budget assumed.
 */
export const HEADER_SLOTS = 6;
/** Assumed until a time to headers has been measured. */
const FIRST_HEADERS_MS = 2_000;
/** Weight of a new measurement. */
const SMOOTHING = 0.05;
/** A call counts as waiting for this many times the mean: slow ones are not rare. */
const MARGIN = 3;

/** Streams that one object reads at once: each keeps its answer in memory, and an isolate has 128 MB. */
const MAX_HELD = 150;

export type Post = { name: string /** Start times of calls not settled yet, oldest first. */; starts: number[]; held: number };
/** `retired`: names that get no more calls. `known`: posts that were looked up by name, to find them faster. */
export type Fleet = { region: string; max: number; posts: Post[]; known: Map<string, Post>; retired: Set<string>; headersMs: number };

export function openFleet(region: string, max: number): Fleet {
  return { region, max, posts: [], known: new Map(), retired: new Set(), headersMs: FIRST_HEADERS_MS };
}

/** How many calls find a header slot at once. */
export function leaveAtOnce({ max }: Fleet): number {
  return max * HEADER_SLOTS;
}

/** The name carries the region, so that a badly placed object can be left for another. */
export function postName(region: string, index: number): string {
  return `disp-${region}-${String(index).padStart(2, "0")}`;
}

/** The first dispatcher with a free header slot, a new one if there is none, and beyond `max` the least burdened. */
export function place(fleet: Fleet, now: number): Post {
  const horizon = now - fleet.headersMs * MARGIN;
  let least: Post | undefined;
  for (const post of fleet.posts) {
    while (post.starts.length > 0 && post.starts[0]! <= horizon) post.starts.shift();
    if (post.starts.length < HEADER_SLOTS && post.held < MAX_HELD) return begin(post, now);
    if (!least || post.starts.length < least.starts.length) least = post;
  }
  if (least && fleet.posts.length >= fleet.max) return begin(least, now);
  const post = { name: newName(fleet), starts: [], held: 0 };
  fleet.posts.push(post);
  return begin(post, now);
}

/** A call of this dispatcher has ended; `headersMs` as measured, null if no headers came. */
export function vacate(fleet: Fleet, name: string, headersMs: number | null): void {
  const post = fleet.known.get(name) ?? fleet.posts.find((each) => each.name === name);
  if (post) {
    fleet.known.set(name, post);
    post.held = Math.max(0, post.held - 1);
    if (post.starts.length > post.held) post.starts.shift();
  }
  if (headersMs !== null) fleet.headersMs += (headersMs - fleet.headersMs) * SMOOTHING;
}

/** A call of this dispatcher that was let go at `since` (ms) did not leave then, and leaves now. */
export function delayed({ known, posts }: Fleet, name: string, since: number | undefined, now: number): void {
  const starts = (known.get(name) ?? posts.find((each) => each.name === name))?.starts;
  const index = since === undefined ? -1 : (starts?.indexOf(since) ?? -1);
  if (index >= 0) starts!.splice(index, 1);
  starts?.push(now);
}

/** This dispatcher gets no more calls; those that it has go on. */
export function retire(fleet: Fleet, name: string): void {
  fleet.retired.add(name);
  fleet.known.delete(name);
  fleet.posts = fleet.posts.filter((each) => each.name !== name);
}

/** The first free name: after a restart the fleet knows only the dispatchers that still hold calls, in any order. */
function newName({ region, posts, retired }: Fleet): string {
  let index = 0;
  while (retired.has(postName(region, index)) || posts.some((each) => each.name === postName(region, index))) index++;
  return postName(region, index);
}

function begin(post: Post, now: number): Post {
  post.starts.push(now);
  post.held++;
  return post;
}
