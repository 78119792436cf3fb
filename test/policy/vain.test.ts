import { expect, it } from "vitest";
import { turns } from "../../policy/vain.ts";

it("the more calls came to nothing in a row, the more turns the next one takes, ten at the most", () => {
  expect([0, 1, 3, 4, 8, 20, 35, 36, 10_000].map(turns)).toEqual([1, 1, 1, 2, 3, 6, 9, 10, 10]);
});
