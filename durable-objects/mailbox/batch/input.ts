/** The lines of an archived file. */
import { ByteLines } from "../../../platform/lines.ts";

/** Bytes of one line; a request itself may have 12 million characters. */
const LINE_LIMIT = 16_000_000;

/** `end`: the bytes of the file up to behind this line. `line` counts blank ones too. `tooLong`: `text` is its beginning alone. */
export type Line = { line: number; text: string; end: number; tooLong: boolean };

/** Lines that are not blank, from an offset on, where so many lines lie before it. `read` answers null at the end. */
export async function* readLines(
  read: (offset: number) => Promise<Uint8Array | null>,
  offset: number,
  before: number,
): AsyncGenerator<Line> {
  const lines = new ByteLines(offset, LINE_LIMIT);
  let line = before;
  for (let at = offset; ; ) {
    const bytes = await read(at);
    for (const { end, text, tooLong } of bytes ? lines.add(bytes) : lines.last()) {
      line++;
      if (text.trim() !== "") yield { line, text, end, tooLong };
    }
    if (!bytes) return;
    at += bytes.length;
  }
}
