/** The lines of an archived file. */
import { type ByteLine, ByteLines } from "../../../platform/lines.ts";

/** Bytes of one line; a request itself may have 12 million characters. */
export const LINE_LIMIT = 16_000_000;

/** Lines that are not blank, from an offset on. `before`: how many lines precede it. `read` returns null at the end. */
export async function* readLines(
  read: (offset: number) => Promise<Uint8Array | null>,
  offset: number,
  before: number,
): AsyncGenerator<ByteLine> {
  const lines = new ByteLines(offset, before, LINE_LIMIT);
  for (let at = offset; ; ) {
    const bytes = await read(at);
    yield* bytes ? lines.add(bytes) : lines.last();
    if (!bytes) return;
    at += bytes.length;
  }
}
