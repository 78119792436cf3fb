/** Objects that call each other in any order, and die: counted as the platform counts, by code that knows nothing of what is tested. */
import fc from "fast-check";
import { beforeEach, expect, it } from "vitest";
import { nesting, reach, ringWhenDeep, type Spaces } from "../../platform/nesting.ts";
import { countNesting, nested } from "../support/depth.ts";
import { resetWorld, world } from "../support/world.ts";

beforeEach(resetWorld);

const SPACES = ["COORDINATOR", "DISPATCHER", "MAILBOX", "BATCH", "ARCHIVE"] as const;
type Hop = { space: keyof Spaces; name: number /** The one called dies first. */; dies: boolean };

/** Passes a baton on along a way, as an object passes its work on: without waiting for an answer. */
class Runner {
  readonly env: Spaces;
  readonly ctx: { arrived: () => void };

  constructor(ctx: { arrived: () => void }, env: Spaces, ring: (() => void) | null) {
    this.ctx = ctx;
    this.env = env;
    if (ring) ringWhenDeep(env, ring);
  }

  async pass(way: Hop[]): Promise<void> {
    const [next, ...rest] = way;
    if (next) void this.#on(next, rest);
    else this.ctx.arrived();
  }

  async alarm(): Promise<void> {}

  async #on(next: Hop, rest: Hop[], isLast = false): Promise<void> {
    const stub = reach(this.env, next.space, String(next.name)) as { pass: (way: Hop[], dies: boolean) => Promise<void> };
    await stub.pass(rest, next.dies && !isLast).catch(() => this.#on(next, rest, true));
  }
}

/** Objects by name. One that dies is made anew when it is called next, and whoever kept a stub must take another. */
function field() {
  const living = new Map<string, { object: Runner; dead: boolean }>();
  let arrived = 0;
  const env = Object.fromEntries(SPACES.map((space) => [space, { getByName: (name: string) => stub(space, name) }])) as unknown as Spaces;
  const find = (space: keyof Spaces, name: string) => {
    const key = `${space} ${name}`;
    const known = living.get(key);
    if (known && !known.dead) return known;
    const entry = { object: made(space), dead: false };
    living.set(key, entry);
    return entry;
  };
  function made(space: keyof Spaces): Runner {
    const hasAlarm = space !== "DISPATCHER" && space !== "ARCHIVE";
    // The alarm rings some time later.
    const ring = () => void setImmediate(() => object.alarm());
    const ctx = { arrived: () => arrived++ };
    class Ringing extends Runner {
      constructor(_: DurableObjectState, own: Spaces) {
        super(ctx, own, hasAlarm ? ring : null);
      }
    }
    class Counted extends nesting(Ringing, { pass: true }) {}
    countNesting(Counted);
    const object: Runner = new Counted(ctx as unknown as DurableObjectState, nested(env, ctx));
    return object;
  }
  function stub(space: keyof Spaces, name: string) {
    const entry = find(space, name);
    return {
      pass: async (way: Hop[], ...more: unknown[]) => {
        if (more[0] === true) entry.dead = true;
        if (entry.dead) throw new Error("reset");
        await (entry.object.pass as (...args: unknown[]) => Promise<void>)(way, ...more.slice(1));
      },
    };
  }
  return { env, arrived: () => arrived };
}

const hop = fc.record({ space: fc.constantFrom(...SPACES.slice(0, 4)), name: fc.nat(3), dies: fc.boolean() });
const way = fc.array(hop, { minLength: 1, maxLength: 60 });
/** No dispatcher calls another: only objects that have an alarm end a way that grows deep. */
const asCalled = (hops: Hop[]) => hops.filter(({ space }, n) => space !== "DISPATCHER" || hops[n - 1]?.space !== "DISPATCHER");

it("whoever calls whom, and whoever dies -> no call lies deeper than ten, and each gets where it leads", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(way, { minLength: 1, maxLength: 12 }), async (ways) => {
      world.deepest = 0;
      const { arrived, env } = field();
      for (const [n, hops] of ways.entries()) {
        const [first, ...rest] = asCalled(hops);
        await (reach(nested(env, {}), first!.space, String(first!.name)) as { pass: (way: Hop[], dies: boolean) => Promise<void> }).pass(
          rest,
          false,
        );
        // Some are under way together.
        if (n % 3 === 2) for (let turn = 0; turn < 20; turn++) await new Promise((done) => setImmediate(done));
      }
      for (let turn = 0; turn < 2_000 && arrived() < ways.length; turn++) await new Promise((done) => setImmediate(done));
      expect(arrived()).toBe(ways.length);
      expect(world.deepest).toBeLessThanOrEqual(10);
    }),
    { numRuns: 60 },
  );
});
