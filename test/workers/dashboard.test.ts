/** `GET /`: the operators' page, and what everybody else gets. */
import { reset } from "cloudflare:test";
import { afterEach, beforeEach, expect, it } from "vitest";
import { hashOf, send } from "../support/service.ts";
import { resetWorld } from "../support/world.ts";

beforeEach(resetWorld);
afterEach(reset);

const BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8";
const get = (accept?: string, method = "GET") => send("/", { method, headers: accept === undefined ? {} : { accept } });

async function base64(text: string): Promise<string> {
  const hex = await hashOf(text);
  return btoa(String.fromCharCode(...hex.match(/../g)!.map((byte) => Number.parseInt(byte, 16))));
}

it("a browser is answered the page, without a key", async () => {
  const page = await get(BROWSER);
  expect([page.status, page.headers.get("content-type")]).toEqual([200, "text/html; charset=utf-8"]);
  const html = await page.text();
  expect(html).toMatch(/^<!doctype html>/);
  // The page loads nothing from elsewhere.
  expect(html).not.toMatch(/<(script|link|img|iframe)[^>]*\s(src|href)="(?!data:)/);
});

it("its policy lets a browser run its own script and style alone, and nobody frame it", async () => {
  const page = await get(BROWSER);
  const policy = page.headers.get("content-security-policy")!.split("; ");
  const html = await page.text();
  const [script, style] = [/<script[^>]*>([\s\S]*)<\/script>/, /<style>([\s\S]*?)<\/style>/].map((each) => each.exec(html)![1]!);
  expect(policy).toContain(`script-src 'sha256-${await base64(script!)}'`);
  expect(policy).toContain(`style-src 'sha256-${await base64(style!)}'`);
  for (const rule of ["default-src 'none'", "connect-src 'self'", "base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'"]) {
    expect(policy).toContain(rule);
  }
  expect(policy).toContain("require-trusted-types-for 'script'");
  expect(html).not.toMatch(/\s(style|on[a-z]+)="/);
  expect(Object.fromEntries(page.headers)).toMatchObject({
    ...{ "cache-control": "no-store", "referrer-policy": "no-referrer", "x-content-type-options": "nosniff", "x-frame-options": "DENY" },
    vary: "accept",
  });
});

it("others are told where to go on, as before", async () => {
  for (const accept of [undefined, "*/*", "application/json", "text/plain", "text/html;q=0, */*", "text/htmlx"]) {
    const answer = await get(accept);
    expect([accept, answer.status, answer.headers.get("vary")]).toEqual([accept, 200, "accept"]);
    expect(await answer.json()).toMatchObject({ object: "service", name: "sluice", health: "/healthz" });
  }
});

it("HEAD -> the headers of either", async () => {
  for (const [accept, type] of [
    [BROWSER, "text/html; charset=utf-8"],
    ["*/*", "application/json; charset=utf-8"],
  ]) {
    const answer = await get(accept, "HEAD");
    expect([answer.status, answer.headers.get("content-type"), await answer.text()]).toEqual([200, type, ""]);
  }
});

it("what else a browser asks for is no page", async () => {
  expect((await send("/index.html", { headers: { accept: BROWSER } })).status).toBe(404);
  expect((await send("/", { method: "POST", headers: { accept: BROWSER } })).status).toBe(404);
});
