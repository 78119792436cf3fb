/** A client's frames: parsed, checked and passed on to the lobby. Never throws because of what a client sent. */
import { CLOSE } from "../../schemas/socket.ts";
import type { Desk } from "./desk.ts";
import { type Fault, parseFrame } from "./frames.ts";
import type { Lobby } from "./lobby.ts";
import { endPass, isOver, within } from "./passes.ts";
import { closeSocket, grantOf, socketId } from "./sockets.ts";

const TOO_MANY_FRAMES: Fault = { code: "too_many_frames", message: "Too many frames: send fewer.", param: null, close: CLOSE.tooMany };

export async function hear(desk: Desk, lobby: Lobby, socket: WebSocket, message: string | ArrayBuffer): Promise<void> {
  const id = socketId(socket);
  // The frame was in flight when the socket was given up.
  const isClosing = socket.readyState !== WebSocket.OPEN;
  if (isClosing && !lobby.knows(id)) return;
  const grant = grantOf(socket);
  const now = desk.now();
  if (isOver(grant, now)) {
    endPass(socket);
    return lobby.leave(id);
  }
  const { manners } = lobby.reader(id);
  if (!manners.mayCome(now)) return isClosing ? undefined : refuse(lobby, socket, id, TOO_MANY_FRAMES);
  const frame = parseFrame(message);
  // A client that closes by its own choice has still dealt with what it acks.
  if (isClosing && !(frame.ok && frame.value.type === "ack")) return;
  if (!frame.ok) {
    const { fault } = frame;
    return refuse(lobby, socket, id, manners.mayErr() ? fault : { ...fault, close: fault.close ?? CLOSE.protocol });
  }
  const { value } = frame;
  if (value.type === "unsubscribe") return lobby.unsubscribe(socket, id, value);
  if (value.type === "ack") {
    // The cursor first: acking frames also sends the client what it lacks, which may have to wait for another mailbox.
    const fault = value.cursor == null ? null : lobby.ackCursor(id, value.channel ?? null, value.cursor);
    if (fault) await refuse(lobby, socket, id, fault);
    if (value.frames != null) await lobby.ack(id, value.frames);
    return;
  }
  const { frame: allowed, refused } = within(grant, desk.address.tenant, value);
  for (const each of refused) lobby.talk.answer(socket, id, each);
  // The prefix keeps a token's holder from posing as a key's. A refused channel takes the consumer with it; the jobs are still followed.
  const named = allowed.channel === value.channel ? allowed.consumer : null;
  const consumer = named ? `${grant ? "token" : "key"}/${named}` : null;
  const served = await lobby.talk.serve(id, (message as string).length, async () => {
    const fault = await lobby.subscribe(socket, id, allowed, consumer);
    if (fault) await refuse(lobby, socket, id, fault);
  });
  if (!served) await refuse(lobby, socket, id, TOO_MANY_FRAMES);
}

async function refuse(lobby: Lobby, socket: WebSocket, id: string, { close, code, message, param }: Fault): Promise<void> {
  lobby.talk.answer(socket, id, { type: "error", error: { code, message, param } });
  if (close === null) return;
  closeSocket(socket, close, code);
  await lobby.leave(id);
}
