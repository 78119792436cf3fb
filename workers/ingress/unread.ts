/**
 * Answers on their way to a client that may not read them yet. Many clients send their whole body before they read a word of the answer: if each answer waited until the one before it was
 * read, both would wait for ever, and who gives up and sends again without an Idempotency-Key pays twice. Law: so much is held for the client, and only beyond that it is waited for.
 */
export class Unread {
  readonly #writer: WritableStreamDefaultWriter<Uint8Array>;
  /** Bytes. */
  readonly #most: number;
  /** What is held, the oldest first. */
  readonly #writes: Promise<void>[] = [];
  #held = 0;

  constructor(writer: WritableStreamDefaultWriter<Uint8Array>, most: number) {
    this.#writer = writer;
    this.#most = most;
  }

  /** Resolves once no more than the most is held. @throws what it waits for breaks with. */
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

  /** Resolves once all is read. */
  async close(): Promise<void> {
    await this.#writer.close();
  }
}
