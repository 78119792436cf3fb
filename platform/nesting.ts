/**
 * How objects reach each other without their calls nesting ever deeper. Law: no call between objects nests deeper than two more than `DEEPEST`.
 *
 * The platform refuses what nests deeper than sixteen (https://developers.cloudflare.com/workers/observability/errors/#loop-limit), and counts so: what an object
 * calls lies one deeper than the newest event that it has received when it first uses the stub, and a stub keeps that depth (workerd, `IncomingRequest` in
 * io/io-context.h and `GlobalActorOutgoingFactory` in api/actor.c++). When the newest event is over, the newest of those under way takes its place, at the latest
 * when no background work is left. Objects that call each other for as long as there is work would get there within seconds. Requests of clients, messages of
 * sockets and alarms begin anew.
 *
 * So an object keeps the stubs that it uses: each call carries its depth, and while calls go to and fro over the same stubs, none becomes deeper. Where a new
 * stub would lie too deep, the object has its alarm ring, and uses the stub then.
 */

/**
 * Deepest event that a new stub may lead to. An object that has no alarm to ring goes one deeper, as does another that it calls. Half of what the platform
 * allows: upstream, or a webhook's receiver, may be made of Workers too.
 */
const DEEPEST = 8;
/** A stub that has brought no answer for this long, ms, is not used again: whoever it leads to may have moved. */
const FRESH_MS = 10_000;
/** Stubs kept by an object: each counts as 32 KB to the garbage collector (workerd, api/actor.c++). */
const KEPT = 256;
const MARK = "~depth";
/** Depth of the events that begin anew; a WebSocket's upgrade comes through a Worker. */
const ANEW: Readonly<Record<string, number>> = { alarm: 1, fetch: 2, webSocketMessage: 1, webSocketClose: 1, webSocketError: 1 };
const FROM_A_WORKER = 2;

/** The bindings that lead to objects. */
export type Spaces = {
  COORDINATOR: DurableObjectNamespace;
  DISPATCHER: DurableObjectNamespace;
  MAILBOX: DurableObjectNamespace;
  BATCH: DurableObjectNamespace;
  ARCHIVE: DurableObjectNamespace;
};
type Options = DurableObjectNamespaceGetDurableObjectOptions;
type Method = (...args: unknown[]) => Promise<unknown>;
type Methods = { readonly [name: string | symbol]: Method };

type Event = { readonly depth: number };

const LINES = Symbol("lines");

/** @returns another object's methods, to be called at once: by an object over a line that it keeps, by a Worker over a new stub. */
export function reach(env: Spaces, space: keyof Spaces, name: string, options?: Options): object {
  const lines = linesOf(env);
  return lines ? lines.to(space, name, options) : fromWorker(env[space].getByName(name, options));
}

/** Tells an object's lines how to have its alarm ring soon. Without that, new stubs are used however deep they lie. */
export function ringWhenDeep(env: Spaces, ring: () => void): void {
  const lines = linesOf(env);
  if (lines) lines.ring = ring;
}

/** Runs what an event calls in an object; null: of a depth that its caller does not tell. */
export function during<T>(env: Spaces, depth: number | null, method: () => T): T {
  const lines = linesOf(env);
  return lines ? lines.during(depth, method) : method();
}

type ObjectClass = new (ctx: DurableObjectState, env: never) => object;
type Base = new (ctx: DurableObjectState, env: Spaces) => { env: Spaces };

/** The class with the depth of its events read off, and an environment that has lines in place of stubs. `methods`: those that others may call. */
export function nesting<T extends ObjectClass>(Class: T, methods: Readonly<Record<string, true>>): T {
  class Nesting extends (Class as unknown as Base) {
    constructor(ctx: DurableObjectState, env: Spaces) {
      super(ctx, { ...env, [LINES]: new Lines(env) } as Spaces);
    }
  }
  for (const name of [...Object.keys(methods), ...Object.keys(ANEW)]) {
    const method = (Nesting.prototype as unknown as Partial<Methods>)[name];
    const value = function (this: { env: Spaces }, ...args: unknown[]) {
      return during(this.env, ANEW[name] ?? takeMark(args), () => method!.apply(this, args));
    };
    if (method) Object.defineProperty(Nesting.prototype, name, { value, writable: true, configurable: true });
  }
  return Nesting as unknown as T;
}

/**
 * Takes the caller's mark off, which comes last: a caller names every argument, because an older version would take the mark for one that is left out. Null if
 * there is none: the object calls itself, or its caller runs an older version.
 */
function takeMark(args: unknown[]): number | null {
  const last = args.at(-1);
  if (typeof last !== "object" || last === null || !Object.hasOwn(last, MARK)) return null;
  args.pop();
  return (last as { [MARK]: number })[MARK];
}

function linesOf(env: Spaces): Lines | undefined {
  return (env as { [LINES]?: Lines })[LINES];
}

/** A Worker's stubs need not be kept: they live for one request, which begins anew. */
function fromWorker(stub: DurableObjectStub): object {
  const methods = stub as unknown as Methods;
  const call = (name: string | symbol): Method =>
    name === "fetch" ? (request) => stub.fetch(request as Request) : (...args) => methods[name]!(...args, { [MARK]: FROM_A_WORKER });
  return proxied(call);
}

/** An object with any method but `then`, which would make it a promise. */
function proxied(method: (name: string | symbol) => Method): object {
  return new Proxy({}, { get: (_, name) => (name === "then" ? undefined : method(name)) });
}

/** The lines of one object to others. */
class Lines {
  ring: (() => void) | null = null;
  readonly #env: Spaces;
  readonly #kept = new Map<string, Line>();
  /** At least that of the event that counts; null until there was one. */
  #depth: number | null = null;
  readonly #underWay = new Set<Event>();
  #newest: Event | null = null;
  /** Calls that wait for an event that lies less deep. */
  #waiting: (() => void)[] = [];

  constructor(env: Spaces) {
    this.#env = env;
  }

  to(space: keyof Spaces, name: string, options?: Options): object {
    const key = `${space} ${name}`;
    const known = this.#kept.get(key);
    if (known?.isFresh) return known.methods;
    const line = new Line(this, key, () => this.#env[space].getByName(name, options));
    this.#keep(line);
    if (this.#kept.size > KEPT) this.#kept.delete(this.#kept.keys().next().value!);
    return line.methods;
  }

  during<T>(depth: number | null, method: () => T): T {
    const event = { depth: depth ?? this.#depth ?? FROM_A_WORKER };
    this.#newest = event;
    this.#underWay.add(event);
    this.#entered(event);
    const over = () => this.#over(event);
    try {
      const answer = method();
      void Promise.resolve(answer).then(over, over);
      return answer;
    } catch (error) {
      over();
      throw error;
    }
  }

  #over(event: Event): void {
    this.#underWay.delete(event);
    // It may count for some time yet.
    if (this.#newest === event) for (const { depth } of this.#underWay) this.#depth = Math.max(this.#depth ?? depth, depth);
  }

  #entered({ depth }: Event): void {
    this.#depth = depth;
    if (this.next !== null) for (const goOn of this.#waiting.splice(0)) goOn();
    else if (this.#waiting.length > 0) this.ring?.();
  }

  /** How deep a stub's calls lie that is first used now; null if that is too deep, or not known yet. */
  get next(): number | null {
    return this.#depth === null || (this.#depth >= DEEPEST && this.ring) ? null : this.#depth + 1;
  }

  /** Resolves within an event that does not lie too deep. */
  shallower(): Promise<void> {
    // The constructor's event is about to be told.
    if (this.#depth !== null) this.ring?.();
    return new Promise((done) => this.#waiting.push(done));
  }

  /** A line has brought an answer. */
  heard(line: Line): void {
    if (this.#kept.get(line.key) === line) this.#keep(line);
  }

  drop(line: Line): void {
    if (this.#kept.get(line.key) === line) this.#kept.delete(line.key);
  }

  /** Lines are kept in the order in which they were last heard. */
  #keep(line: Line): void {
    this.#kept.delete(line.key);
    this.#kept.set(line.key, line);
  }
}

/** A stub with the depth of what is called over it. */
class Line {
  readonly key: string;
  readonly methods = proxied(
    (name) =>
      (...args) =>
        this.#call(name, args),
  );
  readonly #lines: Lines;
  readonly #open: () => DurableObjectStub;
  #stub: { methods: Methods; depth: number } | null = null;
  /** While calls wait: those that come meanwhile go after them. */
  #opening: Promise<void> | null = null;
  /** When it last brought an answer, ms. */
  #heardAt = Date.now();

  constructor(lines: Lines, key: string, open: () => DurableObjectStub) {
    this.#lines = lines;
    this.key = key;
    this.#open = open;
  }

  /** Or calls wait for it, which later ones must not overtake. */
  get isFresh(): boolean {
    return this.#opening !== null || Date.now() - this.#heardAt < FRESH_MS;
  }

  /** @throws what the call throws. The line is not used again then: a stub stays broken after an exception. */
  async #call(name: string | symbol, args: unknown[]): Promise<unknown> {
    try {
      if (this.#opening || (!this.#stub && !this.#opened())) {
        this.#opening ??= this.#openLater();
        await this.#opening;
        this.#opening = null;
      }
      const { depth, methods } = this.#stub!;
      const answer = await methods[name]!(...args, { [MARK]: depth });
      this.#heardAt = Date.now();
      this.#lines.heard(this);
      return answer;
    } catch (error) {
      this.#lines.drop(this);
      throw error;
    }
  }

  async #openLater(): Promise<void> {
    do await this.#lines.shallower();
    while (!this.#opened());
  }

  /** Makes the stub, which must be used at once: its depth is that of its first use. */
  #opened(): boolean {
    const depth = this.#lines.next;
    if (depth !== null) this.#stub = { methods: this.#open() as unknown as Methods, depth };
    return depth !== null;
  }
}
