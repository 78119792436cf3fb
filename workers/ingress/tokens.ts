/** Browser tokens, signed with a secret of the deployment so that checking them needs no look-up. */
import { errors, jwtVerify, SignJWT } from "jose";
import { newNonce } from "../../platform/ids.ts";
import type { Key, Settings } from "../../platform/settings.ts";
import { Grant, KEY_ID_DIGITS, TOKEN_LIMIT } from "../../schemas/token.ts";

const ALGORITHM = "HS256";
const ISSUER = "sluice";
const AUDIENCE = "sluice.browser";

/** Three base64url parts: anything of this shape is worth verifying. */
const SHAPE = /^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*$/;

export const looksLikeToken = (text: string): boolean => SHAPE.test(text);

export type Verified = { ok: true; grant: Grant; key: Key } | { ok: false; reason: "expired" | "invalid" };

/** Expiry has a resolution of one second. */
export function signToken(secret: string, grant: Grant, now: number): Promise<string> {
  const { expiresAt, ...claims } = grant;
  return new SignJWT({ grant: claims })
    .setProtectedHeader({ alg: ALGORITHM, typ: "JWT" })
    .setIssuer(ISSUER)
    .setAudience(AUDIENCE)
    .setIssuedAt(Math.floor(now / 1_000))
    .setExpirationTime(expiresAt / 1_000)
    .sign(secretBytes(secret));
}

/**
 * A new token of a key, valid for `seconds` from `now` (ms). `expires_at`: Unix seconds.
 * @param keyHash - the SHA-256 of the key that makes it.
 */
export async function mint(
  secret: string,
  keyHash: string,
  allowed: Omit<Grant, "key" | "id" | "expiresAt">,
  seconds: number,
  now: number,
): Promise<{ token: string; expires_at: number }> {
  const expiresAt = (Math.floor(now / 1_000) + seconds) * 1_000;
  const grant: Grant = { ...allowed, key: keyHash.slice(0, KEY_ID_DIGITS), id: newNonce(), expiresAt };
  return { token: await signToken(secret, grant, now), expires_at: expiresAt / 1_000 };
}

/** `now` in ms. A token is invalid once its key is no longer in the settings. */
export async function verifyToken(settings: Settings, token: string, now: number): Promise<Verified> {
  if (settings.tokenSecret === null || token.length > TOKEN_LIMIT) return { ok: false, reason: "invalid" };
  try {
    const { payload } = await jwtVerify(token, secretBytes(settings.tokenSecret), {
      algorithms: [ALGORITHM],
      issuer: ISSUER,
      audience: AUDIENCE,
      requiredClaims: ["exp"],
      currentDate: new Date(now),
    });
    const claims = Grant.safeParse(payload.grant);
    const key = claims.success ? keyById(settings, claims.data.key) : null;
    if (!claims.success || !key) return { ok: false, reason: "invalid" };
    return { ok: true, key, grant: { ...claims.data, expiresAt: payload.exp! * 1_000 } };
  } catch (error) {
    // Only reported as expired if its signature is valid.
    return { ok: false, reason: error instanceof errors.JWTExpired ? "expired" : "invalid" };
  }
}

function keyById(settings: Settings, id: string): Key | null {
  for (const [hash, key] of settings.keys) if (hash.slice(0, KEY_ID_DIGITS) === id) return key;
  return null;
}

function secretBytes(secret: string): Uint8Array {
  return new TextEncoder().encode(secret);
}
