/**
 * The platform's count of nested calls, which the local runtime does not keep. What an object calls lies one deeper than the newest event that it has received
 * and that is not over when it first uses the stub, and a stub keeps that depth (workerd, `IoContext::getIoChannelFactory` and `GlobalActorOutgoingFactory`). If
 * all are over, the last one counts: background work goes on in it. A client's request, an alarm and a message of a hibernating socket begin anew. Calls deeper
 * than sixteen are refused, in the platform's words.
 */
import { world } from "./world.ts";

/** https://developers.cloudflare.com/workers/observability/errors/#loop-limit */
const LIMIT = 16;
const SPACES = ["COORDINATOR", "DISPATCHER", "MAILBOX", "BATCH", "ARCHIVE"];
const MARK = "~nested";

/** Its own depth is that of the last event that was over. */
type Events = { depth: number; underWay: { depth: number }[] };
type Method = (...args: unknown[]) => unknown;
type Stub = Record<string | symbol, Method>;
type ObjectClass = { prototype: object };

/** Of each object. */
const received = new WeakMap<object, Events>();

function eventsOf(object: object): Events {
  const known = received.get(object) ?? { depth: 1, underWay: [] };
  received.set(object, known);
  return known;
}

/** The bindings as the platform gives them to whom `from` stands for: an object's state, or a request to a Worker. */
export function nested<E extends object>(env: E, from: object): E {
  const spaces = SPACES.map((space) => [space, namespace((env as Record<string, DurableObjectNamespace>)[space]!, eventsOf(from))]);
  return { ...env, ...Object.fromEntries(spaces) };
}

function namespace(space: DurableObjectNamespace, events: Events) {
  return { getByName: (name: string, options?: object) => counting(space.getByName(name, options) as unknown as Stub, events) };
}

function counting(stub: Stub, events: Events): Stub {
  let depth: number | null = null;
  const call =
    (method: string | symbol) =>
    (...args: unknown[]) => {
      depth ??= (events.underWay.at(-1) ?? events).depth + 1;
      world.deepest = Math.max(world.deepest, depth);
      if (depth > LIMIT)
        return Promise.reject(new Error("Subrequest depth limit exceeded. This request recursed through Workers too many times."));
      return method === "fetch" ? stub.fetch!(...args) : stub[method]!(...args, { [MARK]: depth });
    };
  return new Proxy(stub, { get: (_, method) => (method === "then" ? undefined : call(method)) });
}

/** Has the events of a class's objects counted. */
export function countNesting(Class: ObjectClass): void {
  const anew: Record<string, number> = { alarm: 1, fetch: 2, webSocketMessage: 1, webSocketClose: 1, webSocketError: 1 };
  for (const [name, method] of methodsOf(Class)) {
    const value = function (this: { ctx: object }, ...args: unknown[]) {
      const last = args.at(-1);
      const marked = typeof last === "object" && last !== null && MARK in last;
      const depth = anew[name] ?? (marked ? ((args.pop() as { [MARK]: number })[MARK] ?? null) : null);
      if (depth === null) return method.apply(this, args);
      const events = eventsOf(this.ctx);
      const event = { depth };
      events.underWay.push(event);
      const answer = method.apply(this, args);
      const over = () => {
        events.underWay.splice(events.underWay.indexOf(event), 1);
        events.depth = depth;
      };
      Promise.resolve(answer).then(over, over);
      return answer;
    };
    Object.defineProperty(Class.prototype, name, { value, writable: true, configurable: true });
  }
}

/** A class's methods and those that it inherits, but for the platform's own. */
function methodsOf(Class: ObjectClass): Map<string, Method> {
  const methods = new Map<string, Method>();
  for (let at = Class.prototype; Object.getPrototypeOf(at) !== Object.prototype; at = Object.getPrototypeOf(at)) {
    for (const [name, { value }] of Object.entries(Object.getOwnPropertyDescriptors(at))) {
      if (typeof value === "function" && name !== "constructor" && !methods.has(name)) methods.set(name, value as Method);
    }
  }
  return methods;
}
