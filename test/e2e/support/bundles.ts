/** Bundles the service and the simulator once for all files: wrangler takes two seconds of CPU time for each. */
import { join } from "node:path";
import type { TestProject } from "vitest/node";
import { bundle } from "../../../scripts/runtime.ts";

const root = join(import.meta.dirname, "../../..");

export default async function setup(project: TestProject): Promise<void> {
  const provide = async () => {
    project.provide("service", await bundle(join(root, "wrangler.toml"), [join(root, "test/support/limited.ts")]));
    project.provide("simulator", await bundle(join(root, "workers/simulator/wrangler.toml")));
  };
  await provide();
  // In watch mode, bundles anew, so that no run sees stale code.
  project.onTestsRerun(provide);
}
