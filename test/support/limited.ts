/** The deployed entry, on a platform that refuses calls which nest too deep: as Cloudflare does, and the local runtime does not. */
import type { Env } from "../../platform/objects.ts";
import deployed, * as entry from "../../workers/index.ts";
import { countNesting, nested } from "./depth.ts";

export { Simulator } from "../../workers/index.ts";

export class Archive extends entry.Archive {
  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, nested(env, ctx));
  }
}

export class Batch extends entry.Batch {
  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, nested(env, ctx));
  }
}

export class Coordinator extends entry.Coordinator {
  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, nested(env, ctx));
  }
}

export class Dispatcher extends entry.Dispatcher {
  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, nested(env, ctx));
  }
}

export class Mailbox extends entry.Mailbox {
  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, nested(env, ctx));
  }
}

for (const Class of [Archive, Batch, Coordinator, Dispatcher, Mailbox]) countNesting(Class);

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
