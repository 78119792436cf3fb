import { Batcher } from "../../platform/batcher.ts";
import { isBatchChannel } from "../../platform/mailboxes.ts";
import type { Env } from "../../platform/objects.ts";
import { pack, unpack } from "../../platform/table.ts";
import type { JobEvent } from "../../schemas/event.ts";
import type { Job } from "../../schemas/job.ts";
import type { Problem } from "../../schemas/problem.ts";
import type {
  AppendCall,
  Appended,
  Claim,
  CommitCall,
  Committed,
  FollowCall,
  Followed,
  Listed,
  ListQuery,
  Logged,
  MailboxAddress,
  MailboxRpc,
  Missed,
  Missing,
  Move,
  OpenCall,
  Opened,
  Submission,
  Submitted,
  UnfollowCall,
  Verdict,
} from "../../schemas/rpc.ts";
import type { Table } from "../../schemas/table.ts";
import type { Pass } from "../../schemas/token.ts";
import type { Delivery } from "../../schemas/webhook.ts";
import { append, commit, judge, open, piece } from "./attempts.ts";
import { claim } from "./claims.ts";
import { deliveries, redeliver } from "./deliveries.ts";
import { MailboxObject } from "./object.ts";
import { revoke } from "./passes.ts";
import { moved } from "./positions.ts";
import { cancel, get, list } from "./read.ts";
import { again, lineOfABatch } from "./redrive.ts";
import { eventsOf, follow, missed, unfollow } from "./replay.ts";
import type { SubmitCall } from "./submit.ts";

/**
 * Calls that arrive together share a commit: an insert costs 0.3 to 0.5 ms alone, a tenth of that in a batch. The gap
 * bounds how often a busy mailbox calls the coordinator, and is too short to notice.
 */
const SUBMITS = { maxItems: 256, gapMs: 4, regroup: true, abreast: 8 };
const COMMITS = { maxItems: 256, gapMs: 1, regroup: true, abreast: 8 };

/** One channel of a tenant: its jobs, their results and events, and its clients' sockets. The methods are what other objects and the doors call. */
export class Mailbox extends MailboxObject implements MailboxRpc {
  readonly #submits: Batcher<SubmitCall, Submitted[]>;
  readonly #commits: Batcher<CommitCall[], Committed[]>;

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    this.#submits = new Batcher((calls) => this.intake.submitTogether(calls), SUBMITS);
    this.#commits = new Batcher(async (lists) => lists.map((calls) => calls.map((call) => commit(this.desk, call))), COMMITS);
  }

  submit(submissions: Submission[], repeated: boolean): Promise<Submitted[]> {
    return this.#submits.add({ submissions, repeated });
  }

  async submitMany(submissions: Table<Submission>, repeated: boolean): Promise<Table<Submitted>> {
    return pack(await this.submit(unpack(submissions), repeated));
  }

  async claim(claims: Claim[]): Promise<boolean[]> {
    return claim(this.desk, claims);
  }

  async dismiss(id: string): Promise<void> {
    this.desk.calls.dismiss(id);
  }

  async abandon(id: string): Promise<void> {
    this.desk.calls.abandon(id);
  }

  async collect(id: string, givesUpMs: number | null): Promise<void> {
    this.desk.calls.collect(id, givesUpMs);
  }

  get(id: string): Promise<Job | null> {
    return get(this.desk, id);
  }

  list(query: ListQuery): Promise<Listed> {
    return list(this.desk, query);
  }

  async events(id: string, after: number, deltas: boolean, limit?: number): Promise<Logged | null> {
    return eventsOf(this.desk, id, after, deltas, limit);
  }

  cancel(id: string): Promise<Job | null> {
    return cancel(this.desk, id);
  }

  async deliveries(id: string): Promise<Delivery[] | null> {
    return deliveries(this.desk, id);
  }

  async redeliver(id: string, delivery: string): Promise<Delivery | null> {
    return redeliver(this.desk, id, delivery);
  }

  async redrive(id: string, nonce: string, repeated: boolean): Promise<Submitted | null> {
    if (isBatchChannel(this.desk.address.channel)) return { ok: false, problem: lineOfABatch() };
    const submission = again(this.desk, id, nonce);
    return submission && (await this.submit([submission], repeated))[0]!;
  }

  open(calls: OpenCall[]): Promise<Opened[]> {
    return Promise.all(
      calls.map(async (call) => ((await this.intake.stands(call)) ? open(this.desk, call) : { ok: false, reason: "unleased" })),
    );
  }

  async piece(job: string, index: number): Promise<string | null> {
    return piece(this.desk, job, index);
  }

  async append(calls: AppendCall[]): Promise<Appended[]> {
    return calls.map((call) => append(this.desk, call));
  }

  commit(calls: CommitCall[]): Promise<Committed[]> {
    return this.#commits.add(calls);
  }

  async judge(verdicts: Verdict[]): Promise<(Problem | null)[]> {
    return verdicts.map((verdict) => judge(this.desk, verdict));
  }

  moved(moves: Move[]): Promise<string[]> {
    return moved(this.desk, moves, (n) => this.intake.announced(n));
  }

  async follow(call: FollowCall): Promise<Followed> {
    return follow(this.desk, call);
  }

  async unfollow(call: UnfollowCall): Promise<void> {
    unfollow(this.desk, call);
  }

  async revoke(pass: Pass): Promise<void> {
    const closed = revoke(this.ctx, this.desk.store.passes, pass);
    this.desk.wakeBy(pass.expiresAt);
    await Promise.all(closed.map((id) => this.lobby.leave(id)));
  }

  async isRevoked({ id }: Pass): Promise<boolean> {
    return this.desk.store.passes.find(id)?.revoked === true;
  }

  async relay(from: MailboxAddress, events: JobEvent[]): Promise<number> {
    return this.lobby.deliver(from, events);
  }

  async missed(job: Missing): Promise<Missed> {
    return missed(this.desk, job);
  }

  /** Rows written since the object woke: what the platform bills. */
  rowsWritten(): number {
    return this.desk.store.sql.rowsWritten;
  }
}
