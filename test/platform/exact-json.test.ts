import { expect, it } from "vitest";
import { isTooLarge, parseExact } from "../../platform/exact-json.ts";

it.each([
  '{"seed":9223372036854775807}',
  '{"seed":-9223372036854775808,"a":[12345678901234567890,1]}',
  "18446744073709551615",
  '{"text":"1234567890123456789","n":9007199254740993}',
  '{"x":1e400,"y":[-1E+999]}',
])("%s is written again as it came", (text) => expect(JSON.stringify(parseExact(text))).toBe(text));

it.each([
  '{"seed":9007199254740991}',
  '{"a":0.12345678901234567890}',
  '{"a":"9223372036854775807"}',
  '{"a":1e30,"b":1.5e+300,"c":"1e400"}',
  "[1.5,null,true]",
])("%s is read as ever", (text) => expect(parseExact(text)).toEqual(JSON.parse(text)));

it("numbers too large to read, and no other values, are known as such", () => {
  const values = parseExact('[9223372036854775807,1e400,1,"9223372036854775807",{},null]') as unknown[];
  expect(values.map(isTooLarge)).toEqual([true, true, false, false, false, false]);
});

it.each(["{", "", "9223372036854775807,"])("%j is no JSON", (text) => expect(() => parseExact(text)).toThrow(SyntaxError));
