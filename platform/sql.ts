/**
 * SQL of one object. Statements are synchronous; those with no `await` between them commit together.
 * Rows written are what the platform bills, so they are counted here.
 */
type Value = string | number | null | ArrayBuffer;
type Row = Record<string, SqlStorageValue>;

export class Sql {
  rowsWritten = 0;
  readonly #storage: DurableObjectStorage;

  constructor(storage: DurableObjectStorage) {
    this.#storage = storage;
  }

  all<T>(text: string, ...values: Value[]): T[] {
    return this.#exec(text, values).toArray() as T[];
  }

  first<T>(text: string, ...values: Value[]): T | null {
    return (this.#exec(text, values).toArray()[0] as T | undefined) ?? null;
  }

  run(text: string, ...values: Value[]): void {
    const cursor = this.#exec(text, values);
    cursor.toArray();
    this.rowsWritten += cursor.rowsWritten;
  }

  /** Rows one by one. Finish before the next `await`: a cursor is not a snapshot. */
  each<T>(text: string, ...values: Value[]): Iterable<T> {
    return this.#exec(text, values) as unknown as Iterable<T>;
  }

  /** All or nothing: a throw undoes it. */
  transaction<T>(work: () => T): T {
    return this.#storage.transactionSync(work);
  }

  #exec(text: string, values: Value[]): SqlStorageCursor<Row> {
    return this.#storage.sql.exec<Row>(text, ...values);
  }
}
