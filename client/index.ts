/** What the package exports. */
export type { Eta, Job, JobEnd, JobInput, JobStatus, Usage } from "../schemas/job.ts";
export type { ChannelOptions } from "./channel.ts";
export {
  AuthenticationError,
  BadRequestError,
  ConflictError,
  ConnectionError,
  NotFoundError,
  PermissionError,
  RateLimitError,
  ServerError,
  SluiceError,
  TimeoutError,
} from "./errors.ts";
export { type Chunk, type EndEvent, type Event, hasEnded, isEnd, textOf } from "./events.ts";
export { type CallOptions, type JobPage, Sluice, type SluiceOptions, type Token, type TokenRequest } from "./sluice.ts";
export type { SubmitManyOptions, Submitted } from "./submit-many.ts";
export type { Subscription, SubscriptionOptions } from "./subscription.ts";
