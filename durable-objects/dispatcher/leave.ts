/**
 * The moment at which a call leaves for upstream. A call that is late by then asks whether it may still go (policy/leaving.ts). Law: it asks as late as
 * possible. On one machine a single thread carries everything, and in a burst seconds pass from `fetch` until its connection is used.
 */
import type { Outcome, Word } from "../../schemas/rpc.ts";
import type { Call, Ports } from "./attempt.ts";
import { unless, unopened } from "./prepare.ts";

/** Of the time that a call has to leave: if more than this part is used up before `fetch`, the machine is busy, and the call may be late once connected. */
const PRESSED = 1 / 5;
/** Why a call was broken off that was not to leave. */
const LATE = "late";

export type Leave = {
  /** Whether the call is likely to be late once it is connected. */
  isPressed: () => boolean;
  /** Whether the request may be sent now. Asked once; if not, the call is broken off. Never throws. */
  now: () => Promise<boolean>;
};

/** @param left called when the call leaves. */
export function leaveOf(call: Call, ports: Ports, left: () => void): Leave {
  const { controller, lease } = call;
  return {
    isPressed: () => lease.leaveBy !== undefined && call.hasUsed(PRESSED, lease.leaveBy, ports.now()),
    now: async () => {
      const word = await wordOn(call, ports);
      if (controller.signal.aborted) return false;
      if (word === "go") {
        call.sent(ports.now());
        left();
      } else controller.abort(LATE);
      return word === "go";
    },
  };
}

/**
 * A late call asks whether it may still go. It goes if the answer says so, or if the coordinator runs an older version that does not know the question. A lost
 * answer may have said to wait, and the job may have gone elsewhere since: so a call waits for its answer however long that takes, and does not go without.
 */
async function wordOn(call: Call, ports: Ports): Promise<Word> {
  const { controller, lease } = call;
  if (lease.leaveBy === undefined || ports.now() <= lease.leaveBy) return "go";
  call.word = "lost";
  call.word = await unless(controller.signal, ports.late(lease)).catch((error) => (isUnknown(error) ? "go" : "lost"));
  return call.word;
}

/** Whether this is how the runtime reports a method that the other side does not have. */
function isUnknown(error: unknown): boolean {
  return error instanceof Error && error.message.includes("does not implement");
}

/** The end of a call that was broken off before it left; undefined for any other. `timedOut`: by one of its own timeouts. */
export function stayed({ controller, sentAt, word }: Call, timedOut: boolean): Outcome | null | undefined {
  const { aborted, reason } = controller.signal;
  if (sentAt !== null || !aborted) return undefined;
  if (!timedOut && reason !== LATE) return { kind: "void" };
  if (word === "wait") return null;
  return word === "lost" ? unopened("lease_lost", "The call was late, and the coordinator did not confirm its lease.") : undefined;
}
