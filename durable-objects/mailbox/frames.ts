/** What goes over a socket. */
import { ClientFrame, type ServerFrame } from "../../schemas/socket.ts";

export function parseFrame(message: string | ArrayBuffer): { ok: true; value: ClientFrame } | { ok: false; message: string } {
  if (typeof message !== "string") return { ok: false, message: "Frames are JSON text." };
  let raw: unknown;
  try {
    raw = JSON.parse(message);
  } catch {
    return { ok: false, message: "The frame is not valid JSON." };
  }
  const parsed = ClientFrame.safeParse(raw);
  if (parsed.success) return { ok: true, value: parsed.data };
  const issue = parsed.error.issues[0];
  return { ok: false, message: `${issue?.path.join(".") || "type"}: ${issue?.message ?? "malformed"}` };
}

export function notFound(id: string): ServerFrame {
  return { type: "error", error: { code: "job_not_found", message: `No job ${id.slice(0, 200)}.`, param: "jobs" } };
}

export function send(socket: WebSocket, frame: ServerFrame): void {
  try {
    socket.send(JSON.stringify(frame));
  } catch {
    // The client is gone; its close is on the way, and it resumes by seq.
  }
}
