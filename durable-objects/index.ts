/** The classes as they are deployed, each with the methods that others may call. */
import { nesting } from "../platform/nesting.ts";
import type { CoordinatorRpc, DispatcherRpc, MailboxRpc } from "../schemas/rpc.ts";
import type { ArchiveRpc, BatchRpc } from "../schemas/rpc-batch.ts";
import * as archive from "./archive/archive.ts";
import * as coordinator from "./coordinator/coordinator.ts";
import * as dispatcher from "./dispatcher/dispatcher.ts";
import * as batch from "./mailbox/batch/batch.ts";
import * as mailbox from "./mailbox/mailbox.ts";

const ARCHIVE: Record<keyof ArchiveRpc, true> = {
  append: true,
  seal: true,
  file: true,
  read: true,
  remove: true,
  enter: true,
  enterBatch: true,
  enteredBatch: true,
  strike: true,
  entries: true,
};
const COORDINATOR: Record<keyof CoordinatorRpc, true> = {
  enqueue: true,
  enqueueMany: true,
  cancel: true,
  locate: true,
  watch: true,
  explain: true,
  settle: true,
  heartbeat: true,
  proven: true,
  late: true,
  inspect: true,
  mostTokens: true,
  pull: true,
  tune: true,
  share: true,
  channels: true,
  deadLetters: true,
  deadLetterOf: true,
  strikeDeadLetter: true,
  ping: true,
  look: true,
};
const DISPATCHER: Record<keyof DispatcherRpc, true> = { start: true, abort: true, report: true, watch: true };
const MAILBOX: Record<keyof MailboxRpc, true> = {
  submit: true,
  submitMany: true,
  claim: true,
  dismiss: true,
  collect: true,
  abandon: true,
  get: true,
  list: true,
  events: true,
  cancel: true,
  deliveries: true,
  redeliver: true,
  redrive: true,
  open: true,
  piece: true,
  append: true,
  commit: true,
  judge: true,
  moved: true,
  follow: true,
  revoke: true,
  isRevoked: true,
  unfollow: true,
  relay: true,
  missed: true,
};
const BATCH: Record<keyof BatchRpc, true> = { ...MAILBOX, begin: true, batch: true, cancelBatch: true, results: true, resultFile: true };

export class Archive extends nesting(archive.Archive, ARCHIVE) {}
export class Batch extends nesting(batch.Batch, BATCH) {}
export class Coordinator extends nesting(coordinator.Coordinator, COORDINATOR) {}
export class Dispatcher extends nesting(dispatcher.Dispatcher, DISPATCHER) {}
export class Mailbox extends nesting(mailbox.Mailbox, MAILBOX) {}
