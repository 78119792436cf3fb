import type { Chunk, JobEvent, ToldEvent } from "./event.ts";
import type { DeadlinePolicy, Eta, Job, JobEnd, JobStatus, LastFailure, RetryPolicy, Usage } from "./job.ts";
import type { Problem, Refused } from "./problem.ts";
import type { DeadLetter, Inspected, Lever, PoolTuned, QueueState, Scope } from "./queue.ts";
import type { PoolReading } from "./rate.ts";
import type { Table } from "./table.ts";
import type { Pass } from "./token.ts";
import type { Overrides, TenantState, Tune } from "./tuning.ts";
import type { Delivery } from "./webhook.ts";
import type { Standing } from "./why.ts";

/** Names a mailbox: one channel of one tenant. */
export type MailboxAddress = { tenant: string; channel: string };

/** What the coordinator knows of a job: no prompt, no result. Times in ms since the epoch. */
export type Ticket = {
  job: string;
  pool: string;
  /** Seconds of head start. */
  priority: number;
  /** Tokens to reserve at admission. */
  tokens: number;
  /** How many of these are the prompt's, by estimate; missing if the pool has no growth limit that needs it. */
  prompt?: number;
  acceptedAt: number;
  notBefore: number | null;
  deadline: number | null;
  /** `strict` only on the first offer: once accepted, a job is not refused for its deadline but expires. Missing means `best_effort`. */
  deadlinePolicy?: DeadlinePolicy;
  /** Somebody follows the job: report its place as it changes. */
  watched?: true;
  /** Tell the caller what is left of the budget. */
  call?: true;
  /** Missing if the request bounds its answer. */
  open?: OpenOutput & { model: string };
  /** Its client has not been answered yet, so a drain may refuse it. */
  offered?: true;
  /** A repeat of a job whose last call had an unknown outcome: its first call may be paid for twice. */
  doubtful?: true;
};

/** Nothing bounds the answer: reserve `each` tokens per choice until more is known of this model's answers to this tenant. */
export type OpenOutput = { choices: number; each: number };

/** One per-minute limit, what may be spent of it at once, and ms until it is whole again. */
export type Allowance = { limit: number; remaining: number; resetMs: number };
/** What a tenant may spend of a pool: the pool's limits, or the tenant's own where those are lower. Null is no limit. */
export type Share = { requests: Allowance | null; tokens: Allowance | null };

/** Where a job stands. `attempt`: in line, its last attempt, 0 before the first. `held`: running or starting on arrival, by whom and since when (ms). */
export type Place = {
  state: "scheduled" | "waiting" | "running";
  position: number | null;
  eta: Eta | null;
  attempt?: number;
  held?: { attempt: number; dispatcher: string; startedAt: number };
  share?: Share;
  /** Missing if none of its calls came to nothing. */
  failure?: LastFailure;
};

/** The states of the few jobs that are in no line. */
export type Unlined = Exclude<Place["state"], "waiting">;

/** A job that somebody watches, and the place last reported for it. */
export type WatchWish = { job: string; told: number | null };

/** A watched job moved up in line while waiting after this attempt (0: before the first). */
export type Move = { job: string; attempt: number; position: number; eta: Eta };

/**
 * The right to make one upstream call. `attempt` fences: only the newest may open, append and commit. The lease of a ticket that has just
 * arrived may come before the ticket is durable; the mailbox opens it only once the coordinator has confirmed the ticket.
 */
export type Lease = {
  job: string;
  mailbox: MailboxAddress;
  attempt: number;
  /** Earlier attempts that only met a rate limit or never reached upstream. */
  waits: number;
  /** Earlier attempts of unknown outcome. */
  unknown: number;
  /** Its pool stands still, or was refused for the rate: report as soon as upstream is known to have taken the call. */
  probe?: true;
  /** The call must leave by then (ms), or ask again with `late`. Missing if it may leave at any time, and from an older version. */
  leaveBy?: number;
};

/** Answer to a lease that asks again: call upstream now; its job is back in line; or the lease is no longer valid. */
export type Word = "go" | "wait" | "lost";

/** A running attempt, as a dispatcher reports it. */
export type Held = { job: string; attempt: number };

/** How an attempt ended, as the dispatcher saw it. `committed`: the mailbox has the result. */
export type Outcome =
  | { kind: "committed"; usage: Usage | null }
  /** The mailbox no longer wanted the call, so upstream was not called. `failed`: the mailbox gave the job up instead. */
  | { kind: "void"; failed?: Problem }
  /** Set only by the coordinator, never by a dispatcher: the call did not leave in time, and its job waits again. */
  | { kind: "late" }
  /** Broken off because the job was cancelled, after upstream was called. */
  | { kind: "aborted" }
  /** 429: a wait, not an attempt. `retryAfterMs` is a minimum. `problem`, here and in the next two: what upstream said; missing from an older version. */
  | { kind: "rate_limited"; retryAfterMs: number | null; problem?: Problem }
  /** Upstream has no room for this call at the moment: a wait for this job alone. */
  | { kind: "no_capacity"; retryAfterMs: number | null; problem?: Problem }
  /** Traffic grew too fast: a wait, and the whole pool is cut. */
  | { kind: "slow_down"; retryAfterMs: number | null; problem?: Problem }
  /** No call of the pool can succeed until somebody acts: a wait, and the pool is halted. */
  | { kind: "halted"; reason: "billing" | "credentials"; retryAfterMs: number | null; problem: Problem }
  /** Refused for the dispatcher's region: a wait, and another dispatcher makes the call. */
  | { kind: "region"; problem: Problem }
  /**
   * Worth another attempt; `unknown` if upstream may have done the work. `upstream`: upstream itself failed, not one of us. `repeats`: most
   * attempts that may end this way, since the next would too. `unsent`, here and below: upstream was certainly not called; together with
   * `upstream`, because it could not be reached.
   */
  | { kind: "retryable"; unknown: boolean; retryAfterMs: number | null; problem: Problem; upstream?: true; repeats?: number; unsent?: true }
  | { kind: "fatal"; problem: Problem; unsent?: true };

export type Settlement = {
  job: string;
  attempt: number;
  outcome: Outcome;
  /** Milliseconds from the start of the call to its response headers; null when none came. */
  headersMs: number | null;
  /** How long it waited in its dispatcher before it was sent, ms. Missing if it was not sent, and from an older version. */
  waitedMs?: number;
};

/** `readings`: the newest per pool since the last batch or heartbeat. */
export type SettleBatch = { dispatcher: string; boot: string; settlements: Settlement[]; readings?: PoolReading[] };

export type Enqueued = { ok: true; place: Place } | Refused;

export interface CoordinatorRpc {
  /** Takes tickets in; known ones stay as they are. Answers in order. */
  enqueue(mailbox: MailboxAddress, tickets: Ticket[]): Promise<Enqueued[]>;
  /** The same for many at once. */
  enqueueMany(mailbox: MailboxAddress, tickets: Table<Ticket>): Promise<Table<Enqueued>>;
  /** Drops tickets; running calls are aborted. */
  cancel(jobs: string[]): Promise<void>;
  /** Where jobs stand, in order. With `state`, jobs in another state get null: that is known faster than where they stand. */
  locate(jobs: string[], state?: Unlined): Promise<(Place | null)[]>;
  /** Like `locate`; from now on their mailbox is told as their places change, until the job ends or the object restarts. */
  watch(wishes: WatchWish[]): Promise<(Place | null)[]>;
  /** Why a job waits, in numbers; null if there is no ticket for it. */
  explain(job: string): Promise<Standing | null>;
  settle(batch: SettleBatch): Promise<void>;
  /** Renews a dispatcher's leases; returns those it must give up. `readings`: as in a batch, since a call may go on long after its headers. */
  heartbeat(dispatcher: string, boot: string, held: Held[], readings?: PoolReading[]): Promise<{ stop: Held[] }>;
  /** A probe's answer has begun: upstream took its call. All readings sent along are taken in before anything that waits for it starts. */
  proven(dispatcher: string, job: string, attempt: number, readings?: PoolReading[]): Promise<void>;
  /** Leases of a dispatcher that are ready to be sent, but later than their `leaveBy`: may they still go? Answers in order. */
  late(dispatcher: string, held: Held[]): Promise<Word[]>;
  inspect(wished?: Overrides["pools"]): Promise<Inspected>;
  /** The most tokens that a request to a pool may reserve, as configured or as an operator has raised it since; Infinity if they have no limit, 0 if there is no such pool. */
  mostTokens(pool: string): Promise<number>;
  pull(lever: Lever, scope: Scope): Promise<QueueState | Refused>;
  /** Sets limits on top of the configuration. If anything changes, the object restarts with it; asking again then gives the answer. */
  tune(wish: Tune): Promise<PoolTuned | TenantState | Refused>;
  /** What a tenant may still spend of a pool's budget; null if there is no such pool. */
  share(tenant: string, pool: string): Promise<Share | null>;
  /** Channels in which the tenant has ever queued a job, newest first. */
  channels(tenant: string, limit: number): Promise<string[]>;
  /** Newest first; only ids below `before`. */
  deadLetters(before: number | null, limit: number): Promise<DeadLetter[]>;
  deadLetterOf(job: string): Promise<DeadLetter | null>;
  strikeDeadLetter(job: string): Promise<void>;
  /** Wakes the object and proves that its storage answers. */
  ping(): Promise<void>;
  /** Starts whatever may start, and makes sure that the object wakes for the rest. */
  look(): Promise<void>;
}

export interface DispatcherRpc {
  /**
   * Begins calls and returns at once. `boot` names this incarnation: a new one holds nothing of the old one's. The only method that is not
   * safe to repeat across incarnations: a caller that lost the answer asks for a `report`.
   */
  start(leases: Lease[]): Promise<{ boot: string }>;
  abort(jobs: string[]): Promise<void>;
  report(): Promise<{ boot: string; held: Held[] }>;
  /** From now on the deltas of these attempts are wanted, from the first one. */
  watch(held: Held[]): Promise<void>;
}

/** An Idempotency-Key, and the fingerprint of the request it stands for. */
export type Claim = { key: string; fingerprint: string };

/** A caller waits for the job, as for a plain call to OpenAI. */
export type Call = {
  /** Hash of the caller's key and body: the same on a retry. */
  body: string;
  /** The caller says that this is a retry after a failure. */
  retried: boolean;
  /** The caller wants the chunks: they are kept from the first one, whoever listens. */
  stream: boolean;
  /** What to do with the job if the caller goes away and does not come back. */
  onDisconnect: "cancel" | "keep";
};

/** The batch line that a job is. Lines are counted from 1, blank ones included. */
export type BatchPlace = { line: number; customId: string };

/** A job on its way into a mailbox, validated and priced by the ingress. */
export type Submission = {
  /** Part of the job's id. A repeated submit brings the same one, and so makes no second job. */
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
  /** URL that is told of the job's end, if any. */
  webhook?: string;
  /** The token that submitted it, if any. */
  pass?: Pass;
  /** As in the ticket. */
  open?: OpenOutput;
  timeouts?: CallTimeouts;
  /** How long it may wait once it could start, ms: a deadline, unless there is an earlier one. */
  queueMs?: number;
  /** As in the ticket. */
  doubtful?: true;
  /** Why it must not become a new job, e.g. its deadline has passed: it can only stand for a job that already exists. */
  refusal?: Problem;
};

/** Seconds that a job allows for each of its upstream calls, where they differ from the deployment's. */
export type CallTimeouts = { first_byte?: number; idle?: number; total?: number };

export type Submitted = { ok: true; job: Job; replayed: boolean; share?: Share } | Refused;

/** `inPieces`: the caller takes a long body in pieces; missing from an older version. */
export type OpenCall = { lease: Lease; dispatcher: string; inPieces?: true };
/** A body to fetch in this many pieces, and about how many characters it has. */
export type InPieces = { pieces: number; characters: number };
export type Opened =
  /** Call upstream with this body. `watched`: send the deltas. `verbatim`: each chunk as upstream wrote it. */
  | { ok: true; request: string | InPieces; pool: string; watched: boolean; verbatim?: boolean; timeouts?: CallTimeouts }
  /** `unwanted`: the job has ended, or a newer attempt runs. `unleased`: the coordinator does not confirm this lease, so forget it. */
  | { ok: false; reason: "unwanted" | "unleased" }
  /** There is no room for an answer now; there may be later. */
  | { ok: false; reason: "full" }
  /** An earlier call's outcome is unknown and the job's policy allows no repeat: the job has failed. */
  | { ok: false; reason: "given_up"; problem: Problem };

/** One delta event: chunks that arrived together. `index` counts the batches of an attempt from 0. */
export type AppendCall = Held & { index: number; chunks: Chunk[] };
export type Appended =
  /** `need`: the next index that the mailbox lacks. `gapMs`: how long to gather chunks before sending the next batch. */
  | { ok: true; need: number; gapMs: number }
  /** Refused: the job has ended or a newer attempt runs. */
  | { ok: false };

/** `startedAt`: when the attempt began, ms. `response`: the plain completion as JSON text. `lacking`: some of its deltas never arrived. */
export type CommitCall = Held & { startedAt: number; response: string; usage: Usage | null; lacking?: true };
export type Committed = { ok: true } | { ok: false; reason: "ended" | "fenced" | "unknown_job" };

/**
 * The coordinator tells a mailbox how an attempt ended without a result. Times in ms; older versions omit `failedAt` and `startedAt`.
 * `startedAt`: when the attempt began; null if no attempt that counts did, or the mailbox was told so by its dispatcher.
 */
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
 * A page, newest first. `before` bounds it: jobs accepted before `at` (ms), and of those accepted in that very ms the ones numbered below
 * `number`. `room`: characters of answers in the list, which one more job may exceed.
 */
export type ListQuery = { status: JobStatus | null; before: { at: number; number: number } | null; limit: number; room: number };
/** `cut`: the page ends early, because there was no room for the rest. */
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
  /** Number of the lobby's last `unfollow` before this call: a later-arriving `unfollow` with a number no greater is void. */
  leaves?: number;
  /** Characters of events in the answer, which one more event may exceed; with no room left, none. */
  room?: number;
};
/** A lobby stops following a mailbox, or these jobs of it. `leave`: number of this `unfollow` among all the lobby ever sent; it only grows. */
export type UnfollowCall = { lobby: MailboxAddress; channel: boolean; jobs: string[]; leave?: number };
/** A reader has a job's events up to `after`. `verbatim`: it wants each chunk as it came. `room`: characters in the answer, which one more event may exceed. */
export type Missing = { id: string; after: number; deltas: boolean; verbatim?: boolean; room?: number };
/**
 * `missing`: named jobs that do not exist. `unknown`: resume points of jobs that do not exist. `behind`: jobs whose events did not all fit;
 * the rest, after `after` up to `newest`, comes from `missed`. `over`: jobs that have ended, and whose reader had the end already. `from`: where
 * the events of a job begin, if the reader claimed to have more than there is.
 */
export type Followed = {
  events: JobEvent[];
  missing: string[];
  unknown?: string[];
  behind?: { id: string; after: number; newest: number }[];
  over?: string[];
  from?: Record<string, number>;
};

/** Events of a job, as many as fit. `more`: others follow. `from`: the `seq` that they follow, if the reader claimed to have more than there is. */
export type Logged = { events: JobEvent[]; more: boolean; from: number };

/** What a reader lacks of a job, as much as fits. `more`: there is more. */
export type Missed = { events: ToldEvent[]; more: boolean };

/** A mailbox is named `tenant/channel`, and knows its own name. */
export interface MailboxRpc {
  /** `repeated`: an earlier try may have come through, so jobs with a known nonce are answered, not created. */
  submit(submissions: Submission[], repeated: boolean): Promise<Submitted[]>;
  /** The same for many at once. */
  submitMany(submissions: Table<Submission>, repeated: boolean): Promise<Table<Submitted>>;
  /** Claims Idempotency-Keys for a tenant; false where the key stands for a different request. */
  claim(claims: Claim[]): Promise<boolean[]>;
  /** A job's caller was told to come back: the job lives on for a day, whether or not anybody follows it. */
  dismiss(id: string): Promise<void>;
  /** The caller got the whole answer. Only a quick retry gets it again, or one in `givesUpMs`, when the caller would have given up had nothing arrived. */
  collect(id: string, givesUpMs: number | null): Promise<void>;
  /** A job's caller left before it was sent the whole answer. */
  abandon(id: string): Promise<void>;
  /** Null if there is no such job. */
  get(id: string): Promise<Job | null>;
  list(query: ListQuery): Promise<Listed>;
  /** A job's stored events after a `seq`, in order, at most `limit` of them (0: none); null if there is no such job. */
  events(id: string, after: number, deltas: boolean, limit?: number): Promise<Logged | null>;
  cancel(id: string): Promise<Job | null>;
  /** The webhook deliveries of a job's events; null if there is no such job. */
  deliveries(id: string): Promise<Delivery[] | null>;
  /** Sends an event again at once; null if there is no such delivery. */
  redeliver(id: string, delivery: string): Promise<Delivery | null>;
  /** Submits a failed job's request again as a new job; null if no such job has failed. */
  redrive(id: string, nonce: string, repeated: boolean): Promise<Submitted | null>;
  open(calls: OpenCall[]): Promise<Opened[]>;
  /** A piece of a long body, counted from 0; null if the job is gone. */
  piece(job: string, index: number): Promise<string | null>;
  append(calls: AppendCall[]): Promise<Appended[]>;
  commit(calls: CommitCall[]): Promise<Committed[]>;
  /** Answers in order: why a job that was to be retried was given up instead, or null if it was not. */
  judge(verdicts: Verdict[]): Promise<(Problem | null)[]>;
  /** Watched jobs moved up in line; returns those that nobody watches any more. */
  moved(moves: Move[]): Promise<string[]>;
  follow(call: FollowCall): Promise<Followed>;
  /** Revokes a token: it is refused here from now on, and its sockets are closed. */
  revoke(pass: Pass): Promise<void>;
  /** Whether a token was revoked. */
  isRevoked(pass: Pass): Promise<boolean>;
  unfollow(call: UnfollowCall): Promise<void>;
  /** Events for this lobby's sockets. Returns the number of sockets that the most widely sent one went to; below 0 if none follows these jobs. */
  relay(from: MailboxAddress, events: JobEvent[]): Promise<number>;
  /** What a reader lacks of a job, in order, with consecutive deltas merged; nothing if the job does not exist. */
  missed(job: Missing): Promise<Missed>;
}
