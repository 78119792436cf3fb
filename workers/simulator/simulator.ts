import { DurableObject } from "cloudflare:workers";
import { routesFor } from "./routes.ts";
import { parseSettings } from "./settings.ts";
import { Ticker } from "./ticker.ts";
import { openWorld, type World } from "./world.ts";

/** What the simulator reads of its environment. */
export interface SimulatorEnv {
  SIMULATOR_SETTINGS?: unknown;
}

// By object. Here and not in the object, which workerd drops after a minute or so without calls: an upstream does not forget
// its limits and its totals because nobody called. It lasts as long as the isolate; nothing is stored.
const worlds = new Map<string, World>();

/** An upstream that behaves as OpenAI documents: one object, so that its limits are counted in one place. */
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
