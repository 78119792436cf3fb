/** Signatures by the Standard Webhooks specification. */
import { signedContent } from "../../policy/webhook/event.ts";

const PREFIX = "whsec_";

/** The headers of one attempt at `at` (Unix seconds), with a signature for each secret: a receiver needs one that it can verify. */
export async function signedHeaders(secrets: readonly string[], id: string, at: number, body: string): Promise<Record<string, string>> {
  const content = new TextEncoder().encode(signedContent(id, at, body));
  const signatures = await Promise.all(secrets.map((secret) => sign(secret, content)));
  return {
    "content-type": "application/json",
    "user-agent": "Sluice",
    "webhook-id": id,
    "webhook-timestamp": String(at),
    "webhook-signature": signatures.join(" "),
  };
}

async function sign(secret: string, content: Uint8Array): Promise<string> {
  const bytes = Uint8Array.from(atob(secret.slice(PREFIX.length)), (each) => each.charCodeAt(0));
  const key = await crypto.subtle.importKey("raw", bytes, { name: "HMAC", hash: "SHA-256" }, false, ["sign"]);
  const mac = new Uint8Array(await crypto.subtle.sign("HMAC", key, content));
  return `v1,${btoa(String.fromCharCode(...mac))}`;
}
