/** Jobs streamed at once, each to a socket of its own: how long a word is on its way, over the same stream read directly. */
import type { Bundle } from "../../scripts/runtime.ts";
import { quantile } from "../statistics.ts";
import { lanes, PROTOCOLS, startSluice, submit } from "./start.ts";
import { clock, type Wish } from "./upstream.ts";

export type Latencies = { direct: number[]; sluice: number[] };
type Stamped = { stamp?: number };

const wishOf = (index: number, words: number, everyMs: number): Wish => ({ words, everyMs, name: `j${index}` });

export async function measureLatency(bundle: Bundle, upstream: string, jobs: number, words: number, everyMs: number): Promise<Latencies> {
  const direct: number[] = [];
  await lanes(jobs, jobs, async (index) => {
    const content = JSON.stringify(wishOf(index, words, everyMs));
    const body = JSON.stringify({ stream: true, messages: [{ role: "user", content }] });
    const response = await fetch(`${upstream}/v1/chat/completions`, { method: "POST", body });
    let rest = "";
    for await (const text of response.body!.pipeThrough(new TextDecoderStream())) {
      const at = clock();
      const lines = (rest + text).split("\n\n");
      rest = lines.pop()!;
      for (const line of lines) if (line.startsWith("data: {")) note(direct, [JSON.parse(line.slice(6)) as Stamped], at);
    }
  });
  const runtime = await startSluice(bundle, upstream, { state: null, port: 0 });
  const sluice: number[] = [];
  const ends: Promise<void>[] = [];
  await lanes(jobs, 50, async (index) => {
    const channel = `c${index}`;
    const socket = new WebSocket(`${runtime.url.replace("http", "ws")}/v1/subscribe?channel=${channel}`, PROTOCOLS);
    await new Promise((open) => {
      socket.onopen = open;
    });
    let subscribed = () => {};
    const ready = new Promise<void>((done) => {
      subscribed = done;
    });
    ends.push(
      new Promise((ended) => {
        socket.onmessage = ({ data }) => {
          const at = clock();
          const frame = JSON.parse(String(data)) as { type: string; event?: string; data?: { chunks?: Stamped[] } };
          if (frame.type === "subscribed") subscribed();
          if (frame.event === "delta") note(sluice, frame.data!.chunks!, at);
          if (frame.event === "completed") {
            socket.close();
            ended();
          }
        };
      }),
    );
    socket.send(JSON.stringify({ type: "subscribe", channel, deltas: true }));
    await ready;
  });
  await lanes(jobs, 50, async (index) => void (await submit(runtime, wishOf(index, words, everyMs), { channel: `c${index}` })));
  await Promise.all(ends);
  await runtime.stop();
  return { direct, sluice };
}

function note(latencies: number[], chunks: Stamped[], at: number): void {
  for (const { stamp } of chunks) if (stamp !== undefined) latencies.push(at - stamp);
}

export function tellLatency(jobs: number, everyMs: number, { direct, sluice }: Latencies): void {
  console.log(
    `${jobs} jobs streamed at once to ${jobs} sockets, one word every ${everyMs} ms: ${sluice.length} words measured (${direct.length} directly)`,
  );
  for (const q of [0.5, 0.99]) {
    const [ours, theirs] = [quantile(sluice, q), quantile(direct, q)];
    console.log(
      `  latency of a word, p${q * 100}: ${(ours - theirs).toFixed(1)} ms more than directly from upstream, ${(ours / theirs).toFixed(1)} times (${ours.toFixed(1)} ms / ${theirs.toFixed(1)} ms)`,
    );
  }
}
