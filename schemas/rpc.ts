import type { Chunk, JobEvent, ToldEvent } from "./event.ts";
import type { DeadlinePolicy, Eta, Job, JobEnd, JobStatus, LastFailure, RetryPolicy, Usage } from "./job.ts";
import type { Problem, Refused } from "./problem.ts";
import type { PoolTuned, QueueState } from "./queue.ts";
import type { PoolReading } from "./rate.ts";
import type { Table } from "./table.ts";
import type { Pass } from "./token.ts";
import type { TenantState, Tune } from "./tuning.ts";
import type { Delivery } from "./webhook.ts";
import type { Standing } from "./why.ts";

/** Names one mailbox: a channel of a tenant. */
export type MailboxAddress = { tenant: string; channel: string };

/** What the coordinator knows of a job; no prompt, no result. Times in ms since the epoch. */
export type Ticket = {
  job: string;
  pool: string;
  /** Seconds of head start. */
  priority: number;
  /** Tokens that admission reserves. */
  tokens: number;
  /** How many of these are the prompt's, by the estimate; missing where the pool has no governor that asks. */
  prompt?: number;
  acceptedAt: number;
  notBefore: number | null;
  deadline: number | null;
  /** `strict` on the first offer alone: a job that was accepted is not refused for its deadline, it expires. Missing means `best_effort`. */
  deadlinePolicy?: DeadlinePolicy;
  /** Somebody follows the job: its place is to be told as it changes. */
  watched?: true;
  /** The caller is to be told what is left of the budget. */
  call?: true;
  /** Missing of a request that bounds its answer. */
  open?: OpenOutput & { model: string };
  /** Its client was not answered yet: what drains may refuse it. */
  offered?: true;
  /** It is a job again whose last call had an unknown outcome: its first call may be paid for twice. */
  doubtful?: true;
};

/** Nothing bounds the answer: the reservation allows for `each` token of each of its choices, until more is known of what this model answers to this tenant. */
export type OpenOutput = { choices: number; each: number };

/** Of one limit of a minute: the limit, what may be spent of it at once, and ms until it is whole again. */
export type Allowance = { limit: number; remaining: number; resetMs: number };
/** What a tenant may spend of a pool: the pool's limits, or the tenant's own where those are less. Null is no limit. */
export type Share = { requests: Allowance | null; tokens: Allowance | null };

/** Where a job stands. `attempt`: of one in line, its last attempt's number, 0 before the first. `held`: of one that runs, or starts as it comes in, by whom and since when (ms). */
export type Place = {
  state: "scheduled" | "waiting" | "running";
  position: number | null;
  eta: Eta | null;
  attempt?: number;
  held?: { attempt: number; dispatcher: string; startedAt: number };
  share?: Share;
  /** Missing if no call of it came to nothing. */
  failure?: LastFailure;
};

/** The states of those that are few, and in no line. */
export type Unlined = Exclude<Place["state"], "waiting">;

/** A job that somebody watches, and the place that was told of it last. */
export type WatchWish = { job: string; told: number | null };

/** A watched job came forward while it waited after this attempt (0: before the first). */
export type Move = { job: string; attempt: number; position: number; eta: Eta };

/**
 * The right to make one upstream call. `attempt` fences: only the newest may open, append and commit. The lease of a ticket that just
 * came in may arrive before it is durable; the mailbox opens it only once the coordinator has confirmed it.
 */
export type Lease = {
  job: string;
  mailbox: MailboxAddress;
  attempt: number;
  /** Earlier attempts that only met a rate limit or never reached upstream. */
  waits: number;
  /** Earlier attempts of unknown outcome. */
  unknown: number;
  /** Its pool stands still, or was refused for the rate: that upstream takes the call is to be told as soon as it is known. */
  probe?: true;
  /** It may leave until then, ms; later it asks anew (`late`). Missing where it may whenever it can, and from an older program. */
  leaveBy?: number;
};

/** What is said of a lease that asks anew: to call upstream now; that its job waits in line again; or that it is no lease any more. */
export type Word = "go" | "wait" | "lost";

/** A running attempt, as a dispatcher reports it. */
export type Held = { job: string; attempt: number };

/** How an attempt ended, seen from the dispatcher. `committed` means that the mailbox has the result. */
export type Outcome =
  | { kind: "committed"; usage: Usage | null }
  /** The mailbox no longer wanted the call; upstream was not called. `failed`: the mailbox gave the job up instead. */
  | { kind: "void"; failed?: Problem }
  /** The coordinator's own, which no dispatcher says: it did not leave in time, and its job waits again. */
  | { kind: "late" }
  /** Broken off on the job's cancellation, after upstream was called. */
  | { kind: "aborted" }
  /** 429: a wait, not an attempt. `retryAfterMs` is a minimum. `problem`, here and of the next two: what upstream said; missing from an older program. */
  | { kind: "rate_limited"; retryAfterMs: number | null; problem?: Problem }
  /** Upstream has no room for this call just now: a wait for its job alone. */
  | { kind: "no_capacity"; retryAfterMs: number | null; problem?: Problem }
  /** Traffic grew too fast: a wait, and the whole pool is cut. */
  | { kind: "slow_down"; retryAfterMs: number | null; problem?: Problem }
  /** No call of the pool can succeed before somebody acts: a wait, and the pool is halted. */
  | { kind: "halted"; reason: "billing" | "credentials"; retryAfterMs: number | null; problem: Problem }
  /** Refused where the dispatcher stands: a wait, and another dispatcher makes the call. */
  | { kind: "region"; problem: Problem }
  /**
   * Worth another attempt; `unknown` when upstream may have done the work. `upstream`: it was upstream that failed, not one of us. `repeats`: so
   * often at the most, for it would come again. `unsent`, here and below: it is certain that upstream was not called;
   * with `upstream`, since it could not be reached.
   */
  | { kind: "retryable"; unknown: boolean; retryAfterMs: number | null; problem: Problem; upstream?: true; repeats?: number; unsent?: true }
  | { kind: "fatal"; problem: Problem; unsent?: true };

export type Settlement = {
  job: string;
  attempt: number;
  outcome: Outcome;
  /** Milliseconds from the start of the call to its response headers; null when none came. */
  headersMs: number | null;
  /** How long it waited in its dispatcher until it was sent, ms; missing if it was not, and from an older program. */
  waitedMs?: number;
};

/** `readings`: the newest of each pool since the last batch or heartbeat. */
export type SettleBatch = { dispatcher: string; boot: string; settlements: Settlement[]; readings?: PoolReading[] };

/** A job that failed. `failed_at` in ms; `attempts` without waits. */
export type DeadLetter = {
  id: number;
  job: string;
  tenant: string;
  pool: string;
  attempts: number;
  code: string | null;
  message: string;
  failed_at: number;
};

/** What an operator's lever moves: a pool, a tenant, or everything. */
export type Scope = { kind: "pool" | "tenant"; id: string } | { kind: "all" };
/**
 * `pause`: nothing of the scope starts any more; calls under way go on. `drain`: no new jobs of it are taken in. `resume` ends both; of a pool, and of everything,
 * halts and cuts too.
 */
export type Lever = "pause" | "drain" | "resume";

export type Enqueued = { ok: true; place: Place } | Refused;

export interface CoordinatorRpc {
  /** Takes tickets in; those already known are left as they are. Answers in order. */
  enqueue(mailbox: MailboxAddress, tickets: Ticket[]): Promise<Enqueued[]>;
  /** The same of many. */
  enqueueMany(mailbox: MailboxAddress, tickets: Table<Ticket>): Promise<Table<Enqueued>>;
  /** Drops tickets; running calls are aborted. */
  cancel(jobs: string[]): Promise<void>;
  /** Where jobs stand, in order. `state`: null is said of those in another, which is known sooner than where they stand. */
  locate(jobs: string[], state?: Unlined): Promise<(Place | null)[]>;
  /** Locates jobs, whose places are told to their mailbox from now on, as they change. Forgotten at a job's end, and with the object. */
  watch(wishes: WatchWish[]): Promise<(Place | null)[]>;
  /** Why a job waits, in numbers; null if there is no ticket of it. */
  explain(job: string): Promise<Standing | null>;
  settle(batch: SettleBatch): Promise<void>;
  /** Renews the leases of a dispatcher; answers with those that it must give up. `readings`: as in a batch, for a call may go on for long after its headers. */
  heartbeat(dispatcher: string, boot: string, held: Held[], readings?: PoolReading[]): Promise<{ stop: Held[] }>;
  /** Upstream has taken the call of a lease that is a probe: its answer has begun. What its headers tell, and others', is heard before all that waits for it goes. */
  proven(dispatcher: string, job: string, attempt: number, readings?: PoolReading[]): Promise<void>;
  /** Leases of a dispatcher that are ready to be sent, and too late for what they were let go with: whether they may be. Answers in order. */
  late(dispatcher: string, held: Held[]): Promise<Word[]>;
  inspect(): Promise<QueueState>;
  pull(lever: Lever, scope: Scope): Promise<QueueState | Refused>;
  /** Sets limits over what is configured. What changes anything ends the object, which begins again with it: asked again, it answers. */
  tune(wish: Tune): Promise<PoolTuned | TenantState | Refused>;
  /** What is left to a tenant of a pool's budget; null if there is no such pool. */
  share(tenant: string, pool: string): Promise<Share | null>;
  /** The channels in which a tenant ever queued a job, newest first. */
  channels(tenant: string, limit: number): Promise<string[]>;
  /** Newest first, those with a lower id than `before`. */
  deadLetters(before: number | null, limit: number): Promise<DeadLetter[]>;
  deadLetterOf(job: string): Promise<DeadLetter | null>;
  strikeDeadLetter(job: string): Promise<void>;
  /** Wakes the object and proves that its storage answers. */
  ping(): Promise<void>;
  /** Starts whatever may start, and sees to it that the object wakes for the rest. */
  look(): Promise<void>;
}

export interface DispatcherRpc {
  /**
   * Begins calls and returns at once. `boot` names this incarnation: a new one holds nothing of the old. The one method that is not safe to
   * repeat across incarnations: who lost the answer asks for a `report`.
   */
  start(leases: Lease[]): Promise<{ boot: string }>;
  abort(jobs: string[]): Promise<void>;
  report(): Promise<{ boot: string; held: Held[] }>;
  /** From now on the deltas of these attempts are wanted, from the first. */
  watch(held: Held[]): Promise<void>;
}

/** An Idempotency-Key and the fingerprint of the request that it stands for. */
export type Claim = { key: string; fingerprint: string };

/** A caller waits for the job as for a plain call to OpenAI. */
export type Call = {
  /** Hash of the caller's key and body: a retry brings the same. */
  body: string;
  /** It says that it was made before, and broke. */
  retried: boolean;
  /** The caller wants the chunks: they are kept from the first, whoever listens. */
  stream: boolean;
  /** What becomes of the job when the caller goes away and does not come back. */
  onDisconnect: "cancel" | "keep";
};

/** The line of a batch that a job is; lines are counted from 1, blank ones too. */
export type BatchPlace = { line: number; customId: string };

/** A job on its way into a mailbox, checked and priced by the ingress. */
export type Submission = {
  /** Part of the job's id. A submit that is repeated brings the same again, and so makes no second job. */
  nonce: string;
  /** The chat completion body as JSON text. */
  request: string;
  model: string;
  pool: string;
  tokens: number;
  /** As in the ticket. */
  prompt?: number;
  priority: number;
  /** ms */
  notBefore: number | null;
  /** ms */
  deadline: number | null;
  deadlinePolicy: DeadlinePolicy;
  metadata: Record<string, string> | null;
  retry: RetryPolicy;
  idempotency: Claim | null;
  call?: Call;
  batch?: BatchPlace;
  /** URL that the end is told to, if it is to be told. */
  webhook?: string;
  /** The token that it came with, if it came with one. */
  pass?: Pass;
  /** As in the ticket. */
  open?: OpenOutput;
  timeouts?: CallTimeouts;
  /** How long it may wait from when it could start, ms: a deadline, if there is no earlier one. */
  queueMs?: number;
  /** As in the ticket. */
  doubtful?: true;
  /** Why no new job may be made of it, its deadline having passed, say: it stands for one that is there already, or for none. */
  refusal?: Problem;
};

/** Seconds that a job allows each of its upstream calls, where they are not the deployment's. */
export type CallTimeouts = { first_byte?: number; idle?: number; total?: number };

export type Submitted = { ok: true; job: Job; replayed: boolean; share?: Share } | Refused;

/** `inPieces`: who asks takes a long body piece by piece; missing from an older program. */
export type OpenCall = { lease: Lease; dispatcher: string; inPieces?: true };
/** A body that is asked for piece by piece (`piece`), and about how many characters it has. */
export type InPieces = { pieces: number; characters: number };
export type Opened =
  /** Call upstream with this body; `watched`: send the deltas; `verbatim`: each chunk as upstream wrote it. */
  | { ok: true; request: string | InPieces; pool: string; watched: boolean; verbatim?: boolean; timeouts?: CallTimeouts }
  /** `unwanted`: the job has ended, or a newer attempt runs. `unleased`: the coordinator does not stand by this lease: forget it. */
  | { ok: false; reason: "unwanted" | "unleased" }
  /** There is no room for an answer; there may be later. */
  | { ok: false; reason: "full" }
  /** An earlier call's outcome is unknown and the job's policy allows no other: it has failed. */
  | { ok: false; reason: "given_up"; problem: Problem };

/** One delta event: chunks that arrived together. `index` counts the batches of an attempt from 0. */
export type AppendCall = Held & { index: number; chunks: Chunk[] };
export type Appended =
  /** `need`: the next index that the mailbox lacks. `gapMs`: chunks are to gather so long before the next batch is sent. */
  | { ok: true; need: number; gapMs: number }
  /** Refused: the job has ended or a newer attempt runs. */
  | { ok: false };

/** `startedAt`: when the attempt began, ms. `response`: the plain completion as JSON text. `lacking`: some of its deltas never came. */
export type CommitCall = Held & { startedAt: number; response: string; usage: Usage | null; lacking?: true };
export type Committed = { ok: true } | { ok: false; reason: "ended" | "fenced" | "unknown_job" };

/** The coordinator tells a mailbox how attempts went that ended without a result. Times in ms; `failedAt` and `startedAt` are missing from an older program. `startedAt`: when the attempt began, null if none did that counts, or the mailbox was told so by its dispatcher. */
export type Verdict =
  | {
      job: string;
      attempt: number;
      kind: "retrying";
      attempts: number;
      unknown: number;
      retryAt: number;
      failedAt?: number;
      startedAt?: number | null;
      problem: Problem | null;
    }
  | { job: string; attempt: number; kind: JobEnd; attempts: number; unknown: number; startedAt?: number | null; problem: Problem };

/**
 * A page, newest first. `before` bounds it: jobs accepted before `at` (ms), and of those accepted at that very ms the ones with
 * a number below `number`.
 */
/** `room`: characters of answers in what is listed, and one job beyond. */
export type ListQuery = { status: JobStatus | null; before: { at: number; number: number } | null; limit: number; room: number };
/** `cut`: there are more that were asked for, and there was no room. */
export type Listed = { jobs: Job[]; cut: boolean };

/** A lobby (the mailbox that holds a client's socket) follows another mailbox. */
export type FollowCall = {
  lobby: MailboxAddress;
  /** Follow every job of the mailbox. */
  channel: boolean;
  jobs: { id: string; after: number | null }[];
  /** Resume points for jobs followed through the channel. */
  after: Record<string, number>;
  deltas: boolean;
  /** Number of the lobby's last `unfollow` before: one that comes later, but is not of a greater number, is void. */
  leaves?: number;
  /** Characters of events that the answer may have, and one event beyond. None has room for none. */
  room?: number;
};
/** A lobby follows a mailbox, or these jobs of it, no more. `leave`: its number among all that this lobby ever left; they grow. */
export type UnfollowCall = { lobby: MailboxAddress; channel: boolean; jobs: string[]; leave?: number };
/** A job of which a reader has the events up to `after`. `verbatim`: it wants each chunk as it came. `room`: characters that the answer may have, and one event beyond. */
export type Missing = { id: string; after: number; deltas: boolean; verbatim?: boolean; room?: number };
/**
 * `missing`: of the jobs that were named, those that there are not; `unknown`: of the resume points, those of no job. `behind`: jobs of which the answer has
 * no room for everything: what comes after a seq, up to another, is to be had by `missed`. `over`: jobs that have ended, and whose end was known; `from`: after
 * which seq it begins of jobs of which more was claimed to be known than there is.
 */
export type Followed = {
  events: JobEvent[];
  missing: string[];
  unknown?: string[];
  behind?: { id: string; after: number; newest: number }[];
  over?: string[];
  from?: Record<string, number>;
};

/** Events of a job as far as one answer has room. `more`: there are others after them. `from`: the seq that they come after, where more was claimed to be known than there is. */
export type Logged = { events: JobEvent[]; more: boolean; from: number };

/** What a reader lacks of a job, as far as one answer has room. `more`: there is more after it. */
export type Missed = { events: ToldEvent[]; more: boolean };

/** A mailbox is named `tenant/channel`; it knows its own name. */
export interface MailboxRpc {
  /** `repeated`: an earlier try may have come through; jobs with a known nonce are answered, not made. */
  submit(submissions: Submission[], repeated: boolean): Promise<Submitted[]>;
  /** The same of many. */
  submitMany(submissions: Table<Submission>, repeated: boolean): Promise<Table<Submitted>>;
  /** Claims Idempotency-Keys for a tenant; false where the key stands for another request. */
  claim(claims: Claim[]): Promise<boolean[]>;
  /** The caller of a job was told to come back: it lives on for a day, whoever follows it. */
  dismiss(id: string): Promise<void>;
  /** The caller of a job was sent the whole answer: only a retry within moments is given it, or one in `givesUpMs`, when the caller would give up waiting had nothing arrived. */
  collect(id: string, givesUpMs: number | null): Promise<void>;
  /** The caller of a job has gone before it was sent the whole answer. */
  abandon(id: string): Promise<void>;
  /** Null when there is no such job. */
  get(id: string): Promise<Job | null>;
  list(query: ListQuery): Promise<Listed>;
  /** What is written of a job's events after a seq, in order, `limit` of them at most, none if it is 0; null when there is no such job. */
  events(id: string, after: number, deltas: boolean, limit?: number): Promise<Logged | null>;
  cancel(id: string): Promise<Job | null>;
  /** What became of the events of a job on their way to its webhook; null when there is no such job. */
  deliveries(id: string): Promise<Delivery[] | null>;
  /** Sends an event again, at once; null when there is no such delivery. */
  redeliver(id: string, delivery: string): Promise<Delivery | null>;
  /** The request of a failed job again, as a new job; null if there is none that failed. */
  redrive(id: string, nonce: string, repeated: boolean): Promise<Submitted | null>;
  open(calls: OpenCall[]): Promise<Opened[]>;
  /** A piece of a long body, the first is 0; null if the job is gone. */
  piece(job: string, index: number): Promise<string | null>;
  append(calls: AppendCall[]): Promise<Appended[]>;
  commit(calls: CommitCall[]): Promise<Committed[]>;
  /** Answers in order: why a job that is to be tried again was given up instead, null if it was not. */
  judge(verdicts: Verdict[]): Promise<(Problem | null)[]>;
  /** Watched jobs came forward; answers with those that nobody watches any more. */
  moved(moves: Move[]): Promise<string[]>;
  follow(call: FollowCall): Promise<Followed>;
  /** Takes a token back: from now on it is refused here, and its sockets are closed. */
  revoke(pass: Pass): Promise<void>;
  /** Whether a token was taken back. */
  isRevoked(pass: Pass): Promise<boolean>;
  unfollow(call: UnfollowCall): Promise<void>;
  /** Events for the sockets of this lobby; answers to how many they went at most, less than 0 if nobody there follows any of their jobs. */
  relay(from: MailboxAddress, events: JobEvent[]): Promise<number>;
  /** What a reader lacks of a job, in order, deltas that follow each other as one; nothing of a job that is not there. */
  missed(job: Missing): Promise<Missed>;
}
