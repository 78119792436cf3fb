/**
 * Answers on their way to a client that may not be reading yet. Many clients send their whole body before they read any of the answer. If each answer waited
 * until the previous one was read, both sides would wait for ever, and a client that gives up and resends without an Idempotency-Key pays twice.
 * Law: up to `most` bytes are held for the client; only beyond that does a write wait.
 */
export class Unread {
  readonly #writer: WritableStreamDefaultWriter<Uint8Array>;
  /** Bytes. */
  readonly #most: number;
  /** What is held, oldest first. */
  readonly #writes: Promise<void>[] = [];
  #held = 0;

  constructor(writer: WritableStreamDefaultWriter<Uint8Array>, most: number) {
    this.#writer = writer;
    this.#most = most;
  }

  /** Resolves once at most `most` bytes are held. @throws whatever a write it waits for fails with. */
  async write(bytes: Uint8Array): Promise<void> {
    this.#held += bytes.byteLength;
    const write = this.#writer.write(bytes).then(() => {
      this.#held -= bytes.byteLength;
      this.#writes.shift();
    });
    write.catch(() => {});
    this.#writes.push(write);
    while (this.#held > this.#most) await this.#writes[0];
  }

  /** Resolves once everything is read. */
  async close(): Promise<void> {
    await this.#writer.close();
  }
}
