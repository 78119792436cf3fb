/** A browser, and a page's own server. */
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { type Browser, chromium } from "playwright-core";
import { onTestFinished } from "vitest";

const root = join(import.meta.dirname, "../..");

/** @throws unless CHROMIUM_PATH names a browser */
export async function openBrowser(): Promise<Browser> {
  const executablePath = process.env.CHROMIUM_PATH;
  if (!executablePath) throw new Error("CHROMIUM_PATH names the browser, e.g. /usr/bin/chromium.");
  // As root, Chromium does not run in its sandbox.
  const browser = await chromium.launch({ executablePath, chromiumSandbox: process.getuid?.() !== 0 });
  onTestFinished(() => browser.close());
  return browser;
}

/** Serves the page, the built client, and what a page's backend would tell it. */
export async function servePage(told: { job: object; token: () => Promise<string> }): Promise<string> {
  const server = createServer(async (request, response) => {
    const path = request.url ?? "/";
    if (path === "/") response.setHeader("content-type", "text/html").end(readFileSync(join(import.meta.dirname, "page.html")));
    else if (path === "/job") response.end(JSON.stringify(told.job));
    else if (path === "/token") response.end(await told.token());
    else if (/^\/client\/[a-z-]+\.js$/.test(path)) {
      response.setHeader("content-type", "text/javascript").end(readFileSync(join(root, "client/dist", path)));
    } else response.writeHead(404).end();
  });
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  onTestFinished(() => void server.close());
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}
