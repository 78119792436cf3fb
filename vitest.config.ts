import { availableParallelism } from "node:os";
import { cloudflareTest } from "@cloudflare/vitest-pool-workers";
import { defineConfig } from "vitest/config";
// Builds the page that the doors serve.
import "./dashboard/build.ts";
import { oneModule } from "./test/one-module.ts";

/** Test files at once: by default a machine with two cores runs one, and half of it idles. */
const WORKERS = Math.max(2, availableParallelism() - 1);
/** The whole service in a process of its own, killed and started again. */
const WHOLE = { globalSetup: ["test/e2e/support/bundles.ts"], testTimeout: 180_000, hookTimeout: 60_000 };
/** These measure rates, memory or pauses of the service: each has the machine to itself. */
const MEASURED = ["budget", "crash", "drop-in", "faults", "large-files", "newcomers", "storm"].map((name) => `test/e2e/${name}.test.ts`);

export default defineConfig({
  test: {
    projects: [
      {
        // Decisions, on plain Node: anything that reached for the platform would fail here.
        test: {
          name: "pure",
          include: ["test/{bench,client,dashboard,policy,schemas,simulation,simulator,platform,scripts}/**/*.test.ts"],
          testTimeout: 30_000,
          maxWorkers: WORKERS,
          sequence: { groupOrder: 0 },
        },
      },
      {
        // Objects and doors, inside the Workers runtime.
        plugins: [
          oneModule(),
          cloudflareTest({
            main: "./test/support/entry.ts",
            wrangler: { configPath: "./wrangler.toml" },
            miniflare: { bindings: { SLUICE_LOCAL: "1" } },
          }),
        ],
        test: {
          name: "runtime",
          include: ["test/{durable-objects,workers,crash}/**/*.test.ts"],
          testTimeout: 30_000,
          maxWorkers: WORKERS,
          sequence: { groupOrder: 1 },
        },
      },
      {
        test: { ...WHOLE, name: "e2e", include: ["test/e2e/**/*.test.ts"], exclude: MEASURED, maxWorkers: 2, sequence: { groupOrder: 2 } },
      },
      {
        test: { ...WHOLE, name: "e2e-measured", include: MEASURED, fileParallelism: false, sequence: { groupOrder: 3 } },
      },
    ],
  },
});
