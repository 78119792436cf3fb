export { Archive } from "./archive/archive.ts";
export { Coordinator } from "./coordinator/coordinator.ts";
export { Dispatcher } from "./dispatcher/dispatcher.ts";
export { Batch } from "./mailbox/batch/batch.ts";
export { Mailbox } from "./mailbox/mailbox.ts";
