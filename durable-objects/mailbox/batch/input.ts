/** The lines of an archived file. */
import { ByteLines } from "../../../platform/lines.ts";

/** `end`: the bytes of the file up to behind this line. `line` counts blank ones too. */
export type Line = { line: number; text: string; end: number };

/** Lines that are not blank, from an offset on, where so many lines lie before it. `read` answers null at the end. */
export async function* readLines(
  read: (offset: number) => Promise<Uint8Array | null>,
  offset: number,
  before: number,
): AsyncGenerator<Line> {
  const lines = new ByteLines(offset);
  let line = before;
  for (let at = offset; ; ) {
    const bytes = await read(at);
    for (const { end, text } of bytes ? lines.add(bytes) : lines.last()) {
      line++;
      if (text.trim() !== "") yield { line, text, end };
    }
    if (!bytes) return;
    at += bytes.length;
  }
}
