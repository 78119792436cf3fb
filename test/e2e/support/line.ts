import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { onTestFinished } from "vitest";

/** A proxy to a port that can break all its connections at once; while it is cut, no new one comes through. */
export async function openLine(port: number): Promise<{ port: number; url: string; cut: () => void; mend: () => void }> {
  const open = new Set<Socket>();
  let isCut = false;
  const server = createServer((near) => {
    if (isCut) return near.destroy();
    const far = connect(port, "127.0.0.1");
    for (const [end, other] of [
      [near, far],
      [far, near],
    ] as const) {
      open.add(end);
      end
        .on("error", () => {})
        .on("close", () => {
          open.delete(end);
          other.destroy();
        })
        .pipe(other);
    }
  });
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  const cut = () => {
    isCut = true;
    for (const end of open) end.destroy();
  };
  const mend = () => {
    isCut = false;
  };
  onTestFinished(() => {
    cut();
    server.close();
  });
  const own = (server.address() as AddressInfo).port;
  return { port: own, url: `http://127.0.0.1:${own}`, cut, mend };
}
