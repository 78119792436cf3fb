declare const packed: unique symbol;

/** A list of like objects, column by column: the form in which many go from one object to another. `platform/table.ts` writes and reads it. */
export type Table<T> = { readonly rows: number; readonly column: Column; readonly [packed]?: T };

export type Column =
  /** All are the same. */
  | { one: unknown }
  | { each: unknown[] }
  /** All are objects with these fields. */
  | { fields: string[]; columns: Column[] };
