/** The state of a batch, and the batch object that the API shows. Times in ms. */
import type { BatchError, BatchObject, BatchStatus } from "../schemas/batch.ts";
import type { BatchOrder } from "../schemas/rpc-batch.ts";

/** What is stored about a batch. */
export type BatchState = BatchOrder & {
  createdAt: number;
  expiresAt: number;
  status: BatchStatus;
  errors: BatchError[] | null;
  /** Number of lines that are requests; null until the file has been read. */
  total: number | null;
  /** Everything up to this line, which ends at byte `offset`, has become jobs or refusals. */
  cursor: { line: number; offset: number; requests: number };
  /** When it entered each status. */
  since: Partial<Record<BatchStatus, number>>;
  /** Size of the result files in bytes, once it has ended. */
  results: { output: number; error: number } | null;
  /** Final counts, once it has ended: its jobs are deleted later. */
  counts: { completed: number; failed: number } | null;
};

export const ENDED: readonly BatchStatus[] = ["failed", "completed", "expired", "cancelled"];

export function beginBatch(order: BatchOrder, now: number): BatchState {
  return {
    ...order,
    createdAt: now,
    // In whole seconds, as the API shows it: it is also the deadline of each of its jobs.
    expiresAt: Math.floor((now + order.windowMs) / 1_000) * 1_000,
    status: "validating",
    errors: null,
    total: null,
    cursor: { line: 0, offset: 0, requests: 0 },
    since: {},
    results: null,
    counts: null,
  };
}

/** Moves to the next status, and remembers when it entered the earlier ones. */
export function enter(state: BatchState, status: BatchStatus, now: number): BatchState {
  return { ...state, status, since: { ...state.since, [status]: now } };
}

/** How a batch ends once all its lines are used up: expired if time ran out on some of them, failed if some were lost with its file. */
export function endOf(state: BatchState, expired: number): BatchStatus {
  if (state.status === "cancelling") return "cancelled";
  if (expired > 0) return "expired";
  return state.errors === null ? "completed" : "failed";
}

/** `files`: ids of the result files. */
export function batchObject(
  state: BatchState,
  counts: { completed: number; failed: number },
  files: { output: string; error: string },
): BatchObject {
  const at = (status: BatchStatus) => (state.since[status] === undefined ? null : seconds(state.since[status]!));
  return {
    id: state.id,
    object: "batch",
    endpoint: "/v1/chat/completions",
    errors: state.errors && { object: "list", data: state.errors },
    input_file_id: state.input,
    completion_window: state.window,
    status: state.status,
    output_file_id: state.results && state.results.output > 0 ? files.output : null,
    error_file_id: state.results && state.results.error > 0 ? files.error : null,
    created_at: seconds(state.createdAt),
    in_progress_at: at("in_progress"),
    expires_at: seconds(state.expiresAt),
    finalizing_at: at("finalizing"),
    completed_at: at("completed"),
    failed_at: at("failed"),
    expired_at: at("expired"),
    cancelling_at: at("cancelling"),
    cancelled_at: at("cancelled"),
    request_counts: { total: state.total ?? 0, ...counts },
    metadata: state.metadata,
  };
}

function seconds(ms: number): number {
  return Math.floor(ms / 1_000);
}

const HOUR_MS = 3_600_000;

/** `24h` or `2d` in ms. */
export function windowMs(window: string): number {
  return Number.parseInt(window, 10) * (window.endsWith("d") ? 24 : 1) * HOUR_MS;
}
