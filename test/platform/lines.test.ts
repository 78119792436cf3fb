import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ByteLines } from "../../platform/lines.ts";

/** The lines of these bytes when they arrive in pieces, cut at `cuts`. */
function linesOf(bytes: Uint8Array, cuts: number[]) {
  const lines = new ByteLines(0, 0, 1_000_000);
  const at = [0, ...cuts.map((cut) => cut % (bytes.length + 1)).sort((a, b) => a - b), bytes.length];
  const found = at.slice(1).flatMap((end, index) => [...lines.add(bytes.subarray(at[index]!, end))]);
  return [...found, ...lines.last()];
}

describe("lines of bytes that come in pieces", () => {
  it("are those of the whole that are not blank, with their numbers, wherever it is cut, in the middle of a character too", () => {
    fc.assert(
      fc.property(fc.array(fc.string({ unit: fc.constantFrom("a", "é", "😀", "\r", " ") })), fc.array(fc.nat()), (texts, cuts) => {
        const text = texts.join("\n");
        const whole = text.split("\n").flatMap((each, index) => (each.trim() === "" ? [] : [[index + 1, each]]));
        expect(linesOf(new TextEncoder().encode(text), cuts).map((each) => [each.line, each.text])).toEqual(whole);
      }),
    );
  });

  it("a blank one beyond the limit is none; one that begins with blanks alone is one", () => {
    const lines = new ByteLines(0, 7, 20);
    const bytes = new TextEncoder().encode(`${" ".repeat(30)}\n\n${" ".repeat(30)}x\ny`);
    const found = [...bytes].flatMap((byte) => [...lines.add(Uint8Array.of(byte))]);
    found.push(...lines.last());
    expect(found.map(({ end, line, tooLong }) => [line, tooLong, end])).toEqual([
      [10, true, 64],
      [11, false, 65],
    ]);
  });

  it("one beyond the limit comes as its beginning, marked, and those after it are where they were", () => {
    const bytes = new TextEncoder().encode(`${"x".repeat(50)}\nshort\n${"y".repeat(30)}`);
    const lines = new ByteLines(0, 0, 20);
    const found = [...bytes].flatMap((byte) => [...lines.add(Uint8Array.of(byte))]);
    found.push(...lines.last());
    expect(found.map(({ end, text, tooLong }) => [text.length <= 21, tooLong, end])).toEqual([
      [true, true, 51],
      [true, false, 57],
      [true, true, 87],
    ]);
    expect(found[1]!.text).toBe("short");
  });

  it("each says where it ends: who goes on from there finds the rest", () => {
    fc.assert(
      fc.property(fc.array(fc.constantFrom("", "one", "zwölf", "😀")), fc.array(fc.nat()), (texts, cuts) => {
        const bytes = new TextEncoder().encode(texts.join("\n"));
        const all = linesOf(bytes, cuts);
        for (const [index, { end }] of all.entries()) {
          const rest = linesOf(bytes.subarray(end), []).map((line) => line.text);
          expect(rest).toEqual(all.slice(index + 1).map((line) => line.text));
        }
      }),
    );
  });
});
