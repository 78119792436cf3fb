/** JSON that keeps numbers a double cannot hold: a `seed` may have 64 bits, of which a double holds 53, and 1e400 would be written as null. */

/** Whether a text may hold too large a number: 16 digits in a row that are not decimals, or a large exponent. Matches in strings too, which only costs time. */
const TOO_LARGE = /(?:^|[^\d.])\d{16}|\d[eE]\+?\d{3}/;
const WHOLE = /^-?\d+$/;

// Of ECMAScript's "JSON.parse source text access"; not in the compiler's library yet.
type Exact = {
  parse(text: string, revive: (key: string, value: unknown, context: { source?: string }) => unknown): unknown;
  rawJSON(text: string): unknown;
  isRawJSON(value: unknown): boolean;
};
const exact = JSON as unknown as Exact;

/**
 * Like JSON.parse, but a whole number beyond 2^53, or any number beyond a double's range, becomes an object that JSON.stringify writes as it came; to any
 * other code it is not a number.
 * @throws SyntaxError
 */
export function parseExact(text: string): unknown {
  if (!TOO_LARGE.test(text)) return JSON.parse(text);
  return exact.parse(text, (_, value, { source = "" }) =>
    typeof value === "number" && isLost(value, source) ? exact.rawJSON(source) : value,
  );
}

/** Whether a value is a number that was too large to read. */
export function isTooLarge(value: unknown): boolean {
  return exact.isRawJSON(value);
}

function isLost(value: number, source: string): boolean {
  return !Number.isFinite(value) || (!Number.isSafeInteger(value) && WHOLE.test(source));
}
