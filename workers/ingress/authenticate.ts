/** Who is calling. Keys are known only by their SHA-256. */
import type { Key, Settings } from "../../platform/settings.ts";
import { grantMay, keyMay, type Need } from "../../policy/grant.ts";
import type { Problem } from "../../schemas/problem.ts";
import { BEARER_SUBPROTOCOL_PREFIX } from "../../schemas/socket.ts";
import type { Grant } from "../../schemas/token.ts";
import { looksLikeToken, verifyToken } from "./tokens.ts";

export type Caller = { ok: true; key: Key; keyHash: string; grant: Grant | null } | { ok: false; problem: Problem };

/** Checks the bearer key or token, and whether it opens this door. `now` in ms. */
export async function authenticate(request: Request, settings: Settings, need: Need, now: number): Promise<Caller> {
  const token = bearerOf(request);
  if (token === null) {
    return refused(
      401,
      "You didn't provide an API key. Send it in an Authorization header: `Authorization: Bearer YOUR_KEY`.",
      "missing_api_key",
    );
  }
  const known = await keyOf(token, settings);
  if (!known)
    return looksLikeToken(token) ? byToken(token, settings, need, now) : refused(401, "Incorrect API key provided.", "invalid_api_key");
  const { hash, key } = known;
  if (!keyMay(key.roles, need)) return refused(403, `This key may not ${VERB[need]}.`, "insufficient_permissions");
  return { ok: true, key, keyHash: hash, grant: null };
}

const VERB: Record<Need, string> = { submit: "submit", read: "read", operate: "operate", cancel: "cancel", mint: "create tokens" };

async function byToken(token: string, settings: Settings, need: Need, now: number): Promise<Caller> {
  const verified = await verifyToken(settings, token, now);
  if (!verified.ok) {
    if (verified.reason === "expired") return refused(401, "The token has expired.", "token_expired");
    return refused(401, "Incorrect token provided.", "invalid_token");
  }
  const { grant, key } = verified;
  if (!grantMay(grant, key.roles, need)) return refused(403, `This token may not ${VERB[need]}.`, "insufficient_permissions");
  return { ok: true, key, keyHash: "", grant };
}

/** Keys remembered per settings, so that a busy client's key is hashed only once per isolate. */
const REMEMBERED = 1_000;
type Known = { key: Key; hash: string };
const remembered = new WeakMap<Settings, Map<string, Known>>();

async function keyOf(token: string, settings: Settings): Promise<Known | undefined> {
  const all = remembered.get(settings) ?? new Map<string, Known>();
  remembered.set(settings, all);
  const known = all.get(token);
  if (known) return known;
  const hash = await sha256(token);
  const key = settings.keys.get(hash);
  if (!key) return undefined;
  if (all.size < REMEMBERED) all.set(token, { key, hash });
  return { key, hash };
}

/** From the header, or from the subprotocol pair of a browser's WebSocket. Never from the URL: URLs get logged. */
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
