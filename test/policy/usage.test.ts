import { expect, it } from "vitest";
import { credible } from "../../policy/usage.ts";

const usage = (prompt_tokens: number, completion_tokens: number) => ({
  prompt_tokens,
  completion_tokens,
  total_tokens: prompt_tokens + completion_tokens,
});

it("is as upstream says, without its details", () => {
  expect(credible({ ...usage(7, 5), prompt_tokens_details: { cached_tokens: 3 } }, 20, 1_000)).toEqual(usage(7, 5));
  expect(credible(usage(900, 100), 20, Number.POSITIVE_INFINITY)).toEqual(usage(900, 100));
});

it("is no more than was reserved and what the limits let through at once", () => {
  expect(credible(usage(50_000_000, 5), 20, 1_000)).toEqual({ prompt_tokens: 1_020, completion_tokens: 5, total_tokens: 1_020 });
});

it.each([4_294_967_295, 1e15, 2e300, -1, 3.5, Number.NaN, Number.POSITIVE_INFINITY])("%f is no count", (count) => {
  expect(credible(usage(count, 0), 20, 1_000)).toBeNull();
  expect(credible({ ...usage(1, 2), total_tokens: count }, 20, 1_000)).toBeNull();
});
