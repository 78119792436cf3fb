/** The proxy in front of workerd under `npm start`: clients cannot tell that it is there, and workerd learns which of them have gone. */
import { once } from "node:events";
import { connect, createServer } from "node:net";
import { expect, test } from "vitest";
import { json, start, toy, until } from "./toy.ts";

/** `/hold` answers so late that no test sees it: its wait ends with its workerd. */
const SOURCE = `let held = 0, gone = 0;
export default { async fetch(request) {
  const { pathname } = new URL(request.url);
  if (pathname === "/held") return Response.json(held);
  if (pathname === "/gone") return Response.json(gone);
  if (pathname === "/echo") return new Response(await request.arrayBuffer());
  if (pathname === "/socket") {
    const [client, server] = Object.values(new WebSocketPair());
    server.accept();
    server.addEventListener("message", ({ data }) => server.send(data));
    server.addEventListener("close", () => server.close());
    return new Response(null, { status: 101, webSocket: client });
  }
  if (pathname !== "/hold") return new Response("ok");
  held++;
  request.signal.addEventListener("abort", () => gone++);
  await scheduler.wait(60_000);
  return new Response("too late");
} };`;

function fronted() {
  const bundle = { ...toy(SOURCE), durableObjects: [], compatibilityFlags: ["enable_request_signal"] };
  return start({ bundle, front: true });
}

async function holding(port: number) {
  const client = connect(port, "127.0.0.1");
  client.on("error", () => {});
  client.write("GET /hold HTTP/1.1\r\nHost: x\r\n\r\n");
  await once(client, "connect");
  return client;
}

test.each([
  ["closes its connection, as every process that ends does", (client: { end(): void }) => client.end()],
  ["resets it", (client: { resetAndDestroy(): void }) => client.resetAndDestroy()],
])("a client whose call is held %s -> the Worker learns that it has gone", async (_, leave) => {
  const runtime = await fronted();
  const client = await holding(runtime.port);
  await until(async () => (await json(runtime, "/held")) === 1);
  expect(await json(runtime, "/gone")).toBe(0);
  leave(client as never);
  await until(async () => (await json(runtime, "/gone")) === 1);
  client.destroy();
});

test("what is sent arrives whole, though its sender stops at once", async () => {
  const runtime = await fronted();
  const body = "x".repeat(5_000_000);
  expect(await (await fetch(`${runtime.url}/echo`, { method: "POST", body })).text()).toBe(body);
  const client = connect({ port: runtime.port, host: "127.0.0.1", allowHalfOpen: true });
  client.end("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello");
  let text = "";
  for await (const bytes of client) text += bytes;
  expect(text).toMatch(/^HTTP\/1.1 200 OK[\s\S]*hello$/);
});

test("a WebSocket runs through it, and closes on both sides", async () => {
  const runtime = await fronted();
  const socket = new WebSocket(`${runtime.url.replace("http", "ws")}/socket`);
  const closed = once(socket, "close");
  await once(socket, "open");
  socket.send("hello");
  expect((await once(socket, "message"))[0]).toMatchObject({ data: "hello" });
  socket.close(1000);
  expect((await closed)[0]).toMatchObject({ code: 1000, wasClean: true });
});

test("sockets that were opened and closed leave nothing behind", async () => {
  const runtime = await fronted();
  const handles = () => process.getActiveResourcesInfo().filter((each) => each === "TCPSocketWrap").length;
  const before = handles();
  for (let n = 0; n < 10; n++) {
    const socket = new WebSocket(`${runtime.url.replace("http", "ws")}/socket`);
    await once(socket, "open");
    const closed = once(socket, "close");
    socket.close(1000);
    await closed;
  }
  await until(() => handles() <= before);
});

test("workerd is killed -> clients' connections break, and the port is free", async () => {
  const runtime = await fronted();
  const client = await holding(runtime.port);
  await until(async () => (await json(runtime, "/held")) === 1);
  const broken = once(client, "close");
  runtime.kill();
  await runtime.exited;
  await broken;
  const next = createServer().listen(runtime.port, "127.0.0.1");
  await once(next, "listening");
  next.close();
});

test("a taken port is named", async () => {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as { port: number };
  await expect(start({ port, front: true })).rejects.toThrow(`Port ${port} on 127.0.0.1 is already in use: set PORT to another.`);
  server.close();
});
