/**
 * The seq of each reader; a reader is a small number. Law: it behaves as if each reader's seq were kept separately; the memory it takes is known, and small
 * if many readers have the same seq.
 */

/** Up to this many readers are kept in a list. */
const FEW = 16;
/** Bits of a cell that points to one of a few seqs; the widest cell holds the seq itself. */
const NARROW = [2, 4, 8];
const WIDEST = 32;
/** Higher than any seq of a job. Seqs are capped here, because a client may claim to have any. */
const HIGHEST = 2 ** 32 - 2;

/** Measured, with a margin: see the test that compares. */
const LIST_BYTES = 72;
const READER_BYTES = 16;
const GRID_BYTES = 700;
const SEQ_BYTES = 16;

export class Seqs {
  /** Each reader and its seq in turn. */
  #few: number[] = [];
  #grid: Grid | null = null;

  get bytes(): number {
    return LIST_BYTES + this.#few.length * (READER_BYTES / 2) + (this.#grid?.bytes ?? 0);
  }

  of(reader: number): number | undefined {
    if (this.#grid) return this.#grid.of(reader);
    const at = this.#find(reader);
    return at < 0 ? undefined : this.#few[at + 1];
  }

  put(reader: number, seq: number): void {
    const known = Math.min(seq, HIGHEST);
    const at = this.#grid ? -1 : this.#find(reader);
    if (at >= 0) this.#few[at + 1] = known;
    // `push` would allocate room for nineteen.
    else if (!this.#grid && this.#few.length < FEW * 2) this.#few = this.#few.concat([reader, known]);
    else this.#wide().put(reader, known);
  }

  /** Forgets readers. */
  drop(isGone: (reader: number) => boolean): void {
    this.#grid?.drop(isGone);
    const left: number[] = [];
    for (let at = 0; at < this.#few.length; at += 2) if (!isGone(this.#few[at]!)) left.push(this.#few[at]!, this.#few[at + 1]!);
    if (left.length < this.#few.length) this.#few = left.slice();
  }

  #find(reader: number): number {
    for (let at = 0; at < this.#few.length; at += 2) if (this.#few[at] === reader) return at;
    return -1;
  }

  #wide(): Grid {
    if (this.#grid) return this.#grid;
    this.#grid = new Grid();
    for (let at = 0; at < this.#few.length; at += 2) this.#grid.put(this.#few[at]!, this.#few[at + 1]!);
    this.#few = [];
    return this.#grid;
  }
}

/** A cell for each reader, which says which of a few seqs the reader has: those of nine thousand readers take two thousand bytes. */
class Grid {
  #bits = NARROW[0]!;
  #cells = new Uint32Array(8);
  /** The seqs that cells point to (0: the reader has none), and how many cells point to each. Null, and empty, once cells hold seqs themselves. */
  #seqs: number[] | null = [0];
  #uses = [0];
  /** The cell that was looked for last. */
  #last = 0;

  get bytes(): number {
    return GRID_BYTES + this.#cells.byteLength + (this.#seqs?.length ?? 0) * SEQ_BYTES;
  }

  of(reader: number): number | undefined {
    const cell = this.#get(reader);
    if (cell === 0) return undefined;
    return this.#seqs ? this.#seqs[cell] : cell - 1;
  }

  put(reader: number, seq: number): void {
    const cell = this.#cellOf(seq);
    const before = this.#get(reader);
    if (cell === before) return;
    if (this.#seqs) {
      if (before > 0) this.#uses[before]!--;
      this.#uses[cell]!++;
    }
    this.#set(reader, cell);
  }

  drop(isGone: (reader: number) => boolean): void {
    for (let reader = 0; reader < this.#readers; reader++) {
      const cell = this.#get(reader);
      if (cell === 0 || !isGone(reader)) continue;
      if (this.#seqs) this.#uses[cell]!--;
      this.#set(reader, 0);
    }
  }

  get #readers(): number {
    return (this.#cells.length * 32) / this.#bits;
  }

  /** What the cell of a reader with this seq holds. */
  #cellOf(seq: number): number {
    if (!this.#seqs) return seq + 1;
    if (this.#last > 0 && this.#seqs[this.#last] === seq) return this.#last;
    let cell = this.#seqs.indexOf(seq, 1);
    if (cell < 0) cell = this.#newCell();
    if (cell === 0) {
      this.#widen();
      return this.#cellOf(seq);
    }
    this.#seqs[cell] = seq;
    this.#uses[cell] ??= 0;
    this.#last = cell;
    return cell;
  }

  /** A value that no cell holds; 0 if this width has none left. */
  #newCell(): number {
    const free = this.#uses.indexOf(0, 1);
    if (free > 0) return free;
    return this.#uses.length < 2 ** this.#bits ? this.#uses.length : 0;
  }

  #widen(): void {
    const [from, said] = [this.#cells, this.#seqs!];
    const bits = this.#bits;
    const readers = this.#readers;
    this.#bits = NARROW[NARROW.indexOf(bits) + 1] ?? WIDEST;
    if (this.#bits === WIDEST) [this.#seqs, this.#uses] = [null, []];
    this.#cells = new Uint32Array((from.length * this.#bits) / bits);
    for (let reader = 0; reader < readers; reader++) {
      const cell = cellIn(from, bits, reader);
      if (cell > 0) this.#set(reader, this.#seqs ? cell : said[cell]! + 1);
    }
  }

  #get(reader: number): number {
    return reader < this.#readers ? cellIn(this.#cells, this.#bits, reader) : 0;
  }

  #set(reader: number, cell: number): void {
    if (reader >= this.#readers) {
      const cells = new Uint32Array(Math.ceil(Math.max(((reader + 1) * this.#bits) / 32, this.#cells.length * 1.25)));
      cells.set(this.#cells);
      this.#cells = cells;
    }
    const at = (reader * this.#bits) >>> 5;
    const shift = (reader * this.#bits) & 31;
    this.#cells[at] = (this.#cells[at]! & ~(maskOf(this.#bits) << shift)) | (cell << shift);
  }
}

function cellIn(cells: Uint32Array, bits: number, reader: number): number {
  return ((cells[(reader * bits) >>> 5]! >>> ((reader * bits) & 31)) & maskOf(bits)) >>> 0;
}

function maskOf(bits: number): number {
  return bits === WIDEST ? -1 : 2 ** bits - 1;
}
