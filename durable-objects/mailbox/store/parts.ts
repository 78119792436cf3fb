/** Long texts in pieces, because a row holds 2 MB. */
import type { Sql } from "../../../platform/sql.ts";
import type { InPieces } from "../../../schemas/rpc.ts";

export type Kind = "request" | "response";

/** Fits in a row: UTF-8 takes at most four bytes a character. */
const PART_CHARACTERS = 400_000;
/** A request of more than one part is opened in pieces of this many parts each: several MB, and a message may have 32. */
const PIECE_PARTS = 10;

export class PartStore {
  readonly #sql: Sql;

  constructor(sql: Sql) {
    this.#sql = sql;
  }

  put(n: number, kind: Kind, text: string): void {
    for (let part = 0, from = 0; from < text.length; part++) {
      let to = Math.min(from + PART_CHARACTERS, text.length);
      // A surrogate pair cut in two would be stored as two replacement characters.
      if (to < text.length && isHighSurrogate(text.charCodeAt(to - 1))) to--;
      this.#sql.run("INSERT INTO parts (n, kind, part, text) VALUES (?, ?, ?, ?)", n, kind, part, text.slice(from, to));
      from = to;
    }
  }

  /** Characters of a text, without reading it; 0 if there is none. */
  length(n: number, kind: Kind): number {
    return this.#sql.first<{ length: number }>(
      "SELECT coalesce(sum(length(text)), 0) AS length FROM parts WHERE n = ? AND kind = ?",
      n,
      kind,
    )!.length;
  }

  text(n: number, kind: Kind): string | null {
    return this.#joined("SELECT text FROM parts WHERE n = ? AND kind = ? ORDER BY part", n, kind);
  }

  /** How to read a long request in pieces; null if it is read whole. */
  pieces(n: number): InPieces | null {
    const { parts } = this.#sql.first<{ parts: number }>("SELECT count(*) AS parts FROM parts WHERE n = ? AND kind = 'request'", n)!;
    return parts > 1 ? { pieces: Math.ceil(parts / PIECE_PARTS), characters: parts * PART_CHARACTERS } : null;
  }

  piece(n: number, index: number): string | null {
    const from = index * PIECE_PARTS;
    return this.#joined(
      "SELECT text FROM parts WHERE n = ? AND kind = 'request' AND part >= ? ORDER BY part LIMIT ?",
      n,
      from,
      PIECE_PARTS,
    );
  }

  #joined(query: string, ...values: (string | number)[]): string | null {
    const parts = this.#sql.all<{ text: string }>(query, ...values);
    return parts.length > 0 ? parts.map(({ text }) => text).join("") : null;
  }
}

function isHighSurrogate(code: number): boolean {
  return code >= 0xd800 && code <= 0xdbff;
}
