/** A JSONL body as lots of lines that are dealt with together. */

/** Characters of a JSONL line. */
export const LINE_LIMIT = 16 * 1024 * 1024;

/** `number` counts from 1, blank lines included; `place` from 0, without them. `tooLong`: beyond the limit; `text` is only its beginning. */
export type Line = { number: number; place: number; text: string; tooLong: boolean };

/** A lot is full with this many lines or characters. `lingerMs`: how long its first line waits for it to fill. */
export type LotSize = { lines: number; characters: number; lingerMs: number };

type Come = { what: "bytes"; bytes: Uint8Array } | { what: "end" } | { what: "break"; error: unknown } | { what: "nothing" };

/**
 * Law: every line that arrives whole is handed on, in order: once its lot is full or has lingered, or the body ends or breaks off. While lots fill in time, no
 * timer fires. While a lot is dealt with, at most one more piece is read.
 * @throws whatever the body breaks off with, once its whole lines are handed on.
 */
export async function* lotsOf(body: ReadableStream<Uint8Array>, size: LotSize): AsyncGenerator<Line[], void, undefined> {
  const reader = body.getReader();
  const lines = new Lines();
  const lot = new Lot(size);
  try {
    for (let coming = next(reader); ; ) {
      const come = await lot.orLate(coming);
      if (come.what === "bytes") {
        for (const line of lines.add(come.bytes)) if (lot.add(line)) yield lot.take();
        coming = next(reader);
        continue;
      }
      if (come.what === "end") for (const line of lines.last()) lot.add(line);
      if (lot.size > 0) yield lot.take();
      if (come.what === "break") throw come.error;
      if (come.what === "end") return;
    }
  } finally {
    lot.take();
    reader.cancel().catch(() => {}); // fails if the body broke off
  }
}

/** Never rejects: if a read fails while a lot is dealt with, nobody is waiting for it yet. */
function next(reader: ReadableStreamDefaultReader<Uint8Array>): Promise<Come> {
  return reader.read().then(
    ({ value }): Come => (value === undefined ? { what: "end" } : { what: "bytes", bytes: value }),
    (error): Come => ({ what: "break", error }),
  );
}

class Lot {
  readonly #most: LotSize;
  #lines: Line[] = [];
  #characters = 0;
  #late: Promise<Come> | null = null;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(most: LotSize) {
    this.#most = most;
  }

  get size(): number {
    return this.#lines.length;
  }

  /** @returns whether the lot is full. */
  add(line: Line): boolean {
    this.#lines.push(line);
    this.#characters += line.text.length;
    return this.#lines.length >= this.#most.lines || this.#characters >= this.#most.characters;
  }

  /** @returns what comes, or "nothing" once the lot has lingered. An empty lot does not linger. */
  orLate(coming: Promise<Come>): Promise<Come> {
    if (this.#lines.length === 0) return coming;
    this.#late ??= new Promise((done) => {
      this.#timer = setTimeout(() => done({ what: "nothing" }), this.#most.lingerMs);
    });
    return Promise.race([coming, this.#late]);
  }

  /** Empties the lot. */
  take(): Line[] {
    const lines = this.#lines;
    clearTimeout(this.#timer);
    [this.#lines, this.#characters, this.#late] = [[], 0, null];
    return lines;
  }
}

/** Cuts text that comes in pieces into lines; blank ones are skipped. A line beyond the limit is cut off there and marked. */
class Lines {
  readonly #decoder = new TextDecoder();
  #pieces: string[] = [];
  #length = 0;
  #number = 1;
  #place = 0;

  *add(bytes: Uint8Array): Generator<Line> {
    const parts = this.#decoder.decode(bytes, { stream: true }).split("\n");
    for (let index = 0; index < parts.length; index++) {
      if (index > 0) yield* this.#take();
      this.#add(parts[index]!);
    }
  }

  /** The last line, if the text did not end with a line break. */
  *last(): Generator<Line> {
    this.#add(this.#decoder.decode());
    yield* this.#take();
  }

  #add(piece: string): void {
    this.#length += piece.length;
    if (this.#length <= LINE_LIMIT) this.#pieces.push(piece);
  }

  #take(): Line[] {
    const line = { number: this.#number++, text: this.#pieces.join(""), tooLong: this.#length > LINE_LIMIT };
    [this.#pieces, this.#length] = [[], 0];
    return line.tooLong || line.text.trim() !== "" ? [{ ...line, place: this.#place++ }] : [];
  }
}
