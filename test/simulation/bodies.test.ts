/**
 * What a dispatcher holds of a call while its answer comes: an isolate has 128 MB for 150 of them. Runs the dispatcher's own code on Node, whose collector can
 * be called.
 */
import v8 from "node:v8";
import vm from "node:vm";
import { expect, it } from "vitest";
import { attempt, Call, type Ports } from "../../durable-objects/dispatcher/attempt.ts";
import { openHolds } from "../../durable-objects/dispatcher/prepare.ts";
import type { Lease, Opened } from "../../schemas/rpc.ts";

v8.setFlagsFromString("--expose-gc");
const collect = vm.runInNewContext("gc") as () => void;

const REQUEST = JSON.stringify({ model: "m", messages: [{ role: "user", content: "hello" }] });
const DONE = { choices: [{ index: 0, delta: { content: "hi" }, finish_reason: "stop" }] };

/** An answer whose headers have come and whose stream continues until `finish`. */
function streaming() {
  const held: WeakRef<object>[] = [];
  const [headers, end] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  const pieces = async function* () {
    headers.resolve();
    await end.promise;
    yield { value: DONE, text: JSON.stringify(DONE) };
  };
  const ports: Ports = {
    upstream: {
      call: async (body) => {
        held.push(new WeakRef(body));
        return { ok: true, rates: null, requestId: null, pieces: pieces() };
      },
      broken: () => {
        throw new Error("nothing breaks");
      },
    },
    holds: openHolds(),
    timeouts: { first_byte: 60, idle: 60, total: 60 },
    open: async () => {
      const opened: Opened = { ok: true, request: REQUEST, pool: "p", watched: false };
      held.push(new WeakRef(opened));
      return opened;
    },
    late: async () => "go",
    piece: async () => null,
    append: async () => ({ ok: false }),
    commit: async () => ({ ok: true }),
    proven: () => {},
    read: () => {},
    now: () => 0,
  };
  return { ports, held, headers: headers.promise, finish: () => end.resolve() };
}

it("while an answer streams, neither the request's text nor its body is held", async () => {
  const { finish, headers, held, ports } = streaming();
  const lease: Lease = { job: "job", mailbox: { tenant: "t", channel: "c" }, attempt: 1, waits: 0, unknown: 0 };
  const outcome = attempt(new Call(lease, 0), ports);
  await headers;
  // A turn of the event loop, not time: what a WeakRef was asked for, or made with, stays to the end of one.
  await new Promise((done) => setTimeout(done, 0));
  collect();
  expect(held.map((each) => each.deref())).toEqual([undefined, undefined]);
  finish();
  expect(await outcome).toEqual({ kind: "committed", usage: null });
});
