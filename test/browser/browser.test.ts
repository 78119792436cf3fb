import { expect, test } from "vitest";
import { Sluice } from "../../client/index.ts";
import { ended, job, submitAll } from "../e2e/support/client.ts";
import { openLine } from "../e2e/support/line.ts";
import { enforced, pools, startService } from "../e2e/support/service.ts";
import { openBrowser, servePage } from "./support.ts";

/** Two jobs at once, then two a second. */
const BUDGET = { rpm: 120, tpm: 10_000_000, burst_seconds: 1 };

/** The token that a backend gives its page: it may read its own channel, and submit to it. */
async function browserToken(service: { url: string }): Promise<string> {
  const { token } = await new Sluice({ url: service.url, token: "sk-dev-alice" }).createToken({
    channels: ["page"],
    actions: ["read", "submit"],
  });
  return token;
}

test("a page of another origin submits, sees its place fall and its text grow, loses its connection -> comes back and shows the whole text once", async () => {
  const service = await startService({
    vars: { SLUICE_POOLS: pools(BUDGET), SIMULATOR_SETTINGS: JSON.stringify({ speed: 1, ...enforced(BUDGET) }) },
  });
  const line = await openLine(service.port);
  const messages = [{ role: "user", content: "Tell a story." }];
  const request = { model: "gpt-5-mini", max_completion_tokens: 400, messages, metadata: { simulate_tokens: "250" } };
  const page = await (await openBrowser()).newPage();
  const complaints: string[] = [];
  page.on("pageerror", (error) => complaints.push(error.message));
  // Submitted as late as possible: these jobs must still be ahead of the page's job when it comes.
  await submitAll(
    service,
    Array.from({ length: 14 }, () => job({ channel: "others" }, { max_completion_tokens: 5 })),
  );
  await page.goto(await servePage({ job: { url: line.url, channel: "page", request }, token: () => browserToken(service) }));
  const shown = (id: string) => page.locator(`#${id}`).textContent();

  await page.waitForFunction(() => (document.getElementById("text")?.textContent ?? "").length > 100);
  line.cut();
  await page.waitForFunction(() => document.getElementById("connection")?.textContent === "open lost");
  const before = (await shown("text")) ?? "";
  line.mend();
  await page.waitForFunction(() => document.getElementById("status")?.textContent === "ended");

  const done = await ended(service, await page.evaluate(() => (window as unknown as { job: string }).job));
  const text = (done.response as { choices: { message: { content: string } }[] }).choices[0]!.message.content;
  // The text was cut off in the middle, and the job did not have to start over.
  expect(before.length).toBeLessThan(text.length);
  expect(text.startsWith(before)).toBe(true);
  expect(await shown("text")).toBe(text);
  expect(await shown("connection")).toMatch(/^open lost( open lost)* open$/);
  expect(done).toMatchObject({ status: "completed", attempts: 1 });
  const positions = ((await shown("positions")) ?? "").split(" ").map(Number);
  expect(positions.length).toBeGreaterThan(2);
  expect(positions).toEqual([...new Set(positions)].sort((a, b) => b - a));
  expect(complaints).toEqual([]);
});
