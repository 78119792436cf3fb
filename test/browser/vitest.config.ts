import { join } from "node:path";
import { defineConfig } from "vitest/config";

export default defineConfig({
  // Separate from the other tests, because these need a browser.
  test: {
    root: join(import.meta.dirname, "../.."),
    include: ["test/browser/**/*.test.ts"],
    globalSetup: ["test/e2e/support/bundles.ts"],
    testTimeout: 90_000,
    hookTimeout: 60_000,
  },
});
