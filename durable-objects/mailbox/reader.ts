/**
 * One socket as a reader of events: what it was sent of each job, and what it lags behind with. Law: the events of a job go out in the order of their
 * seq, none twice and none left out; what a reader lacks, since it lags or since an event was lost on its way here, the log has, and nothing waits for it in memory.
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

/** How an event comes to a reader: as it happens, out of the log, where numbers may be missing, or in the order of a channel of this very mailbox. */
type Manner = "live" | "logged" | "consumed";

/** What a reader asks of its lobby, and writes down, so that sleep loses nothing. */
export type Notes = {
  /** ms since the epoch. */
  now: () => number;
  /** Its token has expired: its socket is closed. */
  over: () => void;
  /** It lacks what comes after a seq of a job. */
  behind: (job: string, lack: Pick<Behind, "after" | "had">) => void;
  caughtUp: (job: string) => void;
};

/** `window`: null while its client does not ack. `expiresAt`: when its token does, in ms. */
type Line = { sockets: WebSocket[]; window: Window | null; verbatim: boolean; expiresAt: number };

export class Reader {
  /** What it subscribes to. */
  readonly targets = new Set<string>();
  /** Jobs that it lags behind with. */
  readonly behind = new Arrears();
  readonly manners = new Manners();
  /**
   * It was sent more than it dealt with: everything waits for its turn, until it was told all that is to be had. Else only the jobs wait of which
   * something was lost on its way here, or is kept by a mailbox that does not answer.
   */
  #lagging = false;
  /** Forgotten with the object: a client may then see an event again, and knows it by its seq. */
  readonly #sent: SentTo;
  /** Of jobs that it began anew from before what it was sent: up to where that may have been on its way. */
  readonly #crossed = new Map<string, number>();
  readonly #find: () => WebSocket[];
  readonly #notes: Notes;
  #found: Line | null = null;
  #over = false;

  /** `find` the socket: not before it is needed, for an object that wakes may have thousands of readers. */
  constructor(find: () => WebSocket[], notes: Notes, sent: SentTo) {
    this.#find = find;
    this.#notes = notes;
    this.#sent = sent;
  }

  /** Whether it is to be sent nothing more for now. */
  get full(): boolean {
    return this.#line.window?.full ?? false;
  }

  /** Whether it is worth telling it what it lacks: not after every ack. */
  get roomy(): boolean {
    return this.#line.window?.roomy ?? true;
  }

  /** Whether it is told chunks as upstream wrote them, each by itself. */
  get verbatim(): boolean {
    return this.#line.verbatim;
  }

  /** Whether its client says how far it is. */
  get acks(): boolean {
    return this.#line.window !== null;
  }

  get lagging(): boolean {
    return this.#lagging;
  }

  /** So many frames more were dealt with. The first such word is kept with the socket. */
  acked(frames: number): void {
    const line = this.#line;
    if (!line.window) for (const socket of line.sockets) startAcking(socket);
    line.window ??= new Window();
    line.window.acked(frames);
  }

  /** What goes to it, in its turn: at once, or later if it lags. Answers whether it went. */
  take(frame: EventFrame, deltas: boolean, manner: Manner = "live"): boolean {
    const { event } = frame;
    if (!this.wants(event, deltas)) return false;
    const sent = this.#sent.of(event.job);
    const last = sent ?? event.since;
    // What it lacks since then is all that is known: it may have been told any of it.
    const had = sent === undefined && last !== undefined ? event.seq : 0;
    if (this.behind.has(event.job)) this.lose(event.job, event.seq - 1, event.seq);
    else if (this.full || this.#lagging) this.#fallBehind(event.job, last ?? event.seq - 1, event.seq, had);
    else if (manner === "live" && last !== undefined && lacks(event, last, deltas)) this.lose(event.job, last, event.seq, had);
    else return this.put(frame, manner === "consumed");
    return false;
  }

  /** Whether it is to have an event that it has not had. */
  wants({ event, job, seq }: ToldEvent, deltas: boolean): boolean {
    return (event !== "delta" || deltas) && seq > (this.#sent.of(job) ?? 0);
  }

  /** Sends it, whatever else waits; with its cursor to a consumer. Answers whether it went: after the expiry of its token nothing does. */
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

  /** Who names a job says what it has of it, and is sent the rest, whatever went over this socket before. */
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

  /** A mailbox did not answer: what belongs to it waits, until then (ms) at least. */
  waitsFor(site: string, until: number): void {
    this.behind.silent(site, until);
    this.#ease();
  }

  /** What it was sent in the meantime is written down: the rest is not to be had now. */
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

  /** Events of a job after a seq, up to another, have not come: the reader is told them out of the log. `had`: those up to it may have come after all. */
  lose(job: string, after: number, newest: number, had = 0): void {
    const behind = this.behind.get(job);
    if (behind) behind.newest = Math.max(behind.newest, newest);
    else {
      const lack = { after, newest, had: Math.max(had, this.#crossed.get(job) ?? 0) };
      this.behind.add(job, lack);
      this.#notes.behind(job, lack);
    }
  }

  /** The same, but perhaps it was told them by another way: out of the log, as it began to follow. */
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

  /** Says that it has fallen behind. */
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

/** Whether something between a seq that a reader has and an event has not come. */
function lacks({ prior = 0, seq }: ToldEvent, last: number, deltas: boolean): boolean {
  return deltas ? seq > last + 1 : prior > last;
}
