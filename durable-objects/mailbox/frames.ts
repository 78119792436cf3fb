/** What goes over a socket. */
import { holdsTexts, meant } from "../../policy/verbatim.ts";
import type { ToldEvent } from "../../schemas/event.ts";
import { CLOSE, ClientFrame, FRAME_LIMIT, type ServerFrame } from "../../schemas/socket.ts";

/** Why a frame is refused; `close`: the code with which the socket is closed, null if it stays open. */
export type Fault = { code: string; message: string; param: string | null; close: number | null };

export function parseFrame(message: string | ArrayBuffer): { ok: true; value: ClientFrame } | { ok: false; fault: Fault } {
  if (typeof message !== "string") return fault("Frames must be JSON text.", CLOSE.binary);
  if (message.length > FRAME_LIMIT) return fault(`A frame may have at most ${FRAME_LIMIT} characters.`, CLOSE.tooBig);
  let raw: unknown;
  try {
    raw = JSON.parse(message);
  } catch {
    return fault("The frame is not valid JSON.");
  }
  const parsed = ClientFrame.safeParse(raw);
  if (parsed.success) return { ok: true, value: parsed.data };
  const issue = parsed.error.issues[0];
  return fault(`${issue?.path.join(".").slice(0, 200) || "type"}: ${issue?.message ?? "malformed"}`);
}

function fault(message: string, close: number | null = null): { ok: false; fault: Fault } {
  return { ok: false, fault: { code: "invalid_frame", message, param: null, close } };
}

/** One answer names them all: one for each would be many times what the client sent, and wait here if the client does not read. */
export function notFound(ids: string[]): ServerFrame[] {
  if (ids.length === 0) return [];
  const message = `No ${ids.length > 1 ? "jobs with the ids" : "job with the id"} ${ids.map((id) => id.slice(0, 200)).join(", ")}.`;
  return [{ type: "error", error: { code: "job_not_found", message, param: "jobs" } }];
}

/** An event on its way to many readers: serialised once for all of them, and once more for consumers. */
export class EventFrame {
  readonly event: ToldEvent;
  /** With this event, everything of the channel up to here has been told; null where nobody needs to know. */
  readonly cursor: number | null;
  #text: string | null = null;
  #withCursor: string | null = null;

  constructor(event: ToldEvent, cursor: number | null = null) {
    this.event = event;
    this.cursor = cursor;
  }

  get text(): string {
    this.#text ??= write(meant(this.event), {});
    return this.#text;
  }

  get textWithCursor(): string {
    if (this.cursor === null) return this.text;
    this.#withCursor ??= write(meant(this.event), { cursor: this.cursor });
    return this.#withCursor;
  }

  /** For readers that want each chunk as upstream wrote it. */
  get verbatim(): string {
    return holdsTexts(this.event) ? write(this.event, {}) : this.text;
  }
}

function write({ place: _, prior: __, since: ___, ...told }: ToldEvent, more: { cursor?: number }): string {
  return JSON.stringify({ type: "event", ...told, ...more } satisfies ServerFrame);
}

export function send(socket: WebSocket, frame: ServerFrame): void {
  sendText(socket, JSON.stringify(frame));
}

export function sendText(socket: WebSocket, text: string): void {
  try {
    socket.send(text);
  } catch {
    // The client is gone; its close is on the way, and it resumes by seq.
  }
}
