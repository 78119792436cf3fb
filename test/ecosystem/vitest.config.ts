import { join } from "node:path";
import { defineConfig } from "vitest/config";

export default defineConfig({
  // Separate from the other tests, because these need packages of their own.
  test: {
    root: join(import.meta.dirname, "../.."),
    include: ["test/ecosystem/*.test.ts"],
    globalSetup: ["test/e2e/support/bundles.ts"],
    testTimeout: 90_000,
    hookTimeout: 60_000,
    fileParallelism: false,
  },
});
