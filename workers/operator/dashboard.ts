/// <reference path="../../dashboard/built.d.ts" />
/**
 * `GET /`: the operators' page for a browser; for other clients, where to go on. The page needs no key to be shown, and asks for one itself.
 */
import { page } from "../../dashboard/dist/page.js";
import { json } from "../ingress/respond.ts";

const HEADERS = {
  "content-type": "text/html; charset=utf-8",
  "content-security-policy": page.policy,
  // A page must match its policy, and a deployment changes both.
  "cache-control": "no-store",
  "cross-origin-opener-policy": "same-origin",
  "referrer-policy": "no-referrer",
  "x-content-type-options": "nosniff",
  // For browsers that do not know `frame-ancestors`.
  "x-frame-options": "DENY",
  vary: "accept",
};

export function getDashboard({ headers }: Request): Response {
  if (wantsPage(headers.get("accept") ?? "")) return new Response(page.html, { headers: HEADERS });
  return json({ object: "service", name: "sluice", description: "/openapi.json", health: "/healthz" }, 200, { vary: "accept" });
}

/** A browser names the type. curl and most clients accept anything, which is not a request for a page. */
function wantsPage(accept: string): boolean {
  return accept
    .toLowerCase()
    .split(",")
    .some((range) => /^\s*text\/html\s*(;|$)/.test(range) && !/;\s*q=0(\.0*)?\s*(;|$)/.test(range));
}
