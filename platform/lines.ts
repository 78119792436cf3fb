/** Lines of bytes that come in pieces. */
const NEWLINE = 0x0a;

export type ByteLine = { text: string /** Bytes from the beginning to behind this line. */; end: number };

/** Feed it pieces; it answers with the lines that are whole by then. `offset`: where the first piece begins. */
export class ByteLines {
  readonly #decoder = new TextDecoder();
  #rest: Uint8Array[] = [];
  #end: number;

  constructor(offset: number) {
    this.#end = offset;
  }

  add(piece: Uint8Array): ByteLine[] {
    const lines: ByteLine[] = [];
    let from = 0;
    for (;;) {
      const at = piece.indexOf(NEWLINE, from);
      if (at < 0) break;
      lines.push(this.#line(piece.subarray(from, at), 1));
      from = at + 1;
    }
    if (from < piece.length) this.#rest.push(piece.slice(from));
    return lines;
  }

  /** The last line, if the bytes did not end with a line break. */
  last(): ByteLine[] {
    return this.#rest.length === 0 ? [] : [this.#line(new Uint8Array(0), 0)];
  }

  #line(tail: Uint8Array, breaks: number): ByteLine {
    const pieces = [...this.#rest, tail];
    this.#rest = [];
    let text = "";
    for (const piece of pieces) {
      text += this.#decoder.decode(piece, { stream: true });
      this.#end += piece.length;
    }
    this.#end += breaks;
    return { text: text + this.#decoder.decode(), end: this.#end };
  }
}
