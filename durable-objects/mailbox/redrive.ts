/** Redrive: a failed job's request becomes a new job. */
import { mayHaveWorked } from "../../policy/upstream-errors.ts";
import type { Problem } from "../../schemas/problem.ts";
import type { Submission } from "../../schemas/rpc.ts";
import { find } from "./attempts.ts";
import type { Desk } from "./desk.ts";
import type { JobRow } from "./store/store.ts";

/** Why a batch's lines are not redriven: the batch counts its lines and has recorded what became of them, and a new job would belong to none. */
export function lineOfABatch(): Problem {
  const message = "A line of a batch cannot be redriven. Send a new batch with the lines that its error file names.";
  return { status: 409, type: "invalid_request_error", code: "batch_line", message, param: "jobs" };
}

/** What to submit; null if there is no such job, or it has not failed. A deadline that has passed is dropped: it would only end the new job too. */
export function again(desk: Desk, id: string, nonce: string): Submission | null {
  const row = find(desk, id);
  const request = row?.status === "failed" ? desk.store.text(row.n, "request") : null;
  if (!row || request === null) return null;
  const { deadline, metadata, model, open, pool, priority, prompt, retry, timeouts, tokens, webhook } = row;
  return {
    ...{ nonce, request, model, pool, tokens, priority, metadata, retry },
    notBefore: null,
    deadline: deadline !== null && deadline > desk.now() ? deadline : null,
    deadlinePolicy: "best_effort",
    idempotency: null,
    ...(prompt !== undefined && { prompt }),
    ...(open && { open }),
    ...(timeouts && { timeouts }),
    ...(webhook !== undefined && { webhook }),
    ...(isDoubtful(row) && { doubtful: true }),
  };
}

/** Whether upstream may have done the work of the job's last call, or if it never made one, of the call that it was to repeat. */
function isDoubtful({ attempts, doubtful, error }: JobRow): boolean {
  if (attempts === 0) return doubtful === true;
  return mayHaveWorked((JSON.parse(error ?? "{}") as Partial<Problem>).status ?? null);
}
