/** Lines of bytes that come in pieces. */
const NEWLINE = 0x0a;

/** `end`: bytes from the beginning to behind this line. `tooLong`: `text` is its beginning alone. */
export type ByteLine = { text: string; end: number; tooLong: boolean };

/**
 * Feed it pieces; it answers with the lines that are whole by then. It holds no more than a piece and `limit` bytes of a line.
 * `offset`: where the first piece begins.
 */
export class ByteLines {
  readonly #decoder = new TextDecoder();
  readonly #limit: number;
  #rest: Uint8Array[] = [];
  /** Bytes of the line so far, kept or not. */
  #length = 0;
  #end: number;

  constructor(offset: number, limit: number) {
    this.#end = offset;
    this.#limit = limit;
  }

  add(piece: Uint8Array): ByteLine[] {
    const lines: ByteLine[] = [];
    let from = 0;
    for (;;) {
      const at = piece.indexOf(NEWLINE, from);
      if (at < 0) break;
      this.#take(piece.subarray(from, at));
      lines.push(this.#line(1));
      from = at + 1;
    }
    this.#take(piece.slice(from));
    return lines;
  }

  /** The last line, if the bytes did not end with a line break. */
  last(): ByteLine[] {
    return this.#length === 0 ? [] : [this.#line(0)];
  }

  #take(bytes: Uint8Array): void {
    if (this.#length <= this.#limit && bytes.length > 0) this.#rest.push(bytes);
    this.#length += bytes.length;
  }

  #line(breaks: number): ByteLine {
    let text = "";
    for (const piece of this.#rest) text += this.#decoder.decode(piece, { stream: true });
    text += this.#decoder.decode();
    const tooLong = this.#length > this.#limit;
    this.#end += this.#length + breaks;
    [this.#rest, this.#length] = [[], 0];
    return { text, end: this.#end, tooLong };
  }
}
