/** JSON whose numbers are all kept that a double does not hold: a `seed` may have 64 bits, of which it holds 53; and 1e400 would be written as null. */

/** Where a text may hold a number that is too large: digits in a row, not behind a point, or a large exponent. Within strings too, which costs time alone. */
const TOO_LARGE = /(?:^|[^\d.])\d{16}|\d[eE]\+?\d{3}/;
const WHOLE = /^-?\d+$/;

// Of ECMAScript's "JSON.parse source text access"; not in the compiler's library yet.
type Exact = {
  parse(text: string, revive: (key: string, value: unknown, context: { source?: string }) => unknown): unknown;
  rawJSON(text: string): unknown;
};
const exact = JSON as unknown as Exact;

/**
 * As JSON.parse; but a whole number beyond 2^53, and one beyond a double's reach, is an object that JSON.stringify writes as it came, and that is no number to anybody else.
 * @throws SyntaxError
 */
export function parseExact(text: string): unknown {
  if (!TOO_LARGE.test(text)) return JSON.parse(text);
  return exact.parse(text, (_, value, { source = "" }) =>
    typeof value === "number" && isLost(value, source) ? exact.rawJSON(source) : value,
  );
}

function isLost(value: number, source: string): boolean {
  return !Number.isFinite(value) || (!Number.isSafeInteger(value) && WHOLE.test(source));
}
