/** A subscription that the service refuses, as a page sees it: a browser's WebSocket does not say why it does not open. */
import { afterEach, beforeEach, expect, it } from "vitest";
import { Sluice } from "../../client/index.ts";
import { call, send } from "../support/service.ts";
import { cleared } from "../support/stand.ts";
import { resetWorld } from "../support/world.ts";

beforeEach(resetWorld);
afterEach(cleared);

/** A browser's WebSocket, through the service's own door. */
class PageSocket extends EventTarget {
  readyState = 0;
  #socket: WebSocket | null = null;

  constructor(url: string, protocols: string[]) {
    super();
    void this.#open(url.replace("ws://sluice", ""), protocols);
  }

  async #open(path: string, protocols: string[]) {
    const { webSocket } = await send(path, { headers: { upgrade: "websocket", "sec-websocket-protocol": protocols.join(", ") } });
    if (!webSocket) {
      this.#over();
      return;
    }
    this.#socket = webSocket;
    webSocket.accept();
    this.readyState = 1;
    webSocket.addEventListener("message", ({ data }) => this.dispatchEvent(new MessageEvent("message", { data })));
    webSocket.addEventListener("close", () => this.#over());
    this.dispatchEvent(new Event("open"));
  }

  send(text: string) {
    this.#socket?.send(text);
  }

  close() {
    this.readyState = 3;
    this.#socket?.close(1000);
  }

  #over() {
    this.readyState = 3;
    this.dispatchEvent(new Event("close"));
  }
}

function page(token: string): Sluice {
  return new Sluice({
    url: "http://sluice",
    token,
    fetch: (url, init) => send(url.replace("http://sluice", ""), init),
    WebSocket: PageSocket as unknown as new (url: string, protocols: string[]) => WebSocket,
  });
}

async function tokenOf(more: object): Promise<string> {
  return (await call<{ token: string }>("POST", "/v1/tokens", { actions: ["read"], ...more })).body.token;
}

it("by a token for another channel -> PermissionError", async () => {
  const events = page(await tokenOf({ channels: ["mine"] })).subscribe("other");
  await expect(events.next()).rejects.toMatchObject({ name: "PermissionError", code: "channel_not_allowed" });
  await expect(events.ready).rejects.toMatchObject({ name: "PermissionError" });
});

it("of a channel that cannot be -> BadRequestError", async () => {
  const events = page("sk-dev-alice").subscribe("~x");
  await expect(events.next()).rejects.toMatchObject({ name: "BadRequestError", param: "channel" });
});

it.each(["a channel", "a job's stream"])("by a token that was revoked, %s -> AuthenticationError", async (what) => {
  const token = await tokenOf({ channels: ["mine"] });
  await call("POST", "/v1/tokens/revoke", { token });
  const events = what === "a channel" ? page(token).subscribe("mine") : page(token).stream("j");
  await expect(events.next()).rejects.toMatchObject({ name: "AuthenticationError", code: "token_revoked" });
});

it("by a token that is revoked while it stands -> AuthenticationError", async () => {
  const token = await tokenOf({ channels: ["mine"] });
  const events = page(token).subscribe("mine");
  await events.ready;
  const next = events.next().catch((error: Error) => error);
  await call("POST", "/v1/tokens/revoke", { token });
  expect(await next).toMatchObject({ name: "AuthenticationError", code: "token_revoked" });
});
