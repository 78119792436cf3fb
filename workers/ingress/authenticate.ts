/** Who asks. A key is known by its SHA-256 alone. */
import type { Key, Settings } from "../../platform/settings.ts";
import type { Problem } from "../../schemas/problem.ts";
import type { Role } from "../../schemas/settings.ts";
import { BEARER_SUBPROTOCOL_PREFIX } from "../../schemas/socket.ts";

export type Caller = { ok: true; key: Key } | { ok: false; problem: Problem };

/** Checks the bearer key, and that it has the role. */
export async function authenticate(request: Request, settings: Settings, role: Role): Promise<Caller> {
  const token = bearerOf(request);
  if (token === null) {
    return refused(
      401,
      "You didn't provide an API key. Send it in an Authorization header: `Authorization: Bearer YOUR_KEY`.",
      "missing_api_key",
    );
  }
  const key = await keyOf(token, settings);
  if (!key) return refused(401, "Incorrect API key provided.", "invalid_api_key");
  if (!key.roles.includes(role)) return refused(403, `This key may not ${role}.`, "insufficient_permissions");
  return { ok: true, key };
}

/** Tokens remembered for each settings, so that a busy client's key is hashed once in this isolate's life. */
const REMEMBERED = 1_000;
const remembered = new WeakMap<Settings, Map<string, Key>>();

async function keyOf(token: string, settings: Settings): Promise<Key | undefined> {
  const known = remembered.get(settings) ?? new Map<string, Key>();
  remembered.set(settings, known);
  const key = known.get(token) ?? settings.keys.get(await sha256(token));
  if (key && known.size < REMEMBERED) known.set(token, key);
  return key;
}

/** From the header, or for a browser's WebSocket from the subprotocol pair. Never from the URL: URLs are logged. */
function bearerOf(request: Request): string | null {
  const header = /^Bearer\s+(\S+)$/i.exec(request.headers.get("authorization") ?? "");
  if (header) return header[1]!;
  const offered = (request.headers.get("sec-websocket-protocol") ?? "").split(",").map((each) => each.trim());
  const pair = offered.find((each) => each.startsWith(BEARER_SUBPROTOCOL_PREFIX));
  return pair ? pair.slice(BEARER_SUBPROTOCOL_PREFIX.length) : null;
}

export async function sha256(text: string): Promise<string> {
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text));
  return [...new Uint8Array(digest)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

function refused(status: number, message: string, code: string): Caller {
  return { ok: false, problem: { status, type: status === 401 ? "authentication_error" : "permission_error", code, message, param: null } };
}
