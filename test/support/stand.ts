/** Stops the service in the middle of a step, so that a test can kill objects there. */
import { reset } from "cloudflare:test";
import { inside, world } from "./service.ts";

export type Moment = "before it runs" | "before its answer arrives";

/** A stand at a method: the first call that it picks waits there until `go` is called. */
export type Stand = { reached: boolean; left: boolean; args: unknown[]; go: () => void };

/**
 * `method` is named as in `world.between`; `which` picks the call to stop. The call polls, because one object must not settle another's
 * promise; if its object dies meanwhile, the call is gone.
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

/** Kills the object at once, mid-step; what was durable stays. */
export async function kill(stub: DurableObjectStub): Promise<void> {
  await inside(stub, (_, state) => state.abort("killed by the test")).catch(() => {});
}

/**
 * Empties storage, as every test needs at its start. The runtime deletes the storage of an object that has just died only once the object is torn down, and
 * does not say when that is; hence the wait. Without it, what is left would come back in the next test.
 */
export async function cleared(): Promise<void> {
  await scheduler.wait(30);
  await reset();
}
