/**
 * A batch at work: its file is checked, then its lines become jobs, some at a time, until all have ended. Law: whatever dies in between, each line
 * becomes one job or one refusal, and the state that is written is never ahead of the jobs that exist.
 */
import { batchId, fileId } from "../../../platform/file-ids.ts";
import type { ByteLine } from "../../../platform/lines.ts";
import { callArchive, callCoordinator } from "../../../platform/objects.ts";
import { RaisedLimits } from "../../../platform/raised.ts";
import { aTurn } from "../../../platform/turns.ts";
import { type BatchState, batchObject, beginBatch, ENDED, endOf, enter } from "../../../policy/batch.ts";
import { BATCH_LINES_LIMIT, type BatchError, type BatchObject } from "../../../schemas/batch.ts";
import type { JobEnd } from "../../../schemas/job.ts";
import type { Problem } from "../../../schemas/problem.ts";
import type { BatchOrder } from "../../../schemas/rpc-batch.ts";
import type { BatchEndedEvent } from "../../../schemas/webhook.ts";
import { finish } from "../attempts.ts";
import type { Desk } from "../desk.ts";
import type { Intake } from "../submit.ts";
import { idOf } from "../view.ts";
import { readLines } from "./input.ts";
import { type Parsed, parseLine } from "./lines.ts";
import { resultBytes, unexecuted } from "./results.ts";
import { type BatchStore, type Counts, count } from "./store.ts";
import { submissionOf } from "./submission.ts";

/** Open jobs at a time: the coordinator holds a ticket of each in memory, and live jobs go before them anyway. */
const OPEN_LIMIT = 1_000;
/** More lines are taken when this few jobs are left open. */
const OPEN_LOW = 500;
/** Limits on the lines that become jobs together: their number, and their characters, because memory is 128 MB. */
const GROUP = { lines: 250, characters: 4_000_000 };
/** Where the queue is full, this many more lines than it had room for are tried, to find out whether it has more. */
const PROBE = 10;
/** Errors of a file that are told, at most. */
const ERRORS_LIMIT = 100;
/** When to try again if the tenant's queue is full or drained, there is no room, or something could not be reached. */
const AGAIN_MS = 5_000;
/** While it is at work, the alarm is set this far ahead. */
const WATCHDOG_MS = 30_000;
const LATER = ["queue_full", "draining", "storage_full"];
/** Stands for the batch itself among the webhooks of jobs: no job has this number. */
export const ITSELF = 0;

/** The input file ends earlier than it did when the batch was created. */
class InputDeleted extends Error {}

export class Run {
  readonly #desk: Desk;
  readonly #intake: Intake;
  readonly #store: BatchStore;
  #state: BatchState | null;
  readonly #counts: Counts;
  /** Requests up to this count may already have become jobs, beyond the cursor: after a wake, or where a group was taken in part. */
  #perhaps = 0;
  /** How many lines are tried at a time: fewer where the queue had no room for more, because a refused job costs as many rows as an accepted one. */
  #tried = GROUP.lines;
  #running: Promise<void> | null = null;
  /** Something happened while it was at work. */
  #again = false;

  constructor(desk: Desk, intake: Intake, store: BatchStore) {
    this.#desk = desk;
    this.#intake = intake;
    this.#store = store;
    this.#state = store.state();
    this.#perhaps = (this.#state?.cursor.requests ?? 0) + GROUP.lines;
    this.#counts = store.counts();
  }

  begin(order: BatchOrder): BatchObject {
    if (!this.#state) {
      this.#put(beginBatch(order, this.#desk.now()));
      this.#desk.wakeBy(this.#desk.now());
    }
    return this.show()!;
  }

  show(): BatchObject | null {
    if (!this.#state) return null;
    const { tenant } = this.#desk.address;
    const name = this.#state.id.slice(batchId(tenant, "").length);
    const files = { output: fileId(tenant, name, "output"), error: fileId(tenant, name, "error") };
    const { completed, failed } = this.#state.counts ?? this.#counts;
    return batchObject(this.#state, { completed, failed }, files);
  }

  /** The event of its end, in OpenAI's format. */
  event(): BatchEndedEvent {
    const { id, since, status } = this.#state!;
    const type = `batch.${status}` as BatchEndedEvent["type"];
    const created_at = Math.floor((since[status] ?? 0) / 1_000);
    return { id: `evt_${id.slice("batch_".length)}`, object: "event", type, created_at, data: { id } };
  }

  get state(): BatchState | null {
    return this.#state;
  }

  /** A job has ended. */
  ended(status: JobEnd): void {
    count(this.#counts, "queued", -1);
    count(this.#counts, status, 1);
    if (this.#counts.open === OPEN_LOW || this.#counts.open === 0) this.#desk.background(this.advance());
  }

  /** No more lines become jobs, and those that are jobs end now. */
  async cancel(): Promise<BatchObject | null> {
    if (this.#state && !ENDED.includes(this.#state.status) && this.#state.status !== "cancelling") {
      this.#put(enter(this.#state, "cancelling", this.#desk.now()));
      this.#desk.wakeBy(this.#desk.now());
      await this.advance();
    }
    return this.show();
  }

  /** Does what is due now. Called at every wake, and as jobs end; never runs twice at once. */
  async advance(): Promise<void> {
    this.#again = true;
    if (this.#running) this.#watch();
    this.#running ??= this.#loop();
    await this.#running;
  }

  /** An object that dies at work is woken: the alarm does not wait for the work. */
  #watch(): void {
    this.#desk.wakeBy(this.#desk.now() + WATCHDOG_MS);
  }

  async #loop(): Promise<void> {
    try {
      while (this.#again) {
        this.#again = false;
        await this.#work();
      }
    } catch {
      // The archive or the coordinator could not be reached; nothing was recorded that was not done.
      this.#desk.wakeBy(this.#desk.now() + AGAIN_MS);
    }
    this.#running = null;
  }

  async #work(): Promise<void> {
    try {
      if (this.#state?.status === "validating" && this.#desk.now() >= this.#state.expiresAt) this.#expire();
      if (this.#state?.status === "validating") await this.#validate();
      if (this.#state?.status === "in_progress") await this.#fill();
    } catch (error) {
      if (!(error instanceof InputDeleted)) throw error;
      this.#lost();
    }
    if (this.#state?.status === "cancelling") this.#drop();
    const over = this.#state && (this.#state.status === "cancelling" || this.#state.cursor.requests === this.#state.total);
    if (over && this.#counts.open === 0 && !ENDED.includes(this.#state!.status)) this.#end();
    // The alarm that was set for this may have gone off early, for something else.
    if (this.#state?.status === "in_progress" && this.#desk.now() < this.#state.expiresAt) this.#desk.wakeBy(this.#state.expiresAt);
  }

  async #validate(): Promise<void> {
    const raised = this.#raised();
    const known = new Set<string>();
    const errors: BatchError[] = [];
    let requests = 0;
    for await (const each of this.#lines(0, 0)) {
      const { line } = each;
      if (++requests > BATCH_LINES_LIMIT) {
        errors.push({ code: "too_many_requests", message: `A file may have at most ${BATCH_LINES_LIMIT} requests.`, param: null, line });
        break;
      }
      const parsed = await this.#parse(each, raised);
      if (!parsed.ok) errors.push(parsed.error);
      else if (known.has(parsed.request.customId))
        errors.push({ code: "duplicate_custom_id", message: "An earlier line has the same custom_id.", param: "custom_id", line });
      else known.add(parsed.request.customId);
      if (errors.length === ERRORS_LIMIT) break;
    }
    if (requests === 0) errors.push({ code: "empty_file", message: "The input file contains no requests.", param: null, line: null });
    // Cancelled meanwhile.
    if (this.#state!.status !== "validating") return;
    if (errors.length > 0) this.#invalid(errors);
    else this.#put({ ...enter(this.#state!, "in_progress", this.#desk.now()), total: requests });
  }

  #raised(): RaisedLimits {
    const { env, settings } = this.#desk;
    return new RaisedLimits(env, settings.region);
  }

  #parse(line: ByteLine, limits: RaisedLimits): Promise<Parsed> {
    const { pools } = this.#desk.settings;
    const { models } = this.#state!;
    return limits.allowing((raised) => parseLine(line, { pools, raised, models }));
  }

  /** Takes lines while there is room. */
  async #fill(): Promise<void> {
    const { cursor, total } = this.#state!;
    if (cursor.requests === total) return;
    const expired = this.#desk.now() >= this.#state!.expiresAt;
    if (!expired && this.#counts.open > OPEN_LOW) return;
    let group: ByteLine[] = [];
    let characters = 0;
    for await (const line of this.#lines(cursor.offset, cursor.line)) {
      group.push(line);
      characters += line.text.length;
      if (group.length < this.#tried && characters < GROUP.characters) continue;
      if (!(await this.#take(group))) return;
      [group, characters] = [[], 0];
    }
    if (group.length > 0) await this.#take(group);
  }

  /** Its file ends too early: the batch ends with the jobs that it has. */
  #lost(): void {
    const { cursor, status, total } = this.#state!;
    const deleted = (message: string) => [{ code: "input_file_deleted", message, param: "input_file_id", line: null }];
    if (status === "validating") this.#invalid(deleted("The input file was deleted before it was checked."));
    if (status !== "in_progress") return;
    // More than the cursor says if a group was taken in part.
    const { completed, failed, open } = this.#counts;
    const requests = open + completed + failed;
    const errors = deleted(`The input file was deleted: ${total! - requests} of its requests were not made.`);
    this.#put({ ...this.#state!, total: requests, cursor: { ...cursor, requests }, errors });
  }

  /** Its file could not be read within the batch's time. */
  #expire(): void {
    this.#close({ ...enter(this.#state!, "expired", this.#desk.now()), counts: { completed: 0, failed: 0 } });
  }

  /** The file is refused: no line becomes a job. */
  #invalid(errors: BatchError[]): void {
    this.#close({ ...enter(this.#state!, "failed", this.#desk.now()), errors, counts: { completed: 0, failed: 0 } });
  }

  /** Lines become jobs, or refusals if their time has run out. Returns whether to go on. */
  async #take(lines: ByteLine[]): Promise<boolean> {
    const state = this.#state!;
    if (state.status !== "in_progress") return false;
    const { now } = this.#desk;
    const raised = this.#raised();
    const parsed = await Promise.all(lines.map(async (line) => ({ ...(await this.#parse(line, raised)), line: line.line })));
    // Cancelled meanwhile.
    if (this.#state!.status !== "in_progress") return false;
    if (now() >= state.expiresAt) {
      const left = this.#notTaken(parsed);
      for (const each of left) this.#refuse(each.line, each.ok ? each.request.customId : each.customId, unexecuted("expired"));
    } else if (!(await this.#submit(parsed))) {
      this.#desk.wakeBy(now() + AGAIN_MS);
      return false;
    }
    const { end, line } = lines.at(-1)!;
    // Only its status may have changed meanwhile.
    this.#put({ ...this.#state!, cursor: { line, offset: end, requests: state.cursor.requests + lines.length } });
    this.#tried = Math.min(GROUP.lines, this.#tried * 2);
    return now() >= state.expiresAt || this.#counts.open < OPEN_LIMIT;
  }

  /** The lines of a group that are not jobs. If it was taken in part before, some of them are, and end as jobs do. */
  #notTaken<L extends { line: number }>(group: L[]): L[] {
    if (!this.#isRepeated) return group;
    // Twice a group: some of the newest jobs may stand before the cursor, if a group's last lines were taken first.
    const jobs = this.#store.linesOf(2 * GROUP.lines);
    return group.filter(({ line }) => !jobs.has(line));
  }

  get #isRepeated(): boolean {
    return this.#state!.cursor.requests < this.#perhaps;
  }

  /** Returns false if some must be tried later (`LATER`): then none counts as taken, and those that were let in are recognised by their nonce next time. */
  async #submit(group: (Parsed & { line: number })[]): Promise<boolean> {
    const ready = group.filter((each) => each.ok);
    const submissions = ready.map(({ line, request }) => submissionOf(request, line, this.#state!));
    const [results] = await this.#intake.submitTogether([{ submissions, repeated: this.#isRepeated }]);
    // Some may have ended by now: their end was counted then.
    for (const each of results!) if (each.ok && !each.replayed) count(this.#counts, "queued", 1);
    if (results!.some((each) => !each.ok && LATER.includes(each.problem.code ?? ""))) {
      this.#perhaps = Math.max(this.#perhaps, this.#state!.cursor.requests + group.length);
      this.#tried = Math.min(GROUP.lines, results!.filter(({ ok }) => ok).length + PROBE);
      return false;
    }
    results!.forEach((each, index) => {
      if (!each.ok) this.#refuse(ready[index]!.line, ready[index]!.request.customId, each.problem);
    });
    // The file was valid when it was checked: a pool or a key has changed since.
    for (const each of this.#notTaken(group.filter(({ ok }) => !ok)))
      if (!each.ok) this.#refuse(each.line, each.customId, { status: 400, type: "invalid_request_error", ...each.error });
    return true;
  }

  #drop(): void {
    const { address, env, settings, store } = this.#desk;
    const rows = store.openAfter(0);
    for (const row of rows) finish(this.#desk, row, "cancelled", {});
    if (rows.length === 0) return;
    // Losing this costs nothing: a dispatcher asks here before it calls upstream.
    const ids = rows.map((row) => idOf(address, row));
    this.#desk.background(callCoordinator(env, settings.region, (stub) => stub.cancel(ids)).catch(() => {}));
  }

  #end(): void {
    const { completed, expired, failed } = this.#counts;
    const results = resultBytes(this.#desk, this.#store);
    const now = this.#desk.now();
    const finalized = this.#state!.status === "cancelling" ? this.#state! : enter(this.#state!, "finalizing", now);
    this.#close({ ...enter(finalized, endOf(this.#state!, expired), now), counts: { completed, failed }, results });
  }

  #refuse(line: number, customId: string, problem: Problem): void {
    // The same line again, after a crash, is not counted again.
    if (!this.#store.refuse({ line, custom_id: customId, problem: JSON.stringify(problem) })) return;
    this.#counts.failed++;
    if (problem.code === "batch_expired") this.#counts.expired++;
  }

  #lines(offset: number, line: number): AsyncGenerator<ByteLine> {
    const { address, env } = this.#desk;
    const { archive, bytes } = this.#state!;
    const read = async (at: number) => {
      this.#watch();
      // If both objects are in one process, others would have to wait while it goes from one part to the next.
      if (at > offset) await aTurn();
      const part = await callArchive(env, address.tenant, archive, (stub) => stub.read(at));
      // The last part read may end in the middle of a line, which must not count as one.
      if (!part && at < bytes) throw new InputDeleted();
      return part;
    };
    return readLines(read, offset, line);
  }

  /** Writes the last state of the batch, and tells its webhook. */
  #close(state: BatchState): void {
    if (state.webhook === null) this.#put(state);
    else this.#desk.webhooks.tell({ n: ITSELF, ended_at: this.#desk.now() }, state.webhook, () => this.#put(state));
  }

  #put(state: BatchState): void {
    this.#store.put(state);
    this.#state = state;
  }
}
