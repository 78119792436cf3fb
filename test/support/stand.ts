/** Stops a step of the service in its middle, so that a test can let objects die there. */
import { reset } from "cloudflare:test";
import { inside, world } from "./service.ts";

export type Moment = "before it runs" | "before its answer arrives";

/** A stand at a method: the first call of it waits there until it is let go. */
export type Stand = { reached: boolean; left: boolean; args: unknown[]; go: () => void };

/**
 * `method` as `world.between` names it; `which` picks the call that is stopped. One object must not settle another's promise, so the
 * call looks again and again; if its object dies meanwhile, it is gone.
 */
export function standAt(method: string, moment: Moment, which: (args: unknown[]) => boolean = () => true): Stand {
  const stand: Stand = {
    reached: false,
    left: false,
    args: [],
    go: () => {
      stand.left = true;
    },
  };
  const { calls: age } = world;
  const wait = async (args: unknown[]) => {
    stand.args = args;
    stand.reached = true;
    while (!stand.left && world.calls === age) await scheduler.wait(2);
  };
  world.between.set(method, async (go, args) => {
    const stopped = !stand.reached && which(args);
    if (stopped && moment === "before it runs") await wait(args);
    const answer = await go();
    if (stopped && moment === "before its answer arrives") await wait(args);
    return answer;
  });
  return stand;
}

/** The object dies at once, mid-step; what was durable stays. */
export async function kill(stub: DurableObjectStub): Promise<void> {
  await inside(stub, (_, state) => state.abort("killed by the test")).catch(() => {});
}

/**
 * Empty storage, as every test begins with. The runtime deletes that of an object that has just died only once it is torn down, and does not say when
 * that is: what is left would come back in the next test.
 */
export async function cleared(): Promise<void> {
  await scheduler.wait(30);
  await reset();
}
