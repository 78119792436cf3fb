import type { BatchState } from "../../../policy/batch.ts";
import { PRIORITY_LIMIT_SECONDS } from "../../../schemas/job.ts";
import type { Submission } from "../../../schemas/rpc.ts";
import type { Request } from "./lines.ts";

/** A line as a job: it goes behind all else that its tenant sends, and expires with the batch. */
export function submissionOf({ customId, priced }: Request, line: number, { expiresAt }: BatchState): Submission {
  const { model, open, pool, prompt, request, tokens } = priced;
  return {
    ...{ model, pool, request, tokens },
    // It identifies a line that is submitted again.
    nonce: line.toString(36).padStart(6, "0"),
    priority: -PRIORITY_LIMIT_SECONDS,
    notBefore: null,
    deadline: expiresAt,
    deadlinePolicy: "best_effort",
    metadata: null,
    retry: "safe",
    idempotency: null,
    batch: { line, customId },
    ...(prompt !== undefined && { prompt }),
    ...(open && { open }),
  };
}
