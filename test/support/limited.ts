/** The deployed entry, on a platform that refuses calls which nest too deep: as Cloudflare does, and the local runtime does not. */
import type { Env } from "../../platform/objects.ts";
import deployed, * as entry from "../../workers/index.ts";
import { countNesting, nested } from "./depth.ts";

export { Simulator } from "../../workers/index.ts";

type ObjectClass = new (ctx: DurableObjectState, env: Env) => object;

function limited<T extends ObjectClass>(Class: T): T {
  class Limited extends (Class as ObjectClass) {
    constructor(ctx: DurableObjectState, env: Env) {
      super(ctx, nested(env, ctx));
    }
  }
  countNesting(Limited);
  return Limited as T;
}

export class Archive extends limited(entry.Archive) {}
export class Batch extends limited(entry.Batch) {}
export class Coordinator extends limited(entry.Coordinator) {}
export class Dispatcher extends limited(entry.Dispatcher) {}
export class Mailbox extends limited(entry.Mailbox) {}

/** Of the Worker: one object for all requests, since it is what settings are parsed for. */
let known: { env: Env; nested: Env } | null = null;

function ofWorker(env: Env): Env {
  if (known?.env !== env) known = { env, nested: nested(env, {}) };
  return known.nested;
}

export default {
  fetch: (request, env, ctx) => deployed.fetch(request, ofWorker(env), ctx),
  scheduled: (_, env) => deployed.scheduled(_, ofWorker(env)),
} satisfies ExportedHandler<Env>;
