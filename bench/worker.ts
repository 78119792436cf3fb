/** Sluice and the floors in one Worker, and a driver that runs them in turn: same process, same minute. */
import { DurableObject } from "cloudflare:workers";
import * as objects from "../durable-objects/index.ts";
import { type Env, submitTo } from "../platform/objects.ts";
import type { CoordinatorRpc, Submission } from "../schemas/rpc.ts";
import { route } from "../workers/ingress/router.ts";
import { Floor, type FloorEnv, Hall } from "./floor.ts";

export { Floor, Hall };
export class Archive extends objects.Archive {}
export class Batch extends objects.Batch {}

export class Dispatcher extends objects.Dispatcher {
  /** At once, mid-step; what was durable stays. */
  die(): void {
    this.ctx.abort("killed by the bench");
  }
}

export class Coordinator extends objects.Coordinator {
  counts(): { events: number; rows: number } {
    return { events: this.events, rows: this.rowsWritten() };
  }

  die(): void {
    this.ctx.abort("killed by the bench");
  }
}

/** Of all mailboxes: how often one was made, and a message of a client reached one. */
const woken = { wakes: 0, messages: 0 };

export class Mailbox extends objects.Mailbox {
  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    woken.wakes++;
  }

  override webSocketMessage(socket: WebSocket, message: string | ArrayBuffer): Promise<void> {
    woken.messages++;
    return super.webSocketMessage(socket, message);
  }

  rows(): number {
    return this.rowsWritten();
  }

  die(): void {
    this.ctx.abort("killed by the bench");
  }
}

/** An upstream that answers at once: what is left is Sluice's own. */
export class Instant extends DurableObject {
  override async fetch(): Promise<Response> {
    const chunk = (choices: unknown[], more: object = {}) =>
      `data: ${JSON.stringify({ id: "c", object: "chat.completion.chunk", created: 1, model: "m", choices, ...more })}\n\n`;
    const text =
      chunk([{ index: 0, delta: { role: "assistant", content: "ok" }, finish_reason: null }]) +
      chunk([{ index: 0, delta: {}, finish_reason: "stop" }]) +
      chunk([], { usage: { prompt_tokens: 1, completion_tokens: 1, total_tokens: 2 } });
    return new Response(`${text}data: [DONE]\n\n`, { headers: { "content-type": "text/event-stream" } });
  }
}

type BenchEnv = Env & FloorEnv;
const PAYLOAD = "x".repeat(900);

/** Of a pool whose budget lets nothing start: what is measured is the way in. */
const PARKED: Submission = {
  request: JSON.stringify({ model: "parked", messages: [{ role: "user", content: PAYLOAD }] }),
  model: "parked",
  pool: "parked",
  tokens: 300,
  priority: 0,
  notBefore: null,
  deadline: null,
  deadlinePolicy: "strict",
  metadata: null,
  retry: "safe",
  idempotency: null,
  nonce: "aaaaaa",
};

/** Runs `count` calls, `parallel` at a time; answers with the ms that they took together. */
async function timed(count: number, parallel: number, call: () => Promise<unknown>): Promise<number> {
  const began = Date.now();
  let left = count;
  const lane = async () => {
    while (left-- > 0) await call();
  };
  await Promise.all(Array.from({ length: parallel }, lane));
  return Date.now() - began;
}

/** The measured calls by name; each answers with its ms. */
function drivers(env: BenchEnv): Record<string, (count: number, parallel: number) => Promise<number>> {
  const floor = () => env.FLOOR.getByName("floor");
  const submit = (submissions: Submission[]) => submitTo(env, { tenant: "bench", channel: "submit" }, submissions);
  return {
    "floor-insert": (count, parallel) => timed(count, parallel, () => floor().insert(PAYLOAD) as Promise<void>),
    "sluice-submit": (count, parallel) => timed(count, parallel, () => submit([PARKED])),
    "floor-bulk": (count) => {
      const bodies = Array.from({ length: count }, () => PAYLOAD);
      return timed(1, 1, () => floor().insertMany(bodies) as Promise<void>);
    },
    "sluice-bulk": (count) => {
      const submissions = Array.from({ length: count }, () => ({ ...PARKED }));
      return timed(1, 1, () => submit(submissions));
    },
  };
}

async function bench(request: Request, env: BenchEnv): Promise<Response> {
  const url = new URL(request.url);
  if (url.pathname.startsWith("/bench/proxy")) return env.FLOOR.getByName("proxy").fetch(request);
  if (url.pathname === "/bench/counts") {
    const stub = env.COORDINATOR.getByName("account") as unknown as CoordinatorRpc & { counts(): Promise<object> };
    return Response.json(await stub.counts());
  }
  if (url.pathname === "/bench/hall" || url.pathname === "/bench/tell") return env.HALL.getByName("hall").fetch(request);
  if (url.pathname === "/bench/kill") {
    const { kind, name } = Object.fromEntries(url.searchParams) as { kind: "COORDINATOR" | "DISPATCHER" | "MAILBOX"; name: string };
    const stub = env[kind].getByName(name) as unknown as { die(): Promise<void> };
    // Who dies does not answer.
    await stub.die().catch(() => {});
    return new Response();
  }
  if (url.pathname === "/bench/woken") return Response.json(woken);
  const driver = drivers(env)[url.pathname.slice("/bench/".length)];
  if (!driver) return new Response("no such driver", { status: 404 });
  return Response.json({ ms: await driver(Number(url.searchParams.get("count")), Number(url.searchParams.get("parallel") ?? 1)) });
}

export default {
  fetch: (request, env, ctx) => (new URL(request.url).pathname.startsWith("/bench/") ? bench(request, env) : route(request, env, ctx)),
} satisfies ExportedHandler<BenchEnv>;
