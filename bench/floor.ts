/** The least that anybody could do: objects of a few lines, run in the same process beside Sluice. */
import { DurableObject } from "cloudflare:workers";

export type FloorEnv = { FLOOR: DurableObjectNamespace<Floor>; HALL: DurableObjectNamespace<Hall>; UPSTREAM: string };

export class Floor extends DurableObject<FloorEnv> {
  constructor(ctx: DurableObjectState, env: FloorEnv) {
    super(ctx, env);
    ctx.storage.sql.exec("CREATE TABLE IF NOT EXISTS rows (n INTEGER PRIMARY KEY, body TEXT)");
  }

  /** A durable insert of its own: what a submit costs when nothing is shared. */
  insert(body: string): void {
    this.ctx.storage.sql.exec("INSERT INTO rows (body) VALUES (?)", body);
  }

  /** A bare multi-row insert in one message. */
  insertMany(bodies: string[]): void {
    for (const body of bodies) this.ctx.storage.sql.exec("INSERT INTO rows (body) VALUES (?)", body);
  }

  /** Worker -> object -> upstream. It stores nothing; of `durable` it writes the call before it makes it and its answer before it gives it: the least that a crash may cost. */
  override async fetch(request: Request): Promise<Response> {
    const body = (await request.json()) as Record<string, unknown>;
    const durable = new URL(request.url).pathname.endsWith("/durable");
    // What is sent after a write waits for its commit.
    if (durable)
      this.ctx.storage.sql.exec(
        "INSERT INTO rows (n, body) VALUES (1, ?) ON CONFLICT DO UPDATE SET body = excluded.body",
        JSON.stringify(body),
      );
    const answer = await fetch(`${this.env.UPSTREAM}/v1/chat/completions`, {
      method: "POST",
      body: JSON.stringify({ ...body, stream: true }),
    });
    if (!durable) return answer;
    const text = await answer.text();
    this.ctx.storage.sql.exec("UPDATE rows SET body = ? WHERE n = 1", text);
    return new Response(text, answer);
  }
}

/** Sockets that sleep: what accepts them, and sends to all. */
export class Hall extends DurableObject {
  override async fetch(request: Request): Promise<Response> {
    if (request.headers.get("upgrade") !== "websocket") {
      for (const socket of this.ctx.getWebSockets()) socket.send("told");
      return new Response();
    }
    this.ctx.setWebSocketAutoResponse(new WebSocketRequestResponsePair("ping", "pong"));
    const pair = new WebSocketPair();
    this.ctx.acceptWebSocket(pair[1]);
    return new Response(null, { status: 101, webSocket: pair[0], headers: { "sec-websocket-protocol": "sluice.v1" } });
  }
}
