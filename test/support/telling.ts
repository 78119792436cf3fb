/** Jobs whose answers come piece by piece. */
import type { JobEvent } from "../../schemas/event.ts";
import { advanceTo, submit, until } from "./service.ts";
import { EPOCH, script, world } from "./world.ts";

export const WORDS = ["Once ", "upon ", "a ", "time", " there", " was 😀", " a", " queue."];
export const TEXT = WORDS.join("");

/** Fields of a job that waits until `start`. */
export const later = { not_before: EPOCH / 1_000 + 60 };
export const start = () => advanceTo(EPOCH + 60_000);

/** Submits a job whose answer the test writes, and waits until it runs. */
export async function running(more: Record<string, unknown> = {}) {
  const upstream = script();
  world.upstream = upstream.answer;
  const calls = world.calls.length;
  const { id } = await submit(more);
  await until(() => world.calls.length > calls);
  return { ...upstream, id };
}

/** The coordinator takes tickets in, but its answers reach the mailbox only once the returned function is called. */
export function unconfirmed(): () => void {
  const confirmed = Promise.withResolvers<void>();
  world.between.set("coordinator.enqueue", async (go) => {
    const answer = await go();
    await confirmed.promise;
    return answer;
  });
  return confirmed.resolve;
}

/** Lobbies refuse events that `lost` picks, until `hear` is called; `tries` counts the refused calls. */
export function deaf(lost: (event: JobEvent) => boolean = () => true) {
  const ears = { tries: 0, hear: () => world.between.delete("mailbox.relay") };
  world.between.set("mailbox.relay", async (go, [, events]) => {
    if (!(events as JobEvent[]).some(lost)) return go();
    ears.tries++;
    throw new Error("deaf");
  });
  return ears;
}
