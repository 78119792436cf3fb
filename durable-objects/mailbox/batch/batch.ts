import type { Env } from "../../../platform/objects.ts";
import type { Settings } from "../../../platform/settings.ts";
import { ENDED } from "../../../policy/batch.ts";
import type { BatchObject, FileObject } from "../../../schemas/batch.ts";
import type { JobEnd } from "../../../schemas/job.ts";
import type { BatchOrder, BatchRpc } from "../../../schemas/rpc-batch.ts";
import type { WebhookEvent } from "../../../schemas/webhook.ts";
import { Mailbox } from "../mailbox.ts";
import { type Page, page, type ResultKind } from "./results.ts";
import { ITSELF, Run } from "./run.ts";
import { BatchStore } from "./store.ts";

/** A week, so that a batch's first result is kept as long as its last. */
const WINDOW_LIMIT_MS = 7 * 86_400_000;

/** A batch: the mailbox of its jobs, which fills itself from a file. */
export class Batch extends Mailbox implements BatchRpc {
  readonly #store: BatchStore;
  readonly #run: Run;

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    this.#store = new BatchStore(this.desk.store.sql);
    this.#run = new Run(this.desk, this.intake, this.#store);
    if (this.#run.state && !ENDED.includes(this.#run.state.status)) ctx.waitUntil(Promise.resolve().then(() => this.#run.advance()));
  }

  async begin(order: BatchOrder): Promise<BatchObject> {
    return this.#run.begin(order);
  }

  async batch(): Promise<BatchObject | null> {
    return this.#run.show();
  }

  cancelBatch(): Promise<BatchObject | null> {
    return this.#run.cancel();
  }

  async results(kind: ResultKind, after: number): Promise<Page | null> {
    return (await this.resultFile(kind)) && page(this.desk, this.#store, kind, after);
  }

  async resultFile(kind: ResultKind): Promise<FileObject | null> {
    const shown = this.#run.show();
    const id = kind === "output" ? shown?.output_file_id : shown?.error_file_id;
    // From then on the batch's jobs are deleted, and the file is made of them.
    if (!shown || !id || this.desk.now() >= this.#run.state!.createdAt + this.desk.retentionMs) return null;
    const created_at = shown.finalizing_at ?? shown.cancelled_at ?? shown.created_at;
    const filename = `${shown.id}_${kind}.jsonl`;
    return {
      id,
      object: "file",
      bytes: this.#run.state!.results![kind],
      created_at,
      filename,
      purpose: "batch_output",
      status: "processed",
    };
  }

  override async alarm(): Promise<void> {
    await super.alarm();
    // Not awaited: what it calls may have to wait for the alarm to ring again.
    this.desk.background(this.#run.advance());
  }

  protected override ended(status: JobEnd): void {
    this.#run.ended(status);
  }

  protected override eventOf(n: number): WebhookEvent {
    return n === ITSELF ? this.#run.event() : super.eventOf(n);
  }

  protected override retentionMs(settings: Settings): number {
    return settings.retentionMs + WINDOW_LIMIT_MS;
  }
}
