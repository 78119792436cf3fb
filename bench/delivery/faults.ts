/**
 * Clients of every kind that drop and return at random while jobs stream, and the service killed in the middle, or its objects one by one: who ends with what.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Sluice, textOf } from "../../client/index.ts";
import { lobbyChannel, SPREAD } from "../../platform/mailboxes.ts";
import { postName } from "../../policy/placement.ts";
import type { Bundle } from "../../scripts/runtime.ts";
import { KEY, PROTOCOLS, pause, startSluice, submit } from "./start.ts";
import { wordOf } from "./upstream.ts";

/** What dies: the runtime by SIGKILL in the middle, to come again on its state; or one object after the other, at random. */
export type Death = "nothing" | "service" | "objects";
export type FaultFigures = { clients: number; drops: number; broken: number; deaths: number; wrong: string[] };

type Told = { seq: number; event: string; data: unknown; from?: number };
/** What one connection of a client tells, from `after` on, until the signal aborts it. */
type Kind = (url: string, job: string, after: number, signal: AbortSignal) => AsyncIterable<Told>;

/** Reproducible numbers in [0, 1). */
export function dice(seed: number): () => number {
  let state = (seed * 7_919) % 2_147_483_647 || 1;
  return () => {
    state = (state * 48_271) % 2_147_483_647;
    return state / 2_147_483_647;
  };
}

async function* bySdk(url: string, job: string, after: number, signal: AbortSignal): AsyncIterable<Told> {
  const client = new Sluice({ url, token: "sk-dev-alice" });
  yield* client.stream(job, { after, signal });
}

async function* bySocket(url: string, job: string, after: number, signal: AbortSignal): AsyncIterable<Told> {
  const socket = new WebSocket(`${url.replace("http", "ws")}/v1/subscribe`, PROTOCOLS);
  const arrived: Told[] = [];
  let wake = () => {};
  let open = true;
  const over = () => {
    open = false;
    socket.close();
    wake();
  };
  signal.addEventListener("abort", over);
  socket.onclose = socket.onerror = over;
  socket.onopen = () => socket.send(JSON.stringify({ type: "subscribe", jobs: [job], after: { [job]: after }, deltas: true }));
  socket.onmessage = ({ data }) => {
    const frame = JSON.parse(String(data)) as Told & { type: string };
    if (frame.type === "error") over();
    if (frame.type === "event") arrived.push(frame);
    wake();
  };
  while (open || arrived.length > 0) {
    const next = arrived.shift();
    if (next) yield next;
    else
      await new Promise<void>((more) => {
        wake = more;
      });
  }
}

async function* byEvents(url: string, job: string, after: number, signal: AbortSignal): AsyncIterable<Told> {
  const response = await fetch(`${url}/v1/jobs/${job}/events`, { headers: { ...KEY, "last-event-id": String(after) }, signal });
  if (response.status !== 200) return;
  let rest = "";
  for await (const text of response.body!.pipeThrough(new TextDecoderStream())) {
    const blocks = (rest + text).split("\n\n");
    rest = blocks.pop()!;
    for (const block of blocks) {
      const fields = new Map(block.split("\n").map((line) => [line.slice(0, line.indexOf(":")), line.slice(line.indexOf(":") + 2)]));
      if (fields.has("data"))
        yield { seq: Number(fields.get("id")), event: fields.get("event")!, data: JSON.parse(fields.get("data")!) as unknown };
    }
  }
}

async function* byPoll(url: string, job: string, after: number, signal: AbortSignal): AsyncIterable<Told> {
  for (let last = after; ; ) {
    const response = await fetch(`${url}/v1/jobs/${job}/events?wait=20&after=${last}`, { headers: KEY, signal });
    if (response.status !== 200) return;
    const { data, ended, last_seq } = (await response.json()) as { data: Told[]; ended: boolean; last_seq: number };
    yield* data;
    if (ended) return;
    last = last_seq;
  }
}

const KINDS: Record<string, Kind> = { client: bySdk, socket: bySocket, events: byEvents, poll: byPoll };
const ENDS = ["completed", "failed", "cancelled", "expired"];
/** A connection lasts, and a client stays away, up to so long, ms. */
const [STAYS_MS, AWAY_MS] = [4_000, 1_500];

/** Follows a job to its end over any number of connections; answers what is wrong with what it heard, null if nothing is. */
async function follow(kind: string, url: string, job: string, expected: string, random: () => number, figures: FaultFigures) {
  let [last, text, ended] = [0, "", ""];
  const patience = AbortSignal.timeout(300_000);
  while (ended === "") {
    if (patience.aborted) return `${kind} ${job}: no final event within five minutes`;
    const leave = AbortSignal.timeout(Math.ceil(random() * STAYS_MS));
    try {
      for await (const { data, event, from, seq } of KINDS[kind]!(url, job, last, leave)) {
        if (seq <= last) return `${kind} ${job}: seq ${seq} came again after ${last}`;
        // Deltas that were gathered into one say where it begins; on a stream of events none are, for its reader keeps up.
        if ((from ?? seq) !== last + 1) return `${kind} ${job}: gap, seq ${from ?? seq} came after ${last}`;
        last = seq;
        if (event === "retrying") text = "";
        if (event === "delta") text += textOf({ event, data } as never);
        if (ENDS.includes(event)) ended = event;
        if (ended !== "" || leave.aborted) break;
      }
    } catch {
      // Broken, as one that ends early is.
    }
    if (leave.aborted || ended !== "") figures.drops++;
    else figures.broken++;
    if (ended === "") await pause(random() * AWAY_MS);
  }
  if (ended !== "completed") return `${kind} ${job}: ended as ${ended}`;
  return text === expected ? null : `${kind} ${job}: wrong text, ${text.length} characters instead of ${expected.length}`;
}

/** Channels of the jobs; each is a mailbox. */
const CHANNELS = 7;
/** An object dies about so often, ms. */
const DEATHS_MS = 500;

/** Kills one object after the other: sources and lobbies of events, the coordinator, and once, in the middle, the dispatcher that makes the calls. */
async function killObjects(url: string, seconds: number, random: () => number, figures: FaultFigures): Promise<void> {
  const lobbies = Array.from({ length: SPREAD }, (_, index) => lobbyChannel(index));
  const mailboxes = [...Array.from({ length: CHANNELS }, (_, index) => `c${index}`), ...lobbies];
  const victims = [...mailboxes.map((channel) => ["MAILBOX", `alice/${channel}`]), ["COORDINATOR", "account"]];
  const kill = async ([kind, name]: string[]) => {
    const { ok } = await fetch(`${url}/bench/kill?${new URLSearchParams({ kind: kind!, name: name! })}`);
    if (!ok) throw new Error(`${kind} ${name} could not be killed.`);
    figures.deaths++;
  };
  const times = Math.ceil((seconds * 1_000) / DEATHS_MS);
  for (let time = 0; time < times; time++) {
    await pause(2 * random() * DEATHS_MS);
    await kill(time === Math.floor(times / 2) ? ["DISPATCHER", postName("wnam", 0)] : victims[Math.floor(random() * victims.length)]!);
  }
}

export async function runFaults(bundle: Bundle, upstream: string, clients: number, seconds: number, seed: number, death: Death) {
  const state = mkdtempSync(join(tmpdir(), "sluice-delivery-"));
  let runtime = await startSluice(bundle, upstream, { state, port: 0 });
  const { port, url } = runtime;
  const [jobs, everyMs] = [Math.ceil(clients / 5), 150];
  const words = Math.ceil((seconds * 1_000) / everyMs);
  const expected = (index: number) => Array.from({ length: words }, (_, n) => wordOf(`j${index}`, n)).join("");
  const ids: string[] = [];
  const figures: FaultFigures = { clients, drops: 0, broken: 0, deaths: 0, wrong: [] };
  // Watched before they begin, so that each word of them is told.
  const at = Math.floor(Date.now() / 1_000) + 5;
  for (let index = 0; index < jobs; index++) {
    const wish = { words, everyMs, name: `j${index}` };
    ids.push(await submit(runtime, wish, { channel: `c${index % CHANNELS}`, retry: "always", not_before: at }));
  }
  const kinds = Object.keys(KINDS);
  const following = Array.from({ length: clients }, (_, client) =>
    follow(kinds[client % kinds.length]!, url, ids[client % jobs]!, expected(client % jobs), dice(seed * 1_000 + client), figures),
  );
  if (death === "service") {
    await pause((5 + seconds / 2) * 1_000);
    runtime.kill();
    await runtime.exited;
    runtime = await startSluice(bundle, upstream, { state, port });
    figures.deaths++;
  }
  if (death === "objects") {
    await pause(5_000);
    await killObjects(url, seconds, dice(seed), figures);
  }
  figures.wrong = (await Promise.all(following)).filter((each) => each !== null);
  await runtime.stop();
  rmSync(state, { recursive: true, force: true });
  return figures;
}

export function tellFaults(name: string, { broken, clients, deaths, drops, wrong }: FaultFigures): void {
  console.log(
    `${name}: ${clients} clients, ${deaths} kills, ${drops} connections closed by clients, ${broken} lost otherwise; ${wrong.length} received wrong events`,
  );
  for (const each of wrong.slice(0, 10)) console.log(`  ${each}`);
}
