import fc from "fast-check";
import { expect, test } from "vitest";
import { quote } from "../../scripts/runtime/config.ts";
import { json, start } from "./toy.ts";

test("a literal is printable ASCII without bare quotes, so no value can end it", () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary" }), (text) => {
      expect(quote(text)).toMatch(/^"(?:[ !#-[\]-~]|\\x[0-9a-f]{2})*"$/);
    }),
  );
});

test("every value reaches the Worker as it was given", async () => {
  const awkward = ["", '"', "\\", '\\"', "a\nb\r\n\tc", "é😀\u2028", '{"a":"b\\n"}', "$(id) `id` ; #", '", x = "', "\\x41", "\u0001\u007f"];
  const text = fc.oneof(fc.string({ unit: "binary", maxLength: 200 }), fc.constantFrom(...awkward), fc.json());
  await fc.assert(
    fc.asyncProperty(fc.array(text, { minLength: 40, maxLength: 60 }), async (values) => {
      const vars = Object.fromEntries([...awkward, ...values].map((value, n) => [`VALUE_${n}`, value]));
      const runtime = await start({ vars });
      expect(Object.fromEntries(await json<[string, string][]>(runtime, "/env"))).toEqual(vars);
      await runtime.stop();
    }),
    { numRuns: 10 },
  );
}, 20_000);
