/** `npm run simulator`: the simulated OpenAI by itself. It stores nothing, so its state directory is temporary. */
import { join } from "node:path";
import { checkSimulatorSettings, readPort } from "./environment.ts";
import { bundle, launch } from "./runtime.ts";
import { fail, serve } from "./serve.ts";

try {
  const { HOST: host = "127.0.0.1", PORT, SIMULATOR_SETTINGS: settings } = process.env;
  const port = readPort(PORT, 8790);
  checkSimulatorSettings(settings);
  const vars = settings === undefined ? {} : { SIMULATOR_SETTINGS: settings };
  const built = await bundle(join(import.meta.dirname, "../workers/simulator/wrangler.toml"));
  const runtime = await launch({ bundle: built, port, host, state: null, vars, inherit: true, health: null });
  console.log(`
  The OpenAI simulator is up.

  base URL   ${runtime.url}/v1   (any key works)
  control    POST ${runtime.url}/control
`);
  serve(runtime);
} catch (error) {
  fail(error);
}
