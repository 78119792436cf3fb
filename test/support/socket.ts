/** A client of `GET /v1/subscribe`, as a test drives it. */
import type { JobEvent } from "../../schemas/event.ts";
import type { Job } from "../../schemas/job.ts";
import type { ServerFrame } from "../../schemas/socket.ts";
import { send, until } from "./service.ts";

export type Closed = { code: number; reason: string; wasClean: boolean };

export class Client {
  readonly socket: WebSocket;
  /** All frames that came, in order; one that is not JSON is kept as text. */
  readonly frames: (ServerFrame | string)[] = [];
  closed: Closed | null = null;

  constructor(socket: WebSocket) {
    this.socket = socket;
    socket.accept();
    socket.addEventListener("message", ({ data }) => {
      const text = data as string;
      this.frames.push(text.startsWith("{") ? (JSON.parse(text) as ServerFrame) : text);
    });
    socket.addEventListener("close", ({ code, reason, wasClean }) => {
      this.closed = { code, reason, wasClean };
    });
  }

  send(frame: unknown): void {
    this.socket.send(typeof frame === "string" ? frame : JSON.stringify(frame));
  }

  /** Subscribes, and waits until that is confirmed. */
  async subscribe(frame: {
    jobs?: string[];
    channel?: string;
    after?: Record<string, number>;
    deltas?: boolean;
    consumer?: string;
  }): Promise<void> {
    const before = this.count("subscribed");
    this.send({ type: "subscribe", ...frame });
    await until(() => this.count("subscribed") > before);
  }

  events(job?: string): (JobEvent & { cursor?: number; from?: number })[] {
    return this.frames.filter((frame) => isEvent(frame) && (!job || frame.job === job)) as (ServerFrame & JobEvent)[];
  }

  /** Like `1 queued`: number and name of each event of a job. */
  story(job: string): string[] {
    return this.events(job).map(({ seq, event }) => `${seq} ${event}`);
  }

  errors(): string[] {
    return this.frames.flatMap((frame) => (typeof frame !== "string" && frame.type === "error" ? [frame.error.code] : []));
  }

  /** Waits for an event of a job. */
  saw(job: string, event: string): Promise<JobEvent> {
    return until(() => this.events(job).find((each) => each.event === event) ?? null);
  }

  /** The text of a job's deltas, joined. */
  text(job: string): string {
    return this.events(job).map(contentOf).join("");
  }

  /** How many frames of a type came. */
  count(type: ServerFrame["type"]): number {
    return this.frames.filter((frame) => typeof frame !== "string" && frame.type === type).length;
  }
}

/** Connects; fails the test unless the upgrade was accepted. */
export async function connect(options: { key?: string; channel?: string } = {}): Promise<Client> {
  const place = options.channel === undefined ? "" : `?channel=${encodeURIComponent(options.channel)}`;
  const headers = { upgrade: "websocket", authorization: `Bearer ${options.key ?? "sk-dev-alice"}` };
  const response = await send(`/v1/subscribe${place}`, { headers });
  if (!response.webSocket) throw new Error(`no socket: ${response.status} ${await response.text()}`);
  return new Client(response.webSocket);
}

export function contentOf({ event, data }: JobEvent): string {
  if (event !== "delta") return "";
  const { chunks } = data as { chunks: { choices: { delta: { content?: string } }[] }[] };
  return chunks.map(({ choices }) => choices.map(({ delta }) => delta.content ?? "").join("")).join("");
}

/** The text of a finished job's answer. */
export function answerOf(job: Job): string {
  return (job.response as { choices: { message: { content: string } }[] }).choices[0]!.message.content;
}

function isEvent(frame: ServerFrame | string): frame is ServerFrame & JobEvent {
  return typeof frame !== "string" && frame.type === "event";
}
