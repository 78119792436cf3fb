import { DurableObject } from "cloudflare:workers";
import { routesFor } from "./routes.ts";
import { parseSettings } from "./settings.ts";
import { Ticker } from "./ticker.ts";
import { openWorld, type World } from "./world.ts";

/** What the simulator reads from its environment. */
export interface SimulatorEnv {
  SIMULATOR_SETTINGS?: unknown;
}

// By object id. Kept here and not in the object, which workerd drops after about a minute without calls: an upstream does not forget its limits and totals
// because nobody called. Lasts as long as the isolate; nothing is stored.
const worlds = new Map<string, World>();

/** An upstream that behaves as OpenAI documents. A single object, so that its limits are counted in one place. */
export class Simulator extends DurableObject<SimulatorEnv> {
  private readonly routes: ReturnType<typeof routesFor>;

  constructor(ctx: DurableObjectState, env: SimulatorEnv) {
    super(ctx, env);
    const id = ctx.id.toString();
    const world = worlds.get(id) ?? openWorld(parseSettings(env.SIMULATOR_SETTINGS), Date.now());
    // Timers do not outlive the object that set them.
    world.ticker = new Ticker();
    worlds.set(id, world);
    this.routes = routesFor(world);
  }

  override fetch(request: Request): Promise<Response> {
    return this.routes.fetch(request);
  }
}
