/** All SQL of a mailbox. */
import { migrate } from "../../../platform/migrate.ts";
import type { Sql } from "../../../platform/sql.ts";
import type { JobEnd, RetryPolicy } from "../../../schemas/job.ts";
import type { BatchPlace, Call, CallTimeouts, InPieces, OpenOutput } from "../../../schemas/rpc.ts";
import { CallStore } from "./calls.ts";
import { ConsumerStore } from "./consumers.ts";
import { DeliveryStore } from "./deliveries.ts";
import { DeltaStore } from "./deltas.ts";
import { MIGRATIONS } from "./migrations.ts";
import { OutageStore } from "./outages.ts";
import { type Kind, PartStore } from "./parts.ts";
import { PassStore } from "./passes.ts";
import { Recent } from "./recent.ts";

/** What was submitted and never changes. */
export type JobDetails = {
  model: string;
  pool: string;
  priority: number;
  tokens: number;
  /** How many of these are the prompt's; missing if the pool has no governor that asks. */
  prompt?: number;
  not_before: number | null;
  deadline: number | null;
  retry: RetryPolicy;
  metadata: Record<string, string> | null;
  idempotency_key: string | null;
  /** Missing if nobody waits for the job as for a plain call. */
  call?: Call;
  /** Missing if the job is not a line of a batch. */
  batch?: BatchPlace;
  /** Missing if the job has none, so that it costs nothing then. */
  webhook?: string;
  /** Missing if the request bounds its answer. */
  open?: OpenOutput;
  /** Missing if the job names none. */
  timeouts?: CallTimeouts;
  /** The job repeats one whose last call had an unknown outcome; missing otherwise. */
  doubtful?: true;
  /** Of its first event, in the channel's order; missing if nobody needed one. */
  place?: number;
};

type JobState = {
  n: number;
  nonce: string;
  status: "queued" | JobEnd;
  accepted_at: number;
  attempt: number;
  attempts: number;
  unknown: number;
  started_at: number | null;
  ended_at: number | null;
  usage: string | null;
  error: string | null;
  log: string | null;
};

export type JobRow = JobState & JobDetails;
type Stored = JobState & { details: string };
export type FollowerRow = { target: number; lobby: string; deltas: number; leaves: number };
export type SubscriptionRow = { socket: string; target: string; deltas: number; consumer: string | null; place: number | null };
export type LagRow = { socket: string; job: string; last: number; had: number };
/**
 * `cursor`: the coordinator has confirmed all jobs up to this number; `order`: places in the channel's order may be taken up to here; `leaves`: numbers of
 * this lobby's `unfollow` calls may be taken up to here; `untold`: since when (ms) something may be on its way to other lobbies, 0 if all has arrived.
 */
type Mark = "cursor" | "order" | "leaves" | "untold";

/** Characters. A text up to this long stays in its row. */
const INLINE_CHARACTERS = 100_000;

/** Jobs in one statement, a power of two. A statement binds at most 100 values: two for all jobs, and three for each. */
const TOGETHER = 32;

const COLUMNS = "n, nonce, status, accepted_at, details, attempt, attempts, unknown, started_at, ended_at, usage, error, log";

export class MailboxStore {
  readonly sql: Sql;
  readonly deliveries: DeliveryStore;
  readonly calls: CallStore;
  readonly passes: PassStore;
  readonly deltas: DeltaStore;
  readonly consumers: ConsumerStore;
  readonly outages: OutageStore;
  readonly parts: PartStore;
  readonly #recent = new Recent();

  constructor(sql: Sql) {
    this.sql = sql;
    migrate(sql, MIGRATIONS);
    this.deliveries = new DeliveryStore(sql);
    this.calls = new CallStore(sql);
    this.passes = new PassStore(sql);
    this.deltas = new DeltaStore(sql);
    this.consumers = new ConsumerStore(sql);
    this.outages = new OutageStore(sql);
    this.parts = new PartStore(sql);
  }

  newest(): { n: number; accepted_at: number } | null {
    return this.sql.first("SELECT n, accepted_at FROM jobs ORDER BY n DESC LIMIT 1");
  }

  /** Inserts new jobs to which nothing has happened, all accepted at the same instant and numbered without a gap. */
  insert(jobs: readonly { row: JobRow; request: string }[]): void {
    for (let from = 0, left = jobs.length; left > 0; left = jobs.length - from) {
      const count = Math.min(TOGETHER, 2 ** Math.floor(Math.log2(left)));
      this.#insert(jobs.slice(from, from + count));
      from += count;
    }
    for (const { row, request } of jobs) if (!isInline(request)) this.parts.put(row.n, "request", request);
  }

  /** What `insert` wrote is committed: from now on it is known without a query. */
  inserted(jobs: readonly { row: JobRow; request: string }[]): void {
    this.#recent.add(jobs);
  }

  job(n: number): JobRow | null {
    const recent = this.#recent.row(n);
    if (recent) return recent;
    const stored = this.sql.first<Stored>(`SELECT ${COLUMNS} FROM jobs WHERE n = ?`, n);
    return stored && unpack(stored);
  }

  /** Newest first. `status` null means any; `before` null begins at the newest. */
  jobs(status: JobRow["status"] | null, before: { at: number; number: number } | null, limit: number): JobRow[] {
    const { at, number } = before ?? { at: Number.MAX_SAFE_INTEGER, number: 0 };
    const stored = this.sql.all<Stored>(
      `SELECT ${COLUMNS} FROM jobs WHERE (accepted_at < ?1 OR (accepted_at = ?1 AND n < ?2)) AND (?3 IS NULL OR status = ?3)
       ORDER BY n DESC LIMIT ?4`,
      at,
      number,
      status,
      limit,
    );
    return stored.map(unpack);
  }

  /** Jobs after a number that wait or run, oldest first. */
  openAfter(n: number, limit = -1): JobRow[] {
    return this.sql.all<Stored>(`SELECT ${COLUMNS} FROM jobs WHERE n > ? AND status = 'queued' ORDER BY n LIMIT ?`, n, limit).map(unpack);
  }

  /**
   * The jobs after a number that wait or run: their numbers, the place of their first event, and whether nothing else has happened to them. No more than that,
   * because they may be as many as ever came.
   */
  outlines(n: number): Iterable<{ n: number; place: number | null; fresh: number }> {
    return this.sql.each(
      "SELECT n, details ->> 'place' AS place, log IS NULL AS fresh FROM jobs WHERE n > ? AND status = 'queued' ORDER BY n",
      n,
    );
  }

  /** Characters of a text, without reading it; 0 if there is none. */
  length(n: number, kind: Kind): number {
    const inline = this.sql.first<{ length: number | null }>(`SELECT length(${kind}) AS length FROM jobs WHERE n = ?`, n)?.length ?? null;
    if (inline !== null) return inline;
    return this.parts.length(n, kind);
  }

  text(n: number, kind: Kind): string | null {
    return this.#inline(n, kind) ?? this.parts.text(n, kind);
  }

  /** A job's body: as text, or how to read it in pieces if it is long. */
  request(n: number): string | InPieces | null {
    return this.#inline(n, "request") ?? this.parts.pieces(n) ?? this.parts.text(n, "request");
  }

  #inline(n: number, kind: Kind): string | null {
    const recent = kind === "request" ? this.#recent.request(n) : null;
    return recent ?? this.sql.first<{ text: string | null }>(`SELECT ${kind} AS text FROM jobs WHERE n = ?`, n)?.text ?? null;
  }

  /** Writes what changes before a job's end: fence, counts, log. */
  update(row: JobRow): void {
    this.#recent.forget(row.n);
    this.sql.run(
      "UPDATE jobs SET attempt = ?, attempts = ?, unknown = ?, started_at = ?, log = ? WHERE n = ?",
      row.attempt,
      row.attempts,
      row.unknown,
      row.started_at,
      row.log,
      row.n,
    );
  }

  end(row: JobRow, response: string | null): void {
    this.#recent.forget(row.n);
    const inline = response === null || isInline(response);
    this.sql.run(
      `UPDATE jobs SET status = ?, attempt = ?, attempts = ?, unknown = ?, started_at = ?, ended_at = ?, response = ?, usage = ?, error = ?, log = ?
       WHERE n = ?`,
      row.status,
      row.attempt,
      row.attempts,
      row.unknown,
      row.started_at,
      row.ended_at,
      inline ? response : null,
      row.usage,
      row.error,
      row.log,
      row.n,
    );
    if (!inline) this.parts.put(row.n, "response", response);
  }

  remove(n: number): void {
    this.#recent.forget(n);
    this.sql.run("DELETE FROM idempotency WHERE key = (SELECT details ->> 'idempotency_key' FROM jobs WHERE n = ?)", n);
    this.sql.run("DELETE FROM calls WHERE body = (SELECT details ->> '$.call.body' FROM jobs WHERE n = ?1) AND n = ?1", n);
    for (const table of ["jobs", "parts", "delta_rows", "deliveries"]) this.sql.run(`DELETE FROM ${table} WHERE n = ?`, n);
    this.sql.run("DELETE FROM followers WHERE target = ?", n);
  }

  /** Jobs from a number on that wait or run, or whose end has a place beyond the given one. */
  *unsettled(place: number, from: number): Generator<JobRow> {
    const beyond = "n >= ? AND (ended_at IS NULL OR log ->> '$[#-1][4]' > ?)";
    for (const stored of this.sql.each<Stored>(`SELECT ${COLUMNS} FROM jobs WHERE ${beyond} ORDER BY n`, from, place)) yield unpack(stored);
  }

  /** When jobs were accepted and ended, in the order in which they came. */
  ages(): Iterable<Pick<JobRow, "n" | "accepted_at" | "ended_at">> {
    return this.sql.each("SELECT n, accepted_at, ended_at FROM jobs ORDER BY n");
  }

  idempotent(key: string): { fingerprint: string; n: number } | null {
    return this.sql.first("SELECT fingerprint, n FROM idempotency WHERE key = ?", key);
  }

  addIdempotent(key: string, fingerprint: string, n: number): void {
    this.sql.run("INSERT INTO idempotency (key, fingerprint, n) VALUES (?, ?, ?)", key, fingerprint, n);
  }

  claim(key: string): string | null {
    return this.sql.first<{ fingerprint: string }>("SELECT fingerprint FROM claims WHERE key = ?", key)?.fingerprint ?? null;
  }

  addClaim(key: string, fingerprint: string, at: number): void {
    this.sql.run("INSERT INTO claims (key, fingerprint, claimed_at) VALUES (?, ?, ?)", key, fingerprint, at);
  }

  /** Drops claims made by `instant` (ms); returns the time of the oldest one left, null if there is none. */
  dropClaims(instant: number): number | null {
    this.sql.run("DELETE FROM claims WHERE claimed_at <= ?", instant);
    return this.sql.first<{ at: number | null }>("SELECT min(claimed_at) AS at FROM claims")?.at ?? null;
  }

  /** Numbers of the jobs with these nonces, by nonce, among the `newest` newest jobs; older ones cannot be one that is being submitted now. */
  byNonces(nonces: readonly string[], newest: number): Map<string, number> {
    if (nonces.length === 0) return new Map();
    // Counted in rows, not by number: the numbers of refused jobs are not used again.
    const known = `SELECT n, nonce FROM (SELECT n, nonce FROM jobs ORDER BY n DESC LIMIT ?1)
      WHERE nonce IN (SELECT value FROM json_each(?2)) ORDER BY n`;
    return new Map(this.sql.all<{ n: number; nonce: string }>(known, newest, JSON.stringify(nonces)).map(({ n, nonce }) => [nonce, n]));
  }

  followers(): FollowerRow[] {
    return this.sql.all("SELECT target, lobby, deltas, leaves FROM followers");
  }

  /** Followers of jobs that have ended, or are deleted. */
  owed(): Pick<FollowerRow, "target" | "lobby">[] {
    return this.sql.all(
      `SELECT target, lobby FROM followers LEFT JOIN jobs ON jobs.n = target
       WHERE target > 0 AND (jobs.n IS NULL OR ended_at IS NOT NULL) ORDER BY target`,
    );
  }

  putFollower(row: FollowerRow): void {
    const values = [row.target, row.lobby, row.deltas, row.leaves];
    this.sql.run("INSERT OR REPLACE INTO followers (target, lobby, deltas, leaves) VALUES (?, ?, ?, ?)", ...values);
  }

  dropFollower(target: number, lobby: string): void {
    this.sql.run("DELETE FROM followers WHERE target = ? AND lobby = ?", target, lobby);
  }

  subscriptions(): SubscriptionRow[] {
    return this.sql.all("SELECT socket, target, deltas, consumer, place FROM subscriptions");
  }

  putSubscription(row: SubscriptionRow): void {
    this.sql.run(
      "INSERT OR REPLACE INTO subscriptions (socket, target, deltas, consumer, place) VALUES (?, ?, ?, ?, ?)",
      row.socket,
      row.target,
      row.deltas,
      row.consumer,
      row.place,
    );
  }

  dropSubscription(socket: string, target: string): void {
    this.sql.run("DELETE FROM subscriptions WHERE socket = ? AND target = ?", socket, target);
  }

  lags(): LagRow[] {
    return this.sql.all("SELECT socket, job, last, had FROM lags");
  }

  putLag({ had, job, last, socket }: LagRow): void {
    this.sql.run("INSERT OR REPLACE INTO lags (socket, job, last, had) VALUES (?, ?, ?, ?)", socket, job, last, had);
  }

  dropLag(socket: string, job: string): void {
    this.sql.run("DELETE FROM lags WHERE socket = ? AND job = ?", socket, job);
  }

  dropLags(socket: string): void {
    this.sql.run("DELETE FROM lags WHERE socket = ?", socket);
  }

  /** 0 if it was never set. */
  mark(name: Mark): number {
    return this.sql.first<{ value: number }>("SELECT value FROM marks WHERE name = ?", name)?.value ?? 0;
  }

  putMark(name: Mark, value: number): void {
    this.sql.run("INSERT OR REPLACE INTO marks (name, value) VALUES (?, ?)", name, value);
  }

  /** At most TOGETHER jobs. */
  #insert(jobs: readonly { row: JobRow; request: string }[]): void {
    const { accepted_at, n } = jobs[0]!.row;
    const details = detailsTexts(jobs.map(({ row }) => row));
    const isShared = details.every((each) => each === details[0]);
    const each = jobs.flatMap(({ row, request }, index) => {
      const inline = isInline(request) ? request : null;
      return isShared ? [row.nonce, inline] : [row.nonce, inline, details[index]!];
    });
    if (isShared) this.sql.run(insertion(jobs.length, true), n, accepted_at, details[0]!, ...each);
    else this.sql.run(insertion(jobs.length, false), n, accepted_at, ...each);
  }
}

const insertions = new Map<string, string>();

/** One statement for all rows: one per job, with every value bound, would cost twice as much. `isShared`: all have the same details, bound once. */
function insertion(count: number, isShared: boolean): string {
  const name = `${count} ${isShared}`;
  const known = insertions.get(name);
  if (known) return known;
  const row = (index: number) =>
    isShared
      ? `(?1 + ${index}, ?2, ?${2 * index + 4}, ?3, ?${2 * index + 5})`
      : `(?1 + ${index}, ?2, ?${3 * index + 3}, ?${3 * index + 5}, ?${3 * index + 4})`;
  const rows = Array.from({ length: count }, (_, index) => row(index));
  const text = `INSERT INTO jobs (n, accepted_at, nonce, details, request) VALUES ${rows.join(", ")}`;
  insertions.set(name, text);
  return text;
}

function isInline(text: string): boolean {
  return text.length <= INLINE_CHARACTERS;
}

/** Details that every job has, and those that most jobs lack. */
const DETAILS = ["model", "pool", "priority", "tokens", "not_before", "deadline", "retry", "metadata", "idempotency_key"] as const;
const EXTRAS = ["call", "batch", "webhook", "prompt", "open", "timeouts", "doubtful", "place"] as const;
/** A detail that is in neither list would be lost: `_all` then does not compile. */
type Listed = (typeof DETAILS)[number] | (typeof EXTRAS)[number];
const _all: Exclude<keyof JobDetails, Listed> extends never ? true : never = true;

/** Jobs that come together are mostly alike: consecutive jobs with the same details share one text. */
function detailsTexts(rows: readonly JobRow[]): string[] {
  let like: JobRow | null = null;
  let text = "";
  return rows.map((row) => {
    if (!like || !isAlike(row, like)) text = detailsText(row);
    like = row;
    return text;
  });
}

function isAlike(a: JobRow, b: JobRow): boolean {
  for (const name of DETAILS) if (a[name] !== b[name]) return false;
  for (const name of EXTRAS) if (a[name] !== b[name]) return false;
  return true;
}

function detailsText(row: JobRow): string {
  const details: Record<string, unknown> = {};
  for (const name of DETAILS) details[name] = row[name];
  for (const name of EXTRAS) if (row[name] !== undefined) details[name] = row[name];
  return JSON.stringify(details);
}

function unpack({ details, ...state }: Stored): JobRow {
  return { ...state, ...(JSON.parse(details) as JobDetails) };
}
