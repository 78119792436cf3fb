import { DurableObject } from "cloudflare:workers";
import { routesFor } from "./routes.ts";
import { parseSettings } from "./settings.ts";
import { openWorld } from "./world.ts";

/** What the simulator reads of its environment. */
export interface SimulatorEnv {
  SIMULATOR_SETTINGS?: unknown;
}

/** An upstream that behaves as OpenAI documents: one object, so that its limits are counted in one place. */
export class Simulator extends DurableObject<SimulatorEnv> {
  private readonly routes: ReturnType<typeof routesFor>;

  constructor(ctx: DurableObjectState, env: SimulatorEnv) {
    super(ctx, env);
    this.routes = routesFor(openWorld(parseSettings(env.SIMULATOR_SETTINGS)));
  }

  override fetch(request: Request): Promise<Response> {
    return this.routes.fetch(request);
  }
}
