/** The deployed entry: the doors, and the classes behind them. */
import type { Env } from "../platform/objects.ts";
import { route } from "./ingress/router.ts";
import { look } from "./look.ts";

export { Archive, Batch, Coordinator, Dispatcher, Mailbox } from "../durable-objects/index.ts";
export { Simulator } from "./simulator/simulator.ts";

export default { fetch: route, scheduled: (_, env) => look(env) } satisfies ExportedHandler<Env>;
