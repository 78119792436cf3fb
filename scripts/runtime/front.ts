import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";

export type Front = { port: number; close(): void };

/**
 * How long after a client's FIN its connection is reset. workerd assumes that a client that closed its connection may still read, and notices only when it
 * writes. A call that is held while its job waits writes nothing, so it would be made, and paid for, with nobody there. Cloudflare's own front end notices.
 */
const GONE_MS = 200;

/**
 * Accepts connections and forwards their bytes to `target`, a port on loopback. Shortly after a client closes its connection, tells workerd so in a way that it
 * understands: a reset (RST). Connections wait until `target` is known.
 * @throws if the port cannot be had.
 */
export async function openFront(host: string, port: number, target: Promise<number>): Promise<Front> {
  const server = createServer({ allowHalfOpen: true, noDelay: true, pauseOnConnect: true }, (client) => {
    // Until the target is known, or if it never is, the socket is closed along with the process.
    client.on("error", () => {});
    target.then(
      (at) => join(client, connect({ host: "127.0.0.1", port: at, noDelay: true, allowHalfOpen: true })),
      () => client.destroy(),
    );
  });
  server.listen({ host: host === "*" ? undefined : host, port });
  await once(server, "listening");
  return { port: (server.address() as AddressInfo).port, close: () => server.close() };
}

function join(client: Socket, inner: Socket): void {
  const reset = () => {
    client.destroy();
    inner.resetAndDestroy();
  };
  let timer: NodeJS.Timeout | undefined;
  client.once("end", () => {
    timer = setTimeout(reset, GONE_MS);
  });
  client.once("close", () => {
    clearTimeout(timer);
    // If workerd closed first, it need not be told; but half open, its connection would stay for good.
    if (inner.readableEnded) inner.destroy();
    else inner.resetAndDestroy();
  });
  if (client.destroyed) inner.destroy();
  inner.once("error", () => client.resetAndDestroy());
  inner.once("close", () => {
    if (!inner.readableEnded) client.resetAndDestroy();
  });
  client.pipe(inner, { end: false });
  inner.pipe(client);
}
