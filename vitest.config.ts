import { cloudflareTest } from "@cloudflare/vitest-pool-workers";
import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    projects: [
      {
        // Decisions, on plain Node: whatever reached for the platform would fail here.
        test: {
          name: "pure",
          include: ["test/{bench,client,policy,schemas,simulation,simulator,platform,scripts}/**/*.test.ts"],
          testTimeout: 30_000,
        },
      },
      {
        // Objects and doors, inside the Workers runtime.
        plugins: [
          cloudflareTest({
            main: "./test/support/entry.ts",
            wrangler: { configPath: "./wrangler.toml" },
            miniflare: { bindings: { SLUICE_LOCAL: "1" } },
          }),
        ],
        test: { name: "runtime", include: ["test/{durable-objects,workers,crash}/**/*.test.ts"], testTimeout: 30_000 },
      },
      {
        // The whole service as a process of its own, killed and started again.
        test: { name: "e2e", include: ["test/e2e/**/*.test.ts"], testTimeout: 180_000, hookTimeout: 60_000, fileParallelism: false },
      },
    ],
  },
});
