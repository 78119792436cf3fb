/** Lines of bytes that arrive in pieces. */
const NEWLINE = 0x0a;

/** `line` counts from 1, blank lines included. `end`: bytes from the beginning up to and including this line. `tooLong`: `text` is only its beginning. */
export type ByteLine = { line: number; text: string; end: number; tooLong: boolean };

/**
 * Feed it pieces; it yields the complete lines that are not blank, each as it is asked for. It holds no more than one piece and `limit` bytes of a line, and
 * a file of nothing but blank lines costs no more than looking at its bytes.
 */
export class ByteLines {
  readonly #decoder = new TextDecoder();
  readonly #limit: number;
  #rest: Uint8Array[] = [];
  /** Bytes of the line so far, kept or not; and whether all of them are blank. */
  #length = 0;
  #isBlank = true;
  #line: number;
  #end: number;

  /** `offset`: where the first piece begins. `before`: number of lines before it. */
  constructor(offset: number, before: number, limit: number) {
    this.#end = offset;
    this.#line = before;
    this.#limit = limit;
  }

  *add(piece: Uint8Array): Generator<ByteLine> {
    for (let from = 0; ; ) {
      const begun = this.#isBlank ? this.#skip(piece, from) : { from, at: from };
      from = begun.from;
      const at = piece.indexOf(NEWLINE, begun.at);
      this.#take(at < 0 ? piece.slice(from) : piece.subarray(from, at));
      if (at < 0) return;
      yield* this.#next(1);
      from = at + 1;
    }
  }

  /** The last line, if the bytes did not end with a line break. */
  *last(): Generator<ByteLine> {
    if (this.#length > 0) yield* this.#next(0);
  }

  /** Counts blank lines; returns where the first line that may not be blank begins, and where its first non-blank byte is. */
  #skip(piece: Uint8Array, from: number): { from: number; at: number } {
    let begin = from;
    let at = from;
    for (; at < piece.length && isBlank(piece[at]!); at++) {
      if (piece[at] !== NEWLINE) continue;
      this.#line++;
      this.#end += this.#length + at + 1 - begin;
      [this.#rest, this.#length] = [[], 0];
      begin = at + 1;
    }
    this.#isBlank = at === piece.length;
    return { from: begin, at };
  }

  #take(bytes: Uint8Array): void {
    if (this.#length <= this.#limit && bytes.length > 0) this.#rest.push(bytes);
    this.#length += bytes.length;
  }

  #next(breaks: number): ByteLine[] {
    const tooLong = this.#length > this.#limit;
    const text = this.#isBlank ? "" : this.#text();
    const isNone = this.#isBlank || (text.trim() === "" && !tooLong);
    this.#line++;
    this.#end += this.#length + breaks;
    [this.#rest, this.#length, this.#isBlank] = [[], 0, true];
    return isNone ? [] : [{ line: this.#line, text, end: this.#end, tooLong }];
  }

  #text(): string {
    let text = "";
    for (const piece of this.#rest) text += this.#decoder.decode(piece, { stream: true });
    return text + this.#decoder.decode();
  }
}

/** A space, or a control character from tab to carriage return; line breaks are among them. */
const isBlank = (byte: number): boolean => byte === 0x20 || (byte >= 0x09 && byte <= 0x0d);
