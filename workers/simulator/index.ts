import type { Simulator } from "./simulator.ts";

export { Simulator } from "./simulator.ts";

interface Env {
  SIMULATOR: DurableObjectNamespace<Simulator>;
}

/** The simulator by itself, for anything that needs an OpenAI to talk to. */
export default {
  fetch: (request, env) => env.SIMULATOR.getByName("openai").fetch(request),
} satisfies ExportedHandler<Env>;
