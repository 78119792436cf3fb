/** The measurements. Each runs its floor beside it, in turns, and answers with ratios. */
import { readFileSync } from "node:fs";
import { type Bundle, launch, type Runtime } from "../scripts/runtime.ts";
import { median, quantile } from "./statistics.ts";
import { type BenchUpstream, openUpstream } from "./upstream.ts";

const KEY = { authorization: "Bearer sk-dev-alice", "content-type": "application/json" };
const wide = { rpm: 1e9, tpm: 1e12, ramp_tpm: null };
const POOLS = { default: wide, parked: { models: ["parked"], rpm: 0.001, tpm: 1e12, ramp_tpm: null } };
/** Clock ticks of /proc/PID/stat a second, on every Linux that Node runs on. */
const TICKS = 100;

/** Bulks in a block. */
const BULKS = 4;
/** Submits that may wait for their answer. More would wait for seconds on a busy machine, and workerd closes a connection that it has heard nothing on for five. */
const OUTSTANDING = 100;

type Json = Record<string, unknown>;

export async function start(bundle: Bundle, upstream: string, pools: Json = POOLS): Promise<Runtime> {
  const vars = { SLUICE_LOCAL: "1", SLUICE_POOLS: JSON.stringify(pools), OPENAI_BASE_URL: `${upstream}/v1`, UPSTREAM: upstream };
  return launch({ bundle, port: 0, state: null, vars });
}

/** Durable submits over the floors, `blocks` times in turn. */
export async function submits(runtime: Runtime, blocks: number): Promise<{ parallel: number[]; bulk: number[]; perSecond: number[] }> {
  const run = async (driver: string, count: number, parallel: number): Promise<number> => {
    const response = await fetch(`${runtime.url}/bench/${driver}?count=${count}&parallel=${parallel}`);
    return ((await response.json()) as { ms: number }).ms;
  };
  // One takes some ms, of which a Worker's clock counts whole ones.
  const bulks = async (driver: string): Promise<number> => {
    let ms = 0;
    for (let bulk = 0; bulk < BULKS; bulk++) ms += await run(driver, 1_000, 1);
    return ms;
  };
  const figures = { parallel: [] as number[], bulk: [] as number[], perSecond: [] as number[] };
  for (let block = 0; block <= blocks; block++) {
    const floor = await run("floor-insert", 2_000, 32);
    const sluice = await run("sluice-submit", 2_000, 32);
    const floorBulk = await bulks("floor-bulk");
    const sluiceBulk = await bulks("sluice-bulk");
    // The first block warms up.
    if (block === 0) continue;
    figures.parallel.push(floor / sluice);
    figures.bulk.push(floorBulk / sluiceBulk);
    figures.perSecond.push(2_000_000 / sluice);
  }
  return figures;
}

/** What `latency` measures. `durable`: by an object that writes the call before it makes it, and its answer. */
export type Way = "direct" | "proxy" | "durable" | "sluice";

/** The times of lone jobs, from submit to result, beside those of calls that are made directly, by a storeless proxy, and by one that stores. */
export async function latency(runtime: Runtime, upstream: BenchUpstream, samples: number): Promise<Record<Way, number[]>> {
  const body = JSON.stringify({ model: "m", messages: [{ role: "user", content: "hello" }], stream: true });
  const drained = async (url: string) => {
    await (await fetch(url, { method: "POST", headers: { "content-type": "application/json" }, body })).text();
  };
  const socket = await follow(runtime, "lone");
  const timed = async (work: () => Promise<unknown>) => {
    const began = performance.now();
    await work();
    return performance.now() - began;
  };
  const figures: Record<Way, number[]> = { direct: [], proxy: [], durable: [], sluice: [] };
  for (let sample = -50; sample < samples; sample++) {
    const direct = await timed(() => drained(`${upstream.url}/v1/chat/completions`));
    const proxy = await timed(() => drained(`${runtime.url}/bench/proxy`));
    const durable = await timed(() => drained(`${runtime.url}/bench/proxy/durable`));
    const sluice = await timed(async () => {
      const ended = socket.next();
      await submitOne(runtime, "lone");
      await ended;
    });
    if (sample < 0) continue;
    figures.direct.push(direct);
    figures.proxy.push(proxy);
    figures.durable.push(durable);
    figures.sluice.push(sluice);
  }
  socket.close();
  return figures;
}

/** Jobs from JSONL to their ends, beside the proxy with as many calls: jobs a second, and CPU of workerd for each. */
export async function life(
  runtime: Runtime,
  jobs: number,
): Promise<{ perSecond: number; cpuUs: number; proxyPerSecond: number; proxyCpuUs: number }> {
  const lines = Array.from({ length: jobs }, () => JSON.stringify(job("life"))).join("\n");
  const proxy = await metered(runtime, jobs, () =>
    lanes(
      jobs,
      32,
      async () =>
        void (await (await fetch(`${runtime.url}/bench/proxy`, { method: "POST", body: JSON.stringify(job("life").request) })).text()),
    ),
  );
  const sluice = await metered(runtime, jobs, async () => {
    const submitted = await fetch(`${runtime.url}/v1/jobs`, {
      method: "POST",
      headers: { ...KEY, "content-type": "application/jsonl" },
      body: lines,
    });
    const ids = (await submitted.text())
      .trim()
      .split("\n")
      .map((line) => (JSON.parse(line) as { id: string }).id);
    await lanes(ids.length, 8, async (index) => {
      await (await fetch(`${runtime.url}/v1/jobs/${ids[ids.length - 1 - index]}?wait=60`, { headers: KEY })).text();
    });
  });
  return { perSecond: sluice.perSecond, cpuUs: sluice.cpuUs, proxyPerSecond: proxy.perSecond, proxyCpuUs: proxy.cpuUs };
}

/** Drains a backlog through a budget that binds: the time over the optimum. */
export async function drain(bundle: Bundle, upstream: BenchUpstream): Promise<{ seconds: number; optimum: number }> {
  const [rpm, burst, jobs] = [1_200, 5, 350];
  const runtime = await start(bundle, upstream.url, { default: { rpm, tpm: 1e12, ramp_tpm: null, burst_seconds: burst } });
  try {
    const ids: string[] = [];
    const began = performance.now();
    const lines = Array.from({ length: jobs }, () => JSON.stringify(job("drain"))).join("\n");
    const submitted = await fetch(`${runtime.url}/v1/jobs`, {
      method: "POST",
      headers: { ...KEY, "content-type": "application/jsonl" },
      body: lines,
    });
    for (const line of (await submitted.text()).trim().split("\n")) ids.push((JSON.parse(line) as { id: string }).id);
    await lanes(
      ids.length,
      8,
      async (index) => void (await (await fetch(`${runtime.url}/v1/jobs/${ids[index]}?wait=60`, { headers: KEY })).text()),
    );
    // The last job starts once all but the burst have been refilled; what Sluice holds back of the burst counts against it.
    return { seconds: (performance.now() - began) / 1_000, optimum: (jobs - (rpm / 60) * burst) / (rpm / 60) };
  } finally {
    await runtime.stop();
  }
}

/** Coordinator events for each job while 500 a second arrive one by one, as far as they are answered: `achieved` says how many a second were, `closed` how many connections workerd closed unanswered. */
export async function events(
  runtime: Runtime,
  seconds: number,
): Promise<{ events: number; rows: number; achieved: number; closed: number }> {
  const counts = async () => (await (await fetch(`${runtime.url}/bench/counts`)).json()) as { events: number; rows: number };
  const before = await counts();
  const began = performance.now();
  const pending = new Set<Promise<unknown>>();
  let closed = 0;
  const total = 500 * seconds;
  for (let sent = 0; sent < total; ) {
    const due = Math.min(total, Math.floor(((performance.now() - began) / 1_000) * 500));
    for (; sent < due && pending.size < OUTSTANDING; sent++) {
      const submitted: Promise<unknown> = submitOne(runtime, null)
        .catch((error) => {
          if (!(error instanceof TypeError)) throw error;
          closed++;
        })
        .finally(() => pending.delete(submitted));
      pending.add(submitted);
    }
    await new Promise((done) => setTimeout(done, 1));
  }
  await Promise.all(pending);
  const elapsed = (performance.now() - began) / 1_000;
  await new Promise((done) => setTimeout(done, 2_000));
  const after = await counts();
  const answered = total - closed;
  return {
    events: (after.events - before.events) / answered,
    rows: (after.rows - before.rows) / answered,
    achieved: answered / elapsed,
    closed,
  };
}

function job(channel: string | null): { request: Json; channel?: string } {
  return { request: { model: "m", messages: [{ role: "user", content: "hello" }] }, ...(channel !== null && { channel }) };
}

async function submitOne(runtime: Runtime, channel: string | null): Promise<void> {
  const response = await fetch(`${runtime.url}/v1/jobs`, { method: "POST", headers: KEY, body: JSON.stringify(job(channel)) });
  if (response.status !== 202) throw new Error(`refused: ${response.status} ${await response.text()}`);
  await response.text();
}

async function lanes(count: number, parallel: number, call: (index: number) => Promise<void>): Promise<void> {
  let next = 0;
  const lane = async () => {
    while (next < count) await call(next++);
  };
  await Promise.all(Array.from({ length: parallel }, lane));
}

async function metered(runtime: Runtime, jobs: number, work: () => Promise<void>): Promise<{ perSecond: number; cpuUs: number }> {
  const cpu = cpuSeconds(runtime.pid);
  const began = performance.now();
  await work();
  const seconds = (performance.now() - began) / 1_000;
  return { perSecond: jobs / seconds, cpuUs: ((cpuSeconds(runtime.pid) - cpu) * 1e6) / jobs };
}

/** User and system time of a process, from the kernel's own books. */
function cpuSeconds(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]!.split(" ");
  return (Number(fields[11]) + Number(fields[12])) / TICKS;
}

/** A socket that follows a channel; `next` resolves with the next end. */
async function follow(runtime: Runtime, channel: string): Promise<{ next: () => Promise<void>; close: () => void }> {
  const socket = new WebSocket(`${runtime.url.replace("http", "ws")}/v1/subscribe?channel=${channel}`, [
    "sluice.v1",
    "bearer.sk-dev-alice",
  ]);
  let wake = () => {};
  const subscribed = new Promise<void>((resolve) => {
    socket.onmessage = ({ data }) => {
      const frame = JSON.parse(String(data)) as { type: string; event?: string };
      if (frame.type === "subscribed") resolve();
      if (frame.event === "completed") wake();
    };
  });
  await new Promise((open) => {
    socket.onopen = open;
  });
  socket.send(JSON.stringify({ type: "subscribe", channel }));
  await subscribed;
  const next = () =>
    new Promise<void>((resolve) => {
      wake = resolve;
    });
  return { next, close: () => socket.close() };
}

export { median, openUpstream, quantile };
