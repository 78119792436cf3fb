/** A hand-made WebSocket over plain TCP: it can refuse to read, and is cheap enough to open thousands. */
import { connect, type Socket } from "node:net";
import { onTestFinished } from "vitest";
import type { Place } from "./client.ts";

const CLOSE = 0x88;
const TEXT = 0x81;

export class RawSocket {
  readonly #socket: Socket;
  /** Bytes that came after the handshake. */
  received = 0;
  /** The code in the service's close frame; null if the connection went away without one. */
  readonly closed: Promise<number | null>;

  private constructor(socket: Socket) {
    this.#socket = socket;
    let code: number | null = null;
    socket.on("data", (bytes: Buffer) => {
      this.received += bytes.length;
      // Enough for a client that is sent nothing else: the close frame is then at the start of the bytes.
      if (bytes[0] === CLOSE && bytes.length >= 4) {
        code = bytes.readUInt16BE(2);
        socket.end();
      }
    });
    this.closed = new Promise((done) => socket.once("close", () => done(code)));
  }

  static async open({ url }: Place, path = "/v1/subscribe", key = "sk-dev-alice"): Promise<RawSocket> {
    const { hostname, port } = new URL(url);
    const socket = connect(Number(port), hostname);
    onTestFinished(() => {
      socket.destroy();
    });
    socket.on("error", () => {});
    const lines = [
      `GET ${path} HTTP/1.1`,
      `host: ${hostname}:${port}`,
      `authorization: Bearer ${key}`,
      "connection: upgrade",
      "upgrade: websocket",
      "sec-websocket-version: 13",
      "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==",
    ];
    socket.write(`${lines.join("\r\n")}\r\n\r\n`);
    const answer = await new Promise<string>((done, fail) => {
      socket.once("data", (bytes) => done(bytes.toString("latin1")));
      socket.once("close", () => fail(new Error("The connection closed in the handshake.")));
    });
    if (!answer.startsWith("HTTP/1.1 101 ")) throw new Error(`No WebSocket: ${answer}`);
    return new RawSocket(socket);
  }

  send(frame: object): void {
    this.#write(TEXT, Buffer.from(JSON.stringify(frame)));
  }

  close(code: number): void {
    const payload = Buffer.alloc(2);
    payload.writeUInt16BE(code);
    this.#write(CLOSE, payload);
  }

  /** Stops reading: the kernel's buffers fill, and then the service's. */
  stall(): void {
    this.#socket.pause();
  }

  /** Goes away without a word. */
  destroy(): void {
    this.#socket.destroy();
  }

  /** Masks with zeros, which leaves the payload unchanged. Payloads of up to 64 kB. */
  #write(opcode: number, payload: Buffer): void {
    const short = payload.length < 126;
    const head = Buffer.alloc(short ? 6 : 8);
    head[0] = opcode;
    head[1] = 0x80 | (short ? payload.length : 126);
    if (!short) head.writeUInt16BE(payload.length, 2);
    this.#socket.write(Buffer.concat([head, payload]));
  }
}
