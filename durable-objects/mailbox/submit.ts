/**
 * Jobs come in: all that arrive together are written in one commit, and handed to the coordinator at the same time. Law: a message
 * sent before a write is not held back until the write is durable, so the coordinator's commit and ours run side by side. If ours
 * fails, the coordinator holds tickets of jobs that do not exist, and their leases find nothing to open.
 */
import { enqueueFrom } from "../../platform/objects.ts";
import { report } from "../../platform/telemetry.ts";
import type { Problem, Refused } from "../../schemas/problem.ts";
import type { OpenCall, Place, Submission, Submitted, Ticket } from "../../schemas/rpc.ts";
import type { Pass } from "../../schemas/token.ts";
import { find, finish } from "./attempts.ts";
import { born } from "./born.ts";
import type { Desk } from "./desk.ts";
import { placed } from "./order.ts";
import { tellPlace } from "./positions.ts";
import { Quotas } from "./quotas.ts";
import { placesOf } from "./read.ts";
import type { JobRow } from "./store/store.ts";
import { asAccepted, idOf, jobOf } from "./view.ts";

/** A coordinator that cannot be reached is tried again after this. */
const RESEND_MS = 5_000;
/** The cursor is written, along with new jobs, once it lags this far behind: after a wake, only tickets beyond it are sent again. */
const CURSOR_LAG = 64;
/** Tickets in one message. */
const TICKETS_PER_CALL = 2_000;

/** How many of the newest jobs are searched for one that a repeated submit may have made: a busy mailbox makes as many in seconds. */
const NEWEST = 10_000;
const NONE: ReadonlySet<JobRow> = new Set();

/** `id`: the job's, already built for its ticket. */
type Answers = Map<number, { ok: true; place: Place; id: string } | Refused>;
type Fresh = { row: JobRow; replayed: false; submission: Submission };
type Taken = Fresh | { row: JobRow; replayed: true } | Refused;

export type SubmitCall = { submissions: Submission[]; repeated: boolean };

export class Intake {
  readonly #desk: Desk;
  #next: number;
  #cursor: number;
  #lastAt: number;
  /** Jobs that the coordinator has not confirmed. */
  readonly #unconfirmed = new Set<number>();
  /** Jobs that the coordinator is being asked about right now. */
  readonly #underway = new Map<number, Promise<Answers>>();
  /** New jobs whose 'queued' event has not been told yet, with its place: a refused job must never be announced. */
  readonly #unannounced = new Map<number, number | undefined>();
  readonly #quotas: Quotas;
  /** The browser tokens of new jobs: if the coordinator refuses a job, its token gets the count back. */
  readonly #passes = new Map<number, Pass>();
  #resending: Promise<void> | null = null;
  /** Checked once for all submissions that arrive together. */
  #isFull = false;

  constructor(desk: Desk) {
    this.#desk = desk;
    this.#quotas = new Quotas(desk.store.passes);
    const newest = desk.store.newest();
    this.#cursor = desk.store.mark("cursor");
    // Retention may have deleted the newest jobs, and a new job with a number up to the cursor would count as confirmed.
    this.#next = Math.max(newest?.n ?? 0, this.#cursor) + 1;
    this.#lastAt = newest?.accepted_at ?? 0;
    for (const { fresh, n, place } of desk.store.outlines(this.#cursor)) {
      this.#unconfirmed.add(n);
      // Perhaps told before: the same event twice is better than a missing first one.
      if (fresh) this.#await(n, place ?? undefined);
    }
  }

  get unconfirmed(): number {
    return this.#unconfirmed.size;
  }

  /** Calls that arrive together share one commit and one message to the coordinator; each gets its own answer. */
  async submitTogether(calls: SubmitCall[]): Promise<Submitted[][]> {
    const submitted = await this.#submit(
      calls.flatMap((call) => call.submissions.map((submission) => ({ submission, repeated: call.repeated }))),
    );
    let from = 0;
    return calls.map(({ submissions }) => {
      from += submissions.length;
      return submitted.slice(from - submissions.length, from);
    });
  }

  async #submit(submissions: { submission: Submission; repeated: boolean }[]): Promise<Submitted[]> {
    // Time never goes back: lists are paged by time, and within a mailbox by number.
    const now = Math.max(this.#desk.now(), this.#lastAt);
    this.#lastAt = now;
    this.#lookForRoom();
    const taken: Taken[] = [];
    const again = submissions.flatMap(({ repeated, submission }) => (repeated ? submission.nonce : []));
    const known = this.#desk.store.byNonces(again, NEWEST);
    for (const { submission, repeated } of submissions) taken.push(this.#take(submission, repeated ? known : null, now, taken));
    const fresh = taken.flatMap((each) => ("row" in each && !each.replayed ? [each] : []));
    const sent = [
      this.#handOver(
        fresh.map(({ row }) => row),
        "offered",
        new Set(
          fresh.filter(({ row, submission }) => row.deadline !== null && submission.deadlinePolicy === "strict").map(({ row }) => row),
        ),
      ),
    ];
    this.#write(fresh);
    for (const each of taken) {
      if (!("row" in each) || !each.replayed || !this.#unconfirmed.has(each.row.n)) continue;
      sent.push(this.#underway.get(each.row.n) ?? this.#handOver([each.row], "accepted"));
    }
    const all = await Promise.all(sent);
    const answers: Answers = all.length === 1 ? all[0]! : new Map(all.flatMap((each) => [...each]));
    const older = taken.flatMap((each) => ("row" in each && !answers.has(each.row.n) && each.replayed ? [each.row] : []));
    const places = older.length > 0 ? await placesOf(this.#desk, older) : [];
    return taken.map((each) => {
      if (!("row" in each)) return each;
      const answer = answers.get(each.row.n);
      if (answer && !answer.ok) return answer;
      const place = answer?.place ?? places[older.indexOf(each.row)] ?? null;
      const job = this.#show(each.replayed ? (this.#desk.store.job(each.row.n) ?? each.row) : each.row, place, answer?.id);
      return place?.share ? { ok: true, job, replayed: each.replayed, share: place.share } : { ok: true, job, replayed: each.replayed };
    });
  }

  /** Resends what the coordinator has not confirmed, after a wake or when it could not be reached. One run at a time: each reads a whole message's rows. */
  resend(): Promise<void> {
    this.#resending ??= this.#resendAll().finally(() => {
      this.#resending = null;
    });
    return this.#resending;
  }

  async #resendAll(): Promise<void> {
    const silent = [...this.#unconfirmed];
    for (let from = 0; from < silent.length; from += TICKETS_PER_CALL) {
      const rows = this.#stillOpen(silent.slice(from, from + TICKETS_PER_CALL));
      await this.#handOver(rows, "accepted");
      // The coordinator could not be reached and is asked again later: the remaining jobs would fare the same.
      if (!rows.some(({ n }) => this.#unconfirmed.has(n))) continue;
      for (const n of silent.slice(from)) if (this.#unconfirmed.has(n) && !this.#underway.has(n)) this.#announceOrForget(n);
      return;
    }
  }

  #announceOrForget(n: number): void {
    if (this.#desk.store.job(n)?.status === "queued") this.#announce(n);
    else this.#forget(n);
  }

  /** Rows of the unconfirmed jobs to ask the coordinator about. A job that has ended, or is gone, needs no confirmation. */
  #stillOpen(silent: readonly number[]): JobRow[] {
    const asked = silent.filter((n) => this.#unconfirmed.has(n) && !this.#underway.has(n));
    const rows = asked.flatMap((n) => this.#desk.store.job(n) ?? []).filter(({ status }) => status === "queued");
    const open = new Set(rows.map(({ n }) => n));
    // Its followers were told of its end, which also says that something came before.
    for (const n of asked) if (!open.has(n)) this.#forget(n);
    return rows;
  }

  /**
   * Whether a lease is valid. The lease of a new ticket may arrive before the coordinator has written it, and is void if the coordinator died in
   * between. @throws if the coordinator does not answer.
   */
  async stands({ lease, dispatcher }: OpenCall): Promise<boolean> {
    const row = find(this.#desk, lease.job);
    if (!row) return true;
    if (!this.#unconfirmed.has(row.n)) {
      // A late lease, perhaps from a coordinator that died before writing it: void if another dispatcher has this attempt.
      const named = this.#desk.promised.get(row.n) ?? this.#desk.running.get(row.n);
      return named?.attempt !== lease.attempt || named.dispatcher === dispatcher;
    }
    const underway = this.#underway.get(row.n);
    const ask = async (asked: Promise<Answers>) => {
      const answer = (await asked).get(row.n);
      if (!answer) throw new Error("The coordinator has not confirmed this job.");
      // A refused job is gone or has ended, and `open` will say so.
      return !answer.ok || (answer.place.held?.attempt === lease.attempt && answer.place.held.dispatcher === dispatcher);
    };
    // An answer from before this lease does not name it: ask again.
    return (underway !== undefined && (await ask(underway))) || ask(this.#handOver([row], "accepted"));
  }

  /** Whether a job's first event has been told; waits for that while the coordinator is being asked. */
  async announced(n: number): Promise<boolean> {
    await this.#underway.get(n);
    return !this.#unannounced.has(n);
  }

  /** Tells followers of a new job, once. */
  #announce(n: number, known?: JobRow): void {
    if (!this.#unannounced.has(n)) return;
    this.#desk.order.passed(this.#unannounced.get(n));
    this.#unannounced.delete(n);
    const row = this.#desk.followers.watched(n) && (known ?? this.#desk.store.job(n));
    if (!row) return;
    const job = asAccepted(this.#desk.address, row);
    this.#desk.background(this.#desk.followers.tell(n, { job: job.id, seq: 1, event: "queued", data: job, ...placed(row.place) }));
  }

  #await(n: number, place: number | undefined): void {
    this.#unannounced.set(n, place);
    this.#desk.order.awaits(place);
  }

  /**
   * What becomes of a submission: a new job, an existing one, or a refusal. `made`: for a repeated submit, the jobs that the first try may have made.
   * `earlier`: what was taken before it in the same commit.
   */
  #take(submission: Submission, made: ReadonlyMap<string, number> | null, now: number, earlier: Taken[]): Taken {
    const { calls, store } = this.#desk;
    const { idempotency, nonce, pass } = submission;
    const revoked = pass ? this.#quotas.refusal(pass) : null;
    if (revoked) return { ok: false, problem: revoked };
    if (idempotency) {
      const twin = earlier.find((each) => "submission" in each && each.submission.idempotency?.key === idempotency.key) as
        | Fresh
        | undefined;
      const known = twin?.submission.idempotency ?? store.idempotent(idempotency.key);
      const row = twin?.row ?? (known && "n" in known && store.job(known.n));
      if (known && row) {
        if (known.fingerprint !== idempotency.fingerprint) return conflict();
        if (submission.call && !twin) calls.returned(row);
        return { row, replayed: true };
      }
    }
    if (made) {
      const twin = earlier.find((each) => "submission" in each && each.submission.nonce === nonce) as Fresh | undefined;
      const n = made.get(nonce);
      const row = twin?.row ?? calls.adoptedBy(nonce) ?? (n === undefined ? null : store.job(n));
      if (row) return { row, replayed: true };
    }
    const adopted = submission.call && !idempotency ? calls.adopt(submission.call, nonce) : null;
    if (adopted) return { row: adopted, replayed: true };
    if (submission.refusal) {
      if (submission.call) calls.refused(submission.call);
      return { ok: false, problem: submission.refusal };
    }
    if (this.#isFull) return { ok: false, problem: noRoom() };
    const exhausted = pass ? this.#quotas.take(pass) : null;
    if (exhausted) return { ok: false, problem: exhausted };
    const row = born(submission, this.#next++, this.#desk.order.next(), now);
    return { row, replayed: false, submission };
  }

  #lookForRoom(): void {
    const { address, room } = this.#desk;
    const isFull = !room.takesJobs;
    // Reported once, not with every job that is refused because of it.
    if (isFull && !this.#isFull) report({ level: "error", event: "storage_full", tenant: address.tenant, bytes: room.stored });
    this.#isFull = isFull;
  }

  #write(fresh: Fresh[]): void {
    const { store } = this.#desk;
    for (const { row } of fresh) {
      this.#unconfirmed.add(row.n);
      this.#await(row.n, row.place);
    }
    const written = fresh.map(({ row, submission: { request } }) => ({ row, request }));
    try {
      store.sql.transaction(() => {
        this.#writeCursor();
        this.#quotas.write(this.#desk.wakeBy);
        this.#desk.calls.began(fresh.map(({ row }) => row));
        store.insert(written);
        for (const { row, submission } of fresh) {
          if (submission.call) store.calls.add(submission.call.body, row.n, row.accepted_at);
          if (submission.pass) this.#passes.set(row.n, submission.pass);
          if (submission.idempotency) store.addIdempotent(submission.idempotency.key, submission.idempotency.fingerprint, row.n);
        }
      });
      store.inserted(written);
    } catch (error) {
      for (const { row } of fresh) this.#forget(row.n);
      throw error;
    } finally {
      this.#quotas.clear();
    }
  }

  #forget(n: number): void {
    this.#unconfirmed.delete(n);
    this.#desk.order.passed(this.#unannounced.get(n));
    this.#unannounced.delete(n);
    this.#passes.delete(n);
  }

  /** Asks the coordinator, one question at a time for a job: two could be answered differently. `strict`: rows to refuse if their deadline is out of reach. */
  async #handOver(rows: JobRow[], state: "offered" | "accepted", strict: ReadonlySet<JobRow> = NONE): Promise<Answers> {
    if (rows.length === 0) return new Map();
    const asked = this.#ask(rows, state, strict);
    for (const { n } of rows) this.#underway.set(n, asked);
    const answers = await asked;
    for (const { n } of rows) if (this.#underway.get(n) === asked) this.#underway.delete(n);
    return answers;
  }

  /** Answers by job number; a job whose answer is missing stays unconfirmed and is sent again. */
  async #ask(rows: JobRow[], state: "offered" | "accepted", strict: ReadonlySet<JobRow>): Promise<Answers> {
    const { address, env, settings, store } = this.#desk;
    const answers: Answers = new Map();
    try {
      const tickets = rows.map((row) => this.#ticket(row, state, strict.has(row)));
      const results = await enqueueFrom(env, settings.region, address, tickets);
      rows.forEach((row, index) => {
        const result = results[index]!;
        this.#unconfirmed.delete(row.n);
        if (result.ok) {
          this.#passes.delete(row.n);
          answers.set(row.n, { ok: true, place: result.place, id: tickets[index]!.job });
          if (result.place.held) this.#desk.promised.set(row.n, result.place.held);
          this.#announce(row.n, row);
          if (tickets[index]!.watched) tellPlace(this.#desk, tickets[index]!.job, result.place);
        } else if (state === "accepted") {
          // Its client got a 202, or may have: the job is not undone, it ends.
          this.#announce(row.n, row);
          // It may have ended in another way while the coordinator was asked.
          const current = store.job(row.n);
          if (current) finish(this.#desk, current, "failed", { problem: result.problem });
        } else {
          answers.set(row.n, result);
          if (row.call) this.#desk.calls.refused(row.call);
          const pass = this.#passes.get(row.n);
          if (pass) this.#quotas.giveBack(pass);
          this.#forget(row.n);
          store.remove(row.n);
        }
      });
    } catch {
      // Durable here, and so accepted, though the coordinator does not know yet.
      for (const row of rows) this.#announce(row.n, row);
      this.#desk.wakeBy(this.#desk.now() + RESEND_MS);
    }
    return answers;
  }

  #ticket(row: JobRow, state: "offered" | "accepted", strict: boolean): Ticket {
    const { call, deadline, doubtful, model, open, priority, prompt, tokens } = row;
    const ticket: Ticket = {
      job: idOf(this.#desk.address, row),
      pool: row.pool,
      priority,
      tokens,
      acceptedAt: row.accepted_at,
      notBefore: row.not_before,
      deadline,
    };
    // Rare fields are set only where needed: thousands of tickets are made at a time.
    if (strict && deadline !== null) ticket.deadlinePolicy = "strict";
    if (this.#desk.followers.watched(row.n)) ticket.watched = true;
    if (call) ticket.call = true;
    if (state === "offered") ticket.offered = true;
    if (prompt !== undefined) ticket.prompt = prompt;
    if (open) ticket.open = { model, ...open };
    if (doubtful) ticket.doubtful = true;
    return ticket;
  }

  #show(row: JobRow, place: Place | null, id: string | undefined) {
    const { address, running, store, now } = this.#desk;
    const current = row.status === "queued" ? row : (store.job(row.n) ?? row);
    const standing = { place, runningSince: running.get(row.n)?.startedAt ?? null, now: now() };
    return jobOf(address, current, standing, current.status === "completed" ? store.text(row.n, "response") : null, id);
  }

  #writeCursor(): void {
    let confirmed = this.#next - 1;
    for (const n of this.#unconfirmed) confirmed = Math.min(confirmed, n - 1);
    if (confirmed - this.#cursor < CURSOR_LAG) return;
    this.#cursor = confirmed;
    this.#desk.store.putMark("cursor", confirmed);
  }
}

function noRoom(): Problem {
  const message = "The storage of this channel is full until older jobs are deleted. Use another channel.";
  return { status: 503, type: "server_error", code: "storage_full", message, param: "channel" };
}

function conflict(): Refused {
  const message = "This Idempotency-Key was used with another request.";
  return {
    ok: false,
    problem: { status: 409, type: "invalid_request_error", code: "idempotency_key_conflict", message, param: "Idempotency-Key" },
  };
}
