/** JSON whose whole numbers are all kept: a `seed` may have 64 bits, of which a double holds 53. */

/** Where a text may hold a whole number that is too large: digits in a row, not behind a point. Within strings too, which costs time alone. */
const MANY_DIGITS = /(?:^|[^\d.])\d{16}/;
const WHOLE = /^-?\d+$/;

// Of ECMAScript's "JSON.parse source text access"; not in the compiler's library yet.
type Exact = {
  parse(text: string, revive: (key: string, value: unknown, context: { source?: string }) => unknown): unknown;
  rawJSON(text: string): unknown;
};
const exact = JSON as unknown as Exact;

/**
 * As JSON.parse; but a whole number beyond 2^53 is an object that JSON.stringify writes as it came, and that is no number to anybody else.
 * @throws SyntaxError
 */
export function parseExact(text: string): unknown {
  if (!MANY_DIGITS.test(text)) return JSON.parse(text);
  return exact.parse(text, (_, value, { source = "" }) =>
    typeof value === "number" && !Number.isSafeInteger(value) && WHOLE.test(source) ? exact.rawJSON(source) : value,
  );
}
