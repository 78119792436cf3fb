/** The client comes back to a channel where more jobs went on than a reader may lag behind with. */
import { reset } from "cloudflare:test";
import { afterEach, beforeEach, expect, it } from "vitest";
import { Sluice } from "../../client/sluice.ts";
import { jobId, parseJobId } from "../../platform/ids.ts";
import { call, evict, inside, mailbox, over, send, submit } from "../support/service.ts";
import { completion, resetWorld, world } from "../support/world.ts";

beforeEach(resetWorld);
afterEach(reset);

const JOBS = 12_000;

/** A browser's WebSocket, through the service's own door. */
class Socket extends EventTarget {
  readyState = 0;
  #socket: WebSocket | null = null;
  constructor(url: string, protocols: string[]) {
    super();
    void this.#open(url, protocols);
  }
  async #open(url: string, protocols: string[]): Promise<void> {
    const headers = { upgrade: "websocket", "sec-websocket-protocol": protocols.join(", ") };
    const { webSocket } = await send(url.slice("ws://sluice".length), { headers });
    if (!webSocket) throw new Error("refused");
    this.#socket = webSocket;
    webSocket.addEventListener("message", ({ data }) => this.dispatchEvent(new MessageEvent("message", { data })));
    webSocket.addEventListener("close", ({ code }) => {
      this.readyState = 3;
      codes.push(code);
      this.dispatchEvent(new Event("close"));
    });
    webSocket.accept();
    this.readyState = 1;
    this.dispatchEvent(new Event("open"));
  }
  send(text: string): void {
    this.#socket?.send(text);
  }
  close(code: number): void {
    this.#socket?.close(code);
  }
}
let codes: number[] = [];

/** `JOBS` jobs that have ended, only one of which was called. */
async function ended(): Promise<string[]> {
  world.upstream = () => completion("x".repeat(1_000));
  const { id } = await submit({ channel: "c" });
  await over(id);
  const name = parseJobId("alice", id)!;
  await inside(mailbox("alice", "c"), (_, { storage }) => {
    const row = storage.sql.exec("SELECT * FROM jobs").one() as Record<string, string | number | null>;
    const columns = Object.keys(row);
    const insert = `INSERT INTO jobs (${columns.join(", ")}) VALUES (${columns.map(() => "?").join(", ")})`;
    storage.transactionSync(() => {
      for (let index = 1; index < JOBS; index++)
        storage.sql.exec(insert, ...columns.map((column) => (column === "n" ? name.number + index : row[column]!)));
    });
  });
  await evict(mailbox("alice", "c"));
  return Array.from({ length: JOBS }, (_, index) => jobId("alice", { ...name, number: name.number + index }));
}

it("is told every end over a connection or two", async () => {
  codes = [];
  const jobs = await ended();
  expect((await call("GET", `/v1/jobs/${jobs.at(-1)}`)).body.status).toBe("completed");
  const client = new Sluice({
    url: "http://sluice",
    token: "sk-dev-alice",
    fetch: (url, init) => send(url.slice("http://sluice".length), init),
    WebSocket: Socket as never,
  });
  let opened = 0;
  const events = client.subscribe("c", {
    after: Object.fromEntries(jobs.map((id) => [id, 1])),
    onConnection: (state) => {
      if (state === "open") opened++;
    },
  });
  const ends = new Set<string>();
  // A real wait that matters only if an end never comes: the ends that did come are then compared below, and the test fails.
  const stop = setTimeout(() => void events.return(), 25_000);
  for await (const { event, job } of events) {
    if (event === "completed") ends.add(job);
    if (ends.size === JOBS) break;
  }
  clearTimeout(stop);
  expect(codes).toEqual([]);
  expect(ends.size).toBe(JOBS);
  expect(opened).toBeLessThanOrEqual(2);
}, 60_000);
