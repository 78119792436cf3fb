/** Sends what a turn decided, and brings the answers back as further turns. Nothing here decides. */
import { callDispatcher, callMailbox, type Env, isOverloaded } from "../../platform/objects.ts";
import type { Outside } from "../../platform/outside.ts";
import { type Notice, report } from "../../platform/telemetry.ts";
import type { Problem } from "../../schemas/problem.ts";
import type { Held, Lease, Move, Verdict } from "../../schemas/rpc.ts";
import { alert, isAlert } from "./alert.ts";
import type { Book } from "./book.ts";
import { takeLetters } from "./letters.ts";
import { leave } from "./settle.ts";
import { confirmStart, heldBy, isConfirmed, lose, reconcile, unsent } from "./sweep.ts";

/** Verdicts per call: a call between objects holds 32 MB, and each verdict quotes upstream. */
const VERDICTS_MOST = 500;

export type Post = {
  env: Env;
  book: Book;
  random: () => number;
  /** ms */
  now: () => number;
  outside: Outside;
  /** Runs a step as a turn of its own. */
  turn: (step: (now: number) => void) => void;
  /** Lets the object live until the work is done. */
  background: (work: Promise<void>) => void;
  /** Leases on their way, until they are answered. */
  starts: Set<Promise<void>>;
};

/** Before the commit: what need not wait for it. */
export function sendAhead(post: Post): void {
  for (const [dispatcher, leases] of post.book.letters.ahead) sendStart(post, dispatcher, leases);
}

/** After the commit: all the rest. `now` in ms. */
export function send(post: Post, now: number): void {
  const letters = takeLetters(post.book);
  for (const { notices } of [post.book.conditions, post.book.limits]) for (const notice of notices.splice(0)) tell(post, notice, now);
  for (const [dispatcher, leases] of letters.starts) sendStart(post, dispatcher, leases);
  for (const [mailbox, verdicts] of letters.verdicts)
    for (let from = 0; from < verdicts.length; from += VERDICTS_MOST)
      post.background(judge(post, mailbox, verdicts.slice(from, from + VERDICTS_MOST)));
  for (const [mailbox, moves] of letters.moves) post.background(move(post, mailbox, moves));
  for (const [dispatcher, leases] of letters.asks) post.background(ask(post, dispatcher, leases));
  for (const [dispatcher, jobs] of letters.aborts) post.background(abort(post, dispatcher, jobs));
}

function tell({ background, book, outside }: Post, notice: Notice, now: number): void {
  report(notice);
  const { alertUrl } = book.settings;
  if (alertUrl && isAlert(notice)) background(alert(outside, alertUrl, notice, now));
}

function sendStart(post: Post, dispatcher: string, leases: Lease[]): void {
  const { background, starts } = post;
  const answered = start(post, dispatcher, leases).finally(() => starts.delete(answered));
  starts.add(answered);
  background(answered);
}

/**
 * A start that got no answer is not sent again: it may have reached an incarnation that has died since, and the call would be made
 * twice and counted once. The dispatcher is asked what it holds; what it does not hold is lost.
 */
async function start(post: Post, dispatcher: string, leases: Lease[]): Promise<void> {
  const { env, book, random } = post;
  let maybeSent = false;
  try {
    const { boot, held } = await callDispatcher(env, dispatcher, book.settings.region, async (stub, repeated) => {
      maybeSent = repeated;
      return repeated ? stub.report() : { ...(await stub.start(leases)), held: leases };
    });
    if (!isConfirmed(book, dispatcher, boot, held, leases, post.now()))
      post.turn((now) => confirmStart(book, dispatcher, boot, held, leases, now, random));
  } catch (error) {
    post.turn((now) => {
      if (isOverloaded(error) && !maybeSent) return unsent(book, dispatcher, leases, now, random);
      for (const { job, attempt } of leases) {
        const entry = book.entries.get(job);
        if (entry?.row.phase === "leased" && entry.row.attempt === attempt) lose(book, entry, now, random());
      }
    });
  }
}

async function judge(post: Post, mailbox: number, verdicts: Verdict[]): Promise<void> {
  const { env, book } = post;
  // A mailbox of an older version answers nothing.
  let givenUp: (Problem | null)[] | undefined;
  try {
    givenUp = await callMailbox(env, book.addresses.of(mailbox), (stub) => stub.judge(verdicts));
  } catch {
    // Ends are sent again by the sweep. If a retry notice is lost, the next lease carries the counts, and the mailbox tells the rest as that attempt begins.
    return;
  }
  post.turn((now) => {
    verdicts.forEach(({ attempt, job, kind }, index) => {
      const entry = book.entries.get(job);
      if (kind !== "retrying" && entry?.row.phase === "ending") book.remove(entry, now);
      const problem = givenUp?.[index];
      if (problem && entry) leave(book, entry, attempt, problem, now);
    });
  });
}

async function move({ env, book }: Post, mailbox: number, moves: Move[]): Promise<void> {
  // A lost move is not sent again: the next place worth telling is told anyway.
  const unwatched = await callMailbox(env, book.addresses.of(mailbox), (stub) => stub.moved(moves)).catch(() => []);
  for (const job of unwatched) book.watching.forget(job);
}

async function abort(post: Post, dispatcher: string, jobs: string[]): Promise<void> {
  // A lost abort costs only tokens: the mailbox refuses the result anyway.
  await callDispatcher(post.env, dispatcher, post.book.settings.region, (stub) => stub.abort(jobs)).catch(() => {});
}

/** After a wake: asks every dispatcher with leases on record which of them are still alive. */
export function askDispatchers(post: Post): void {
  for (const dispatcher of post.book.leased.keys()) post.background(ask(post, dispatcher, heldBy(post.book, dispatcher)));
}

/** If nobody answers, the leases run out. */
async function ask(post: Post, dispatcher: string, asked: Held[]): Promise<void> {
  const { env, book, random } = post;
  const answer = await callDispatcher(env, dispatcher, book.settings.region, (stub) => stub.report()).catch(() => null);
  if (answer) post.turn((now) => reconcile(book, dispatcher, answer.boot, answer.held, asked, now, random));
}
