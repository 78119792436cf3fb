/** All SQL of deltas. */
import type { Sql } from "../../../platform/sql.ts";
import { type Short, Shorthand } from "../../../policy/shorthand.ts";
import type { Chunk } from "../../../schemas/event.ts";

/** `place`: in the channel's order, 0 if it has none. */
export type Delta = { seq: number; place: number; chunks: Chunk[] };

/**
 * A row takes deltas up to this size: some 800 words. Each delta rewrites its row, so a longer row would cost more in bytes written than it
 * saves in rows kept.
 */
const ROW_CHARACTERS = 8_000;

/** The row that the next delta of a job may join. */
type Tail = { first: number; last: number; attempt: number; length: number; shorthand: Shorthand };

export class DeltaStore {
  readonly #sql: Sql;
  /** By job. Lost with the object: the next delta then begins a new row. */
  readonly #tails = new Map<number, Tail>();
  /** Jobs up to this number may have deltas from before the object woke; of later jobs, only those in `#begun` have any. */
  readonly #wokeAt: number;
  readonly #begun = new Set<number>();

  constructor(sql: Sql) {
    this.#sql = sql;
    this.#wokeAt = sql.first<{ n: number }>("SELECT coalesce(max(n), 0) AS n FROM jobs")!.n;
  }

  add(n: number, seq: number, attempt: number, chunks: Chunk[], place: number | undefined): void {
    this.#begun.add(n);
    const tail = this.#tails.get(n);
    if (tail && tail.attempt === attempt && tail.last === seq - 1 && this.#join(n, tail, chunks, place)) return;
    const shorthand = new Shorthand();
    const text = line(shorthand, chunks, place);
    this.#sql.run("INSERT INTO delta_rows (n, first, last, attempt, deltas) VALUES (?, ?, ?, ?, ?)", n, seq, seq, attempt, text);
    this.#tails.set(n, { first: seq, last: seq, attempt, length: text.length, shorthand });
  }

  /** Deltas of a job after a seq, in order; each row is read only when reached. */
  *after(n: number, seq: number): Generator<Delta, void> {
    for (const { deltas, first } of this.#rows(n, seq)) for (const delta of read(first, deltas)) if (delta.seq > seq) yield delta;
  }

  /** Where a job's deltas stand in the channel's order; their chunks are not parsed. */
  *places(n: number): Generator<Pick<Delta, "seq" | "place">, void> {
    for (const { deltas, first } of this.#rows(n, 0))
      for (const [index, text] of deltas.split("\n").entries()) yield { seq: first + index, place: placeOf(text) };
  }

  *#rows(n: number, seq: number): Generator<{ first: number; last: number; deltas: string }, void> {
    const next = (which: "first" | "last", than: number) =>
      this.#sql.first<{ first: number; last: number; deltas: string }>(
        `SELECT first, last, deltas FROM delta_rows WHERE n = ? AND ${which} > ? ORDER BY first LIMIT 1`,
        n,
        than,
      );
    // To find the first row, earlier ones are skipped; from there on, each is found by the key.
    for (let row = next("last", seq); row; row = next("first", row.last)) yield row;
  }

  /** The greatest seq, 0 if there is none, and how many deltas an attempt has. */
  counts(n: number, attempt: number): { last: number; ofAttempt: number } {
    if (!this.#mayHave(n)) return { last: 0, ofAttempt: 0 };
    return this.#sql.first(
      `SELECT coalesce(max(last), 0) AS last, coalesce(sum(CASE WHEN attempt = ? THEN last - first + 1 END), 0) AS ofAttempt
       FROM delta_rows WHERE n = ?`,
      attempt,
      n,
    )!;
  }

  /** The last attempt before this one that has deltas, null if none has. */
  attemptBefore(n: number, attempt: number): number | null {
    if (!this.#mayHave(n)) return null;
    return this.#sql.first<{ last: number | null }>("SELECT max(attempt) AS last FROM delta_rows WHERE n = ? AND attempt < ?", n, attempt)!
      .last;
  }

  /** Nearly all jobs have none, and that is known without a query. */
  #mayHave(n: number): boolean {
    return n <= this.#wokeAt || this.#begun.has(n);
  }

  /** The job has ended: no more deltas come. */
  close(n: number): void {
    this.#tails.delete(n);
  }

  /** Deletes a job's deltas. */
  forget(n: number): void {
    if (!this.#mayHave(n)) return;
    this.#sql.run("DELETE FROM delta_rows WHERE n = ?", n);
    this.#begun.delete(n);
  }

  /** Deletes the deltas of jobs that ended by `instant` (ms); returns when the first of the other jobs ended, null if none has. */
  drop(instant: number): number | null {
    // Steps from job to job by the key, without reading their rows.
    const ended = `
      WITH RECURSIVE own(n) AS (
        SELECT min(n) FROM delta_rows
        UNION ALL
        SELECT (SELECT min(n) FROM delta_rows WHERE n > own.n) FROM own WHERE own.n IS NOT NULL
      )
      SELECT jobs.n, ended_at FROM own JOIN jobs ON jobs.n = own.n WHERE ended_at IS NOT NULL`;
    let next: number | null = null;
    for (const { n, ended_at } of this.#sql.all<{ n: number; ended_at: number }>(ended)) {
      if (ended_at <= instant) this.forget(n);
      else next = Math.min(next ?? ended_at, ended_at);
    }
    return next;
  }

  #join(n: number, tail: Tail, chunks: Chunk[], place: number | undefined): boolean {
    if (tail.length >= ROW_CHARACTERS) return false;
    const text = `\n${line(tail.shorthand, chunks, place)}`;
    this.#sql.run("UPDATE delta_rows SET last = last + 1, deltas = deltas || ? WHERE n = ? AND first = ?", text, n, tail.first);
    tail.last++;
    tail.length += text.length;
    return true;
  }
}

/** The place, if there is one, followed by the chunks as a list, whose bracket marks where the place ends. */
function line(shorthand: Shorthand, chunks: Chunk[], place: number | undefined): string {
  return `${place ?? ""}${JSON.stringify(chunks.map((chunk) => shorthand.write(chunk)))}`;
}

function read(first: number, deltas: string): Delta[] {
  const shorthand = new Shorthand();
  return deltas.split("\n").map((text, index) => {
    const chunks = (JSON.parse(text.slice(text.indexOf("["))) as Short[]).map((short) => shorthand.read(short));
    return { seq: first + index, place: placeOf(text), chunks };
  });
}

function placeOf(line: string): number {
  return Number(line.slice(0, line.indexOf("[")));
}
