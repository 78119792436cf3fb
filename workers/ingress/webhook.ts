import type { Key, Settings } from "../../platform/settings.ts";
import { targetFault } from "../../policy/webhook/target.ts";
import type { Problem } from "../../schemas/problem.ts";
import { invalid } from "./respond.ts";

/** The webhook's URL in canonical form, or a problem: it must be a URL that may be called, and the tenant must have a signing secret. */
export function webhookOf(
  { webhook }: { webhook?: string | null | undefined },
  { tenant }: Key,
  { local, webhookSecrets }: Settings,
): { ok: true; url: string | null } | { ok: false; problem: Problem } {
  if (webhook == null) return { ok: true, url: null };
  const url = URL.parse(webhook);
  const fault = url ? targetFault(url, local) : "is not a URL";
  if (!url || fault) return { ok: false, problem: invalid(`webhook ${fault}.`, "webhook", "invalid_webhook") };
  if (!webhookSecrets.has(tenant)) {
    const message = "This tenant has no secret to sign webhooks with: set webhook_secrets for its key in SLUICE_KEYS.";
    return { ok: false, problem: invalid(message, "webhook", "webhook_secret_missing") };
  }
  url.hash = "";
  return { ok: true, url: url.href };
}
