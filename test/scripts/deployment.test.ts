import { join } from "node:path";
import { expect, test } from "vitest";
import { bundle } from "../../scripts/runtime/bundle.ts";

test("a webhook to a host of the Worker's own zone -> goes through Cloudflare's front door, as a stranger's request would", async () => {
  const { compatibilityFlags } = await bundle(join(import.meta.dirname, "../../wrangler.toml"));
  expect(compatibilityFlags).toContain("global_fetch_strictly_public");
});
