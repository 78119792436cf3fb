/** Jobs come in: written in one commit with all that arrived together, then handed to the coordinator. */
import { newNonce } from "../../platform/ids.ts";
import { callCoordinator } from "../../platform/objects.ts";
import type { Refused } from "../../schemas/problem.ts";
import type { Place, Submission, Submitted, Ticket } from "../../schemas/rpc.ts";
import type { Desk } from "./desk.ts";
import type { JobRow } from "./store/store.ts";
import { idOf, jobOf } from "./view.ts";

/** A coordinator that cannot be reached is tried again after this. */
const RESEND_MS = 5_000;
/** The cursor is written when it lags so far behind: a wake then sends at most as many tickets again. */
const CURSOR_LAG = 64;
/** Tickets in one message. */
const TICKETS_PER_CALL = 2_000;

type Written = { row: JobRow; replayed: boolean } | Refused;

export class Intake {
  readonly #desk: Desk;
  #next: number;
  #cursor: number;
  /** Jobs that the coordinator has not confirmed. */
  readonly #unconfirmed = new Set<number>();
  /** New jobs whose 'queued' event is not told yet: a refused one must not be. */
  readonly #unannounced = new Map<number, JobRow>();

  constructor(desk: Desk) {
    this.#desk = desk;
    this.#next = desk.store.lastNumber() + 1;
    this.#cursor = desk.store.cursor();
    for (const row of desk.store.openAfter(this.#cursor)) this.#unconfirmed.add(row.n);
  }

  get unconfirmed(): number {
    return this.#unconfirmed.size;
  }

  async submit(submissions: Submission[]): Promise<Submitted[]> {
    const { store } = this.#desk;
    const now = this.#desk.now();
    const written = store.sql.transaction(() => {
      this.#writeCursor();
      return submissions.map((submission) => this.#write(submission, now));
    });
    const rows = written.flatMap((each) => ("row" in each && this.#unconfirmed.has(each.row.n) ? [each.row] : []));
    const answers = await this.#handOver(rows);
    return written.map((each) => {
      if (!("row" in each)) return each;
      const answer = answers.get(each.row.n);
      if (answer && !answer.ok) return answer;
      return { ok: true, job: this.#show(each.row, answer?.place ?? null), replayed: each.replayed };
    });
  }

  /** Sends again what the coordinator has not confirmed: after a wake, or when it could not be reached. */
  async resend(): Promise<void> {
    const rows = [...this.#unconfirmed].flatMap((n) => this.#desk.store.job(n) ?? []).filter((row) => row.status === "queued");
    for (let from = 0; from < rows.length; from += TICKETS_PER_CALL) await this.#handOver(rows.slice(from, from + TICKETS_PER_CALL));
  }

  /** Tells of a new job, once. */
  announce(n: number): void {
    const row = this.#unannounced.get(n);
    if (!row) return;
    this.#unannounced.delete(n);
    if (!this.#desk.followers.watched(n)) return;
    const job = this.#show(row, null);
    this.#desk.background(this.#desk.followers.tell(n, { job: job.id, seq: 1, event: "queued", data: job }));
  }

  #write(submission: Submission, now: number): Written {
    const { store } = this.#desk;
    const { idempotency } = submission;
    const known = idempotency && store.idempotent(idempotency.key);
    if (known) {
      const row = store.job(known.n);
      if (row) return known.fingerprint === idempotency.fingerprint ? { row, replayed: true } : conflict();
    }
    const row: JobRow = {
      n: this.#next++,
      nonce: newNonce(),
      status: "queued",
      model: submission.model,
      pool: submission.pool,
      priority: submission.priority,
      tokens: submission.tokens,
      accepted_at: now,
      not_before: submission.notBefore,
      deadline: submission.deadline,
      retry: submission.retry,
      metadata: submission.metadata && JSON.stringify(submission.metadata),
      idempotency_key: idempotency?.key ?? null,
      attempt: 0,
      attempts: 0,
      unknown: 0,
      started_at: null,
      ended_at: null,
      usage: null,
      error: null,
      log: null,
    };
    store.insert(row, submission.request);
    if (idempotency) store.addIdempotent(idempotency.key, idempotency.fingerprint, row.n);
    this.#unconfirmed.add(row.n);
    this.#unannounced.set(row.n, row);
    return { row, replayed: false };
  }

  /** Answers by job number; a job whose answer is missing stays unconfirmed and is sent again. */
  async #handOver(rows: JobRow[]): Promise<Map<number, { ok: true; place: Place } | Refused>> {
    const { address, env, settings, store } = this.#desk;
    const answers = new Map<number, { ok: true; place: Place } | Refused>();
    if (rows.length === 0) return answers;
    try {
      const tickets = rows.map((row) => this.#ticket(row));
      const results = await callCoordinator(env, settings.region, (stub) => stub.enqueue(address, tickets));
      rows.forEach((row, index) => {
        const result = results[index]!;
        answers.set(row.n, result);
        this.#unconfirmed.delete(row.n);
        if (result.ok) {
          this.announce(row.n);
        } else {
          this.#unannounced.delete(row.n);
          store.remove(row.n);
        }
      });
    } catch {
      // Durable here: accepted, though the coordinator does not know yet.
      for (const row of rows) this.announce(row.n);
      this.#desk.wakeBy(this.#desk.now() + RESEND_MS);
    }
    return answers;
  }

  #ticket(row: JobRow): Ticket {
    return {
      job: idOf(this.#desk.address, row),
      pool: row.pool,
      priority: row.priority,
      tokens: row.tokens,
      acceptedAt: row.accepted_at,
      notBefore: row.not_before,
      deadline: row.deadline,
    };
  }

  #show(row: JobRow, place: Place | null) {
    const { address, running, store, now } = this.#desk;
    const current = row.status === "queued" ? row : (store.job(row.n) ?? row);
    const standing = { place, runningSince: running.get(row.n)?.startedAt ?? null, now: now() };
    return jobOf(address, current, standing, current.status === "completed" ? store.text(row.n, "response") : null);
  }

  #writeCursor(): void {
    let confirmed = this.#next - 1;
    for (const n of this.#unconfirmed) confirmed = Math.min(confirmed, n - 1);
    if (confirmed - this.#cursor < CURSOR_LAG) return;
    this.#cursor = confirmed;
    this.#desk.store.putCursor(confirmed);
  }
}

function conflict(): Refused {
  const message = "This Idempotency-Key was used with another request.";
  return {
    ok: false,
    problem: { status: 409, type: "invalid_request_error", code: "idempotency_key_conflict", message, param: "Idempotency-Key" },
  };
}
