/** Thousands of sockets that sleep: what one costs in memory, how soon an event has reached all, and that a ping wakes nobody. */
import { readFileSync } from "node:fs";
import type { Bundle, Runtime } from "../../scripts/runtime.ts";
import { median } from "../statistics.ts";
import { lanes, PROTOCOLS, pause, startSluice, submit } from "./start.ts";

export type Figures = { bytes: number; reachMs: number[]; wakes: number; messages: number };

/** The local runtime lets an object sleep after ten seconds without anything to do. */
const ASLEEP_MS = 14_000;
const EVENTS = 5;

class Crowd {
  readonly #sockets: WebSocket[] = [];
  #heard = 0;
  #awaited = 0;
  #all = () => {};

  /** `hello` is sent by each; it is in once it was answered. */
  async open(count: number, url: string, hello: string | null): Promise<void> {
    await lanes(count, 50, async () => {
      const socket = new WebSocket(url, PROTOCOLS);
      await new Promise((open, fail) => {
        socket.onopen = open;
        socket.onerror = () => fail(new Error("A socket cannot be opened. Are there enough file descriptors (ulimit -n)?"));
      });
      if (hello !== null) {
        const answered = new Promise((answer) => {
          socket.onmessage = answer;
        });
        socket.send(hello);
        await answered;
      }
      socket.onmessage = ({ data }) => this.#hear(String(data));
      this.#sockets.push(socket);
    });
  }

  send(text: string): void {
    for (const socket of this.#sockets) socket.send(text);
  }

  /** Resolves when every socket has heard `of` once more. */
  everybody(of: string): Promise<void> {
    this.#of = of;
    [this.#heard, this.#awaited] = [0, this.#sockets.length];
    return new Promise((all) => {
      this.#all = all;
    });
  }

  close(): void {
    for (const socket of this.#sockets) socket.close();
  }

  #of = "";

  #hear(text: string): void {
    if (text.includes(this.#of) && ++this.#heard === this.#awaited) this.#all();
  }
}

/** `floor`: an object of a few lines that accepts and sends; else Sluice. */
export async function measureSockets(bundle: Bundle, upstream: string, count: number, floor: boolean): Promise<Figures> {
  const runtime = await startSluice(bundle, upstream, { state: null, port: 0 });
  const ws = runtime.url.replace("http", "ws");
  const crowd = new Crowd();
  const woken = async () => (await (await fetch(`${runtime.url}/bench/woken`)).json()) as { wakes: number; messages: number };
  const before = memory(runtime);
  if (floor) await crowd.open(count, `${ws}/bench/hall`, null);
  else await crowd.open(count, `${ws}/v1/subscribe?channel=crowd`, JSON.stringify({ type: "subscribe", channel: "crowd" }));
  await pause(ASLEEP_MS);
  const bytes = (memory(runtime) - before) / count;
  const asleep = await woken();
  const pongs = crowd.everybody("pong");
  crowd.send("ping");
  await pongs;
  const pinged = await woken();
  const reachMs: number[] = [];
  for (let event = 0; event < EVENTS; event++) {
    const reached = crowd.everybody(floor ? "told" : '"event":"queued"');
    const began = performance.now();
    if (floor) await fetch(`${runtime.url}/bench/tell`);
    else await submit(runtime, { words: 1, everyMs: 10, name: "x" }, { channel: "crowd" });
    await reached;
    reachMs.push(performance.now() - began);
    // What follows of the job reaches all as well, before the next begins.
    await pause(3_000);
  }
  crowd.close();
  await runtime.stop();
  return { bytes, reachMs, wakes: pinged.wakes - asleep.wakes, messages: pinged.messages - asleep.messages };
}

export function tellSockets(count: number, floor: Figures, sluice: Figures): void {
  const kb = (bytes: number) => `${(bytes / 1_024).toFixed(1)} KB`;
  const [theirs, ours] = [median(floor.reachMs), median(sluice.reachMs)];
  console.log(`${count} sockets of one sleeping mailbox`);
  console.log(
    `  memory per socket over that of a bare object: ${(sluice.bytes / floor.bytes).toFixed(2)} (${kb(sluice.bytes)} / ${kb(floor.bytes)})`,
  );
  console.log(
    `  time until an event has reached all of them, from its submit, over a send by a bare object: ${(ours / theirs).toFixed(2)} (${ours.toFixed(0)} ms / ${theirs.toFixed(0)} ms)`,
  );
  console.log(`  ${count} pings: ${sluice.wakes} wake-ups, ${sluice.messages} messages to the object`);
}

/** Resident memory, bytes. */
function memory({ pid }: Runtime): number {
  return Number(/VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))![1]) * 1_024;
}
