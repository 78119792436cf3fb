/**
 * One socket as a reader of events: what it was sent of each job, and what it lags behind with. Law: the events of a job go out in the order of their seq,
 * none twice and none left out. What a reader lacks, because it lags or because an event was lost on its way here, is in the log; nothing waits in memory.
 */
import { isEnd } from "../../policy/lifecycle.ts";
import { Manners } from "../../policy/manners.ts";
import type { SentTo } from "../../policy/sent.ts";
import { Window } from "../../policy/window.ts";
import type { ToldEvent } from "../../schemas/event.ts";
import { Arrears, type Behind } from "./arrears.ts";
import type { EventFrame } from "./frames.ts";
import { send, sendText } from "./frames.ts";
import { endPass } from "./passes.ts";
import { acks, grantOf, isVerbatim, startAcking } from "./sockets.ts";

/** How an event comes to a reader: as it happens; from the log, where numbers may be missing; or in the order of this mailbox's own channel. */
type Manner = "live" | "logged" | "consumed";

/** What a reader needs from its lobby; what it lacks is stored there, so that sleep loses nothing. */
export type Notes = {
  /** ms since the epoch. */
  now: () => number;
  /** Its token has expired: its socket is closed. */
  over: () => void;
  /** It lacks what comes after a seq of a job. */
  behind: (job: string, lack: Pick<Behind, "after" | "had">) => void;
  caughtUp: (job: string) => void;
};

/** `window`: null while its client does not ack. `expiresAt`: when its token expires, ms. */
type Line = { sockets: WebSocket[]; window: Window | null; verbatim: boolean; expiresAt: number };

export class Reader {
  /** What it subscribes to. */
  readonly targets = new Set<string>();
  /** Jobs that it lags behind with. */
  readonly behind = new Arrears();
  readonly manners = new Manners();
  /**
   * It was sent more than its client dealt with: everything waits for its turn, until it was told all that can be had. Otherwise only those jobs wait that
   * lost an event on its way here, or whose mailbox does not answer.
   */
  #lagging = false;
  /** Lost with the object: a client may then see an event twice, and recognises it by its seq. */
  readonly #sent: SentTo;
  /** For jobs that its client restarted at an earlier seq than it had been sent: the seq up to which events may have been in flight. */
  readonly #crossed = new Map<string, number>();
  readonly #find: () => WebSocket[];
  readonly #notes: Notes;
  #found: Line | null = null;
  #over = false;

  /** `find` the socket: called only when needed, because an object that wakes may have thousands of readers. */
  constructor(find: () => WebSocket[], notes: Notes, sent: SentTo) {
    this.#find = find;
    this.#notes = notes;
    this.#sent = sent;
  }

  /** Whether nothing more should be sent to it for now. */
  get full(): boolean {
    return this.#line.window?.full ?? false;
  }

  /** Whether it has enough room to be told what it lacks: not after every ack. */
  get roomy(): boolean {
    return this.#line.window?.roomy ?? true;
  }

  /** Whether it is told each chunk separately, as upstream wrote it. */
  get verbatim(): boolean {
    return this.#line.verbatim;
  }

  /** Whether its client acks what it has dealt with. */
  get acks(): boolean {
    return this.#line.window !== null;
  }

  get lagging(): boolean {
    return this.#lagging;
  }

  /** Its client has dealt with this many more frames. The first ack is noted with the socket. */
  acked(frames: number): void {
    const line = this.#line;
    if (!line.window) for (const socket of line.sockets) startAcking(socket);
    line.window ??= new Window();
    line.window.acked(frames);
  }

  /** Sends it an event in its turn: at once, or later if it lags. Returns whether the event was sent. */
  take(frame: EventFrame, deltas: boolean, manner: Manner = "live"): boolean {
    const { event } = frame;
    if (!this.wants(event, deltas)) return false;
    const sent = this.#sent.of(event.job);
    const last = sent ?? event.since;
    // What it was sent before is forgotten: it may have been told any event since `last`.
    const had = sent === undefined && last !== undefined ? event.seq : 0;
    if (this.behind.has(event.job)) this.lose(event.job, event.seq - 1, event.seq);
    else if (this.full || this.#lagging) this.#fallBehind(event.job, last ?? event.seq - 1, event.seq, had);
    else if (manner === "live" && last !== undefined && lacks(event, last, deltas)) this.lose(event.job, last, event.seq, had);
    else return this.put(frame, manner === "consumed");
    return false;
  }

  /** Whether it wants an event, and has not been sent it. */
  wants({ event, job, seq }: ToldEvent, deltas: boolean): boolean {
    return (event !== "delta" || deltas) && seq > (this.#sent.of(job) ?? 0);
  }

  /** Sends it an event, whatever else waits; a consumer gets the cursor too. Returns whether it was sent: nothing is after its token has expired. */
  put(frame: EventFrame, consumer = false): boolean {
    if (this.#line.expiresAt <= this.#notes.now()) return this.#end();
    const { event } = frame;
    const text = consumer ? frame.textWithCursor : this.verbatim ? frame.verbatim : frame.text;
    this.#sent.put(event.job, event.seq, isEnd(event.event));
    if ((this.#crossed.get(event.job) ?? Number.POSITIVE_INFINITY) <= event.seq) this.#crossed.delete(event.job);
    for (const socket of this.#line.sockets) sendText(socket, text);
    this.#line.window?.sent(text.length);
    return true;
  }

  /** A client that names a job says what it has of it, and is sent the rest, whatever went over this socket before. */
  startFrom(job: string, seq: number): void {
    const sent = Math.max(this.#sent.of(job) ?? 0, this.#crossed.get(job) ?? 0);
    this.#sent.put(job, seq);
    this.caughtUp(job);
    if (sent > seq) this.#crossed.set(job, sent);
  }

  /** Its socket is gone. */
  leave(): void {
    this.behind.clear();
    this.#crossed.clear();
    this.#sent.leave();
  }

  /** It lacks nothing more of this job. */
  caughtUp(job: string): void {
    if (this.behind.delete(job)) this.#notes.caughtUp(job);
    this.#crossed.delete(job);
    this.#ease();
  }

  /** A mailbox did not answer: its jobs wait, at least until then (ms). */
  waitsFor(site: string, until: number): void {
    this.behind.silent(site, until);
    this.#ease();
  }

  /** The rest of a job cannot be had now: stores how far it was sent. */
  waits(job: string): void {
    const behind = this.behind.get(job);
    if (behind) this.#notes.behind(job, behind);
  }

  /** It was sent a part of what it lacks. */
  stillBehind(job: string, behind: Behind, after: number): void {
    behind.after = after;
    this.#lag();
    this.#notes.behind(job, behind);
  }

  /** It lacked what comes after a seq of a job when the object fell asleep. */
  wasBehind(job: string, after: number, had: number): void {
    this.behind.add(job, { after, newest: after, had });
  }

  /** Events of a job after `after`, up to `newest`, have not come: the reader is told them from the log. `had`: it may already have those up to this seq. */
  lose(job: string, after: number, newest: number, had = 0): void {
    const behind = this.behind.get(job);
    if (behind) behind.newest = Math.max(behind.newest, newest);
    else {
      const lack = { after, newest, had: Math.max(had, this.#crossed.get(job) ?? 0) };
      this.behind.add(job, lack);
      this.#notes.behind(job, lack);
    }
  }

  /** The same, but it may have been told them in another way: from the log, when it began to follow. */
  mayLack(job: string, after: number, newest: number): void {
    const sent = this.#sent.of(job);
    const last = sent ?? after;
    if (last < newest) this.lose(job, last, newest, sent === undefined ? newest : 0);
  }

  #end(): false {
    if (!this.#over) {
      for (const socket of this.#line.sockets) endPass(socket);
      this.#notes.over();
    }
    this.#over = true;
    return false;
  }

  #fallBehind(job: string, after: number, newest: number, had: number): void {
    this.#lag();
    this.lose(job, after, newest, had);
  }

  #lag(): void {
    if (!this.#lagging) this.lags();
    this.#lagging = true;
  }

  #ease(): void {
    if (this.behind.outOfReach) this.#lagging = false;
  }

  /** Tells its client that it has fallen behind. */
  lags(): void {
    for (const socket of this.#line.sockets) send(socket, { type: "lagging" });
  }

  get #line(): Line {
    if (this.#found) return this.#found;
    const sockets = this.#find();
    this.#found = {
      sockets,
      window: sockets.some(acks) ? new Window() : null,
      verbatim: sockets.some(isVerbatim),
      expiresAt: Math.min(...sockets.map((socket) => grantOf(socket)?.expiresAt ?? Number.POSITIVE_INFINITY)),
    };
    return this.#found;
  }
}

/** Whether an event between the last one that a reader has and this one has not come. */
function lacks({ prior = 0, seq }: ToldEvent, last: number, deltas: boolean): boolean {
  return deltas ? seq > last + 1 : prior > last;
}
