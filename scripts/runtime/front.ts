import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";

export type Front = { port: number; close(): void };

/**
 * workerd takes a client that closes its connection (FIN) for one that may still read: it notices only when it writes. A call that is held
 * while its job waits writes nothing, so it would be made, and paid for, for nobody. Cloudflare's own front notices.
 */
const GONE_MS = 200;

/**
 * Takes connections and passes their bytes on to `target`, a port on loopback; of who has closed it says so, a moment later, in the way that
 * workerd understands: a reset (RST). Before `target` is known, connections wait.
 * @throws if the port cannot be had.
 */
export async function openFront(host: string, port: number, target: Promise<number>): Promise<Front> {
  const server = createServer({ allowHalfOpen: true, noDelay: true, pauseOnConnect: true }, (client) => {
    // Until it is known, and if it never is, the socket is closed with the process.
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
    // Told already, if it closed first; as it is left half open, it would stay so for good.
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
