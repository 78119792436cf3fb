import { DEVELOPMENT_WEBHOOK_SECRET } from "../platform/settings.ts";
import type { Plan } from "./environment.ts";

const JOB = { request: { model: "gpt-5-mini", messages: [{ role: "user", content: "Say hello." }] } };

export function banner(url: string, { developmentKeys, exposed, upstream, state }: Plan): string {
  const key = developmentKeys ? "sk-dev-alice" : "YOUR_KEY";
  const lines = [
    "",
    "  Sluice is up.",
    "",
    `  jobs        ${url}/v1/jobs`,
    `  WebSocket   ${url.replace(/^http/, "ws")}/v1/subscribe`,
    `  queue       ${url}/v1/queue`,
    `  operators   ${url}/ in a browser`,
    `  upstream    ${upstream}`,
    `  state       ${state}`,
    developmentKeys
      ? "  keys        sk-dev-alice, sk-dev-bob (submit and read), sk-dev-operator (operate)"
      : "  keys        as set in SLUICE_KEYS",
    ...(developmentKeys ? [`  webhooks    signed with ${DEVELOPMENT_WEBHOOK_SECRET}, which is public`] : []),
    ...(exposed ? ["", "  WARNING: the development keys, which are public, are accepted from other machines."] : []),
    "",
    "  Try:",
    "",
    `  curl -sS ${url}/v1/jobs -H 'authorization: Bearer ${key}' -H 'content-type: application/json' -d '${JSON.stringify(JOB)}'`,
    "",
  ];
  return lines.join("\n");
}
