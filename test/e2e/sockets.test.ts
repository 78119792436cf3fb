import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import type { Runtime } from "../../scripts/runtime.ts";
import { Chronicle } from "./support/chronicle.ts";
import { call, each, ended, job, listed, submit, submitAll, until } from "./support/client.ts";
import { Follower } from "./support/follower.ts";
import { RawSocket } from "./support/raw-socket.ts";
import { pools, startService } from "./support/service.ts";

const vars = {
  SLUICE_POOLS: pools({ rpm: 1_000_000, tpm: 1_000_000_000 }),
  SIMULATOR_SETTINGS: JSON.stringify({ speed: 0, limits: { "gpt-5-mini*": { rpm: 1e6, tpm: 1e9 } } }),
};

/** Idle sockets. Each takes three file descriptors here (two are the front's) and two in workerd. */
const IDLE = 5_000;

test("thousands of idle sockets -> an event still reaches the one that subscribed, and all close as they asked", async ({ annotate }) => {
  const allowed = openFilesAllowed();
  const count = allowed > 3 * IDLE + 500 ? IDLE : Math.floor(allowed / 4);
  const service = await startService({ vars });
  const before = memoryOf(service);
  const sockets = await each(Array.from({ length: count }), 32, () => RawSocket.open(service));
  await annotate(`${count} sockets (${allowed} open files allowed), workerd ${before} -> ${memoryOf(service)} MB`);

  const chronicle = new Chronicle();
  const follower = await Follower.connect(service, chronicle);
  await follower.subscribe({ channel: "live", deltas: true });
  const { id } = await submit(service, job({ channel: "live" }));
  const done = await ended(service, id);
  await until("the end to arrive", () => chronicle.names(id).at(-1) === "completed");
  expect(chronicle.fault(done)).toBeNull();
  expect(sockets.reduce((sum, { received }) => sum + received, 0)).toBe(0);

  for (const [n, socket] of sockets.entries()) socket.close(n % 2 === 0 ? 1000 : 4001);
  const codes = await Promise.all(sockets.map(({ closed }) => closed));
  expect(codes.filter((code, n) => code !== (n % 2 === 0 ? 1000 : 4001))).toEqual([]);
  follower.socket.close(1000);
  expect(await follower.closed).toBe(1000);
});

test("one client never reads -> the others get every event of the channel, and the service stays whole", async ({ annotate }) => {
  const service = await startService({ vars });
  const chronicle = new Chronicle();
  const near = await Follower.connect(service, chronicle, { near: "busy" });
  const far = await Follower.connect(service, chronicle);
  for (const follower of [near, far]) await follower.subscribe({ channel: "busy", deltas: true });
  // One stalls in the same mailbox as `near`; eight stall in the eight lobbies, so one of them shares `far`'s.
  const stalled = await each(["/v1/subscribe?channel=busy", ...Array.from({ length: 8 }, () => "/v1/subscribe")], 1, async (path) => {
    const socket = await RawSocket.open(service, path);
    socket.stall();
    socket.send({ type: "subscribe", channel: "busy", deltas: true });
    return socket;
  });

  const before = memoryOf(service);
  const long = Array.from({ length: 40 }, (_, n) =>
    job({ channel: "busy" }, { max_completion_tokens: 2_000, metadata: { simulate_tokens: "2000", simulate_key: `${n}` } }),
  );
  const submitted = await submitAll(service, long);
  const jobs = await Promise.all(submitted.map(({ id }) => ended(service, id)));
  const all = (follower: Follower) => follower.events === jobs.reduce((sum, { id }) => sum + chronicle.lastSeq(id), 0);
  await until("the others to get all", () => jobs.every(({ id }) => chronicle.names(id).at(-1) === "completed") && all(near) && all(far));
  await annotate(`workerd ${before} -> ${memoryOf(service)} MB`);
  expect(chronicle.breaches).toEqual([]);
  expect(jobs.flatMap((each) => chronicle.fault(each) ?? [])).toEqual([]);
  // The stalled sockets had more to read than any of the kernel's buffers holds.
  expect(jobs.reduce((sum, { id }) => sum + JSON.stringify(chronicle.events(id)).length, 0)).toBeGreaterThan(16_000_000);

  for (const socket of stalled) socket.destroy();
  const { id } = await submit(service, job({ channel: "busy" }));
  const last = await ended(service, id);
  await until("the event after", () => chronicle.names(id).at(-1) === "completed");
  expect(chronicle.fault(last)).toBeNull();
  expect((await listed(service, { channel: "busy" })).size).toBe(41);
});

test("clients come and go, some without a word -> whoever resumes by seq gets the rest, once", async () => {
  const service = await startService({ vars: { ...vars, SIMULATOR_SETTINGS: JSON.stringify({ speed: 3 }) } });
  const chronicle = new Chronicle();
  const jobs = await submitAll(
    service,
    Array.from({ length: 12 }, (_, n) => job({ channel: "tv" }, { metadata: { simulate_tokens: "200", simulate_key: `${n}` } })),
  );
  const ids = jobs.map(({ id }) => id);
  const complete = () => ids.every((id) => chronicle.names(id).at(-1) === "completed");
  // Resumes by channel or by job, from where the last follower left off.
  for (let round = 0; round < 60 && !complete(); round++) {
    const follower = await Follower.connect(service, chronicle, round % 2 === 0 ? { near: "tv" } : {});
    const after = chronicle.after(ids);
    const seen = chronicle.received;
    await follower.subscribe({ after, deltas: true, ...(round % 3 === 0 ? { jobs: ids } : { channel: "tv" }) });
    await until("another few events", () => complete() || chronicle.received > seen + 5);
    follower.socket.close();
  }
  const done = await Promise.all(ids.map((id) => ended(service, id)));
  expect(chronicle.breaches).toEqual([]);
  expect(done.flatMap((each) => chronicle.fault(each) ?? [])).toEqual([]);
  expect(done.every(({ attempts }) => attempts === 1)).toBe(true);
});

test("a socket at the door -> ping is answered; no key, a bad key and a plain request are refused; nonsense is answered and survived", async () => {
  const service = await startService({ vars });
  const follower = await Follower.connect(service, new Chronicle());
  const pong = new Promise<unknown>((done) => {
    follower.socket.addEventListener("message", ({ data }) => done(data), { once: true });
  });
  const receive = follower.socket.onmessage;
  follower.socket.onmessage = null;
  follower.socket.send("ping");
  expect(await pong).toBe("pong");
  follower.socket.onmessage = receive;
  for (const nonsense of ["{", "[]", '{"type":"dance"}', '{"type":"subscribe","jobs":"all"}']) follower.socket.send(nonsense);
  await until("four complaints", () => follower.errors.length === 4);
  expect(follower.errors.every((text) => text.startsWith("invalid_frame"))).toBe(true);
  await follower.subscribe({ jobs: ["job_nobody"] });
  await until("a fifth", () => follower.errors[4]?.startsWith("job_not_found"));

  await expect(RawSocket.open(service, "/v1/subscribe", "sk-wrong")).rejects.toThrow("401");
  await expect(RawSocket.open(service, "/v1/subscribe", "sk-dev-operator")).rejects.toThrow("403");
  expect((await call(service, "GET", "/v1/subscribe")).status).toBe(426);
});

/** MB of resident memory. */
function memoryOf({ pid }: Runtime): number {
  return Math.round(Number(/VmRSS:\s+(\d+)/.exec(textAt(`/proc/${pid}/status`))?.[1] ?? Number.NaN) / 1_024);
}

/** The limit of this process, which workerd inherits. */
function openFilesAllowed(): number {
  return Number(/Max open files\s+(\d+)/.exec(textAt("/proc/self/limits"))?.[1] ?? 1_024);
}

/** The text of a file; "" where there is no /proc. */
function textAt(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}
