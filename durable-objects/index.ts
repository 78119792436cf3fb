export { Coordinator } from "./coordinator/coordinator.ts";
export { Dispatcher } from "./dispatcher/dispatcher.ts";
export { Mailbox } from "./mailbox/mailbox.ts";
