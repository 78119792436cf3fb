declare const packed: unique symbol;

/** A list of similar objects, stored by column: how many objects travel in one message. `platform/table.ts` packs and unpacks it. */
export type Table<T> = { readonly rows: number; readonly column: Column; readonly [packed]?: T };

export type Column =
  /** All values are the same. */
  | { one: unknown }
  | { each: unknown[] }
  /** All values are objects with these fields. */
  | { fields: string[]; columns: Column[] };
