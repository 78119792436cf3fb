/** The deployed entry with the test's clock and dice, and the test's upstream in place of the simulator. */
import { DurableObject } from "cloudflare:workers";
import * as objects from "../../durable-objects/index.ts";
import type { Env } from "../../platform/objects.ts";
import { route } from "../../workers/ingress/router.ts";
import { world } from "./world.ts";

export class Coordinator extends objects.Coordinator {
  protected override now(): number {
    return world.now;
  }

  protected override random(): number {
    return world.random;
  }
}

export class Mailbox extends objects.Mailbox {
  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    const name = ctx.id.name ?? "";
    world.wakes.set(name, (world.wakes.get(name) ?? 0) + 1);
  }

  protected override now(): number {
    return world.now;
  }
}

export class Dispatcher extends objects.Dispatcher {}

export class Simulator extends DurableObject {
  override async fetch(request: Request): Promise<Response> {
    const body = (await request.json()) as Record<string, unknown>;
    world.calls.push(body);
    world.waiting++;
    world.mostWaiting = Math.max(world.mostWaiting, world.waiting);
    try {
      return await world.upstream({ body, signal: request.signal });
    } finally {
      world.waiting--;
    }
  }
}

export default { fetch: route };
