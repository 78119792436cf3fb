/** The operators' page of a running service, in a browser. */
import type { Page } from "playwright-core";
import { expect, test } from "vitest";
import { job, submitAll } from "../e2e/support/client.ts";
import { openLine } from "../e2e/support/line.ts";
import { callsTo, enforced, pools, startService } from "../e2e/support/service.ts";
import { startUpstream } from "../e2e/support/upstream.ts";
import { openBrowser } from "./support.ts";

const BUDGET = { rpm: 10_000, tpm: 10_000_000 };
/** The simulator has the same limits, because the service would follow lower ones in its headers. */
const VARS = { SLUICE_POOLS: pools(BUDGET), SIMULATOR_SETTINGS: JSON.stringify(enforced({ ...BUDGET, burst_seconds: 60 })) };
const OPERATOR = "sk-dev-operator";

/** The page, and the browser's complaints: breaches of the content security policy, and uncaught errors. */
async function openPage(url: string): Promise<{ page: Page; complaints: string[] }> {
  const page = await (await openBrowser()).newPage();
  const complaints: string[] = [];
  page.on("pageerror", (error) => complaints.push(error.message));
  page.on("console", (said) => {
    if (/content security policy|trusted ?type/i.test(said.text())) complaints.push(said.text());
  });
  await page.goto(url);
  return { page, complaints };
}

async function enter(page: Page, key: string): Promise<void> {
  await page.getByLabel("Key", { exact: true }).fill(key);
  await page.getByRole("button", { name: "Open" }).click();
}

const card = (page: Page, pool: string) => page.getByRole("article", { name: pool, exact: true });
const press = (page: Page, name: string | RegExp) => page.getByRole("button", { name, exact: true }).click();
const shows = async (page: Page, pool: string, text: string | RegExp) => card(page, pool).filter({ hasText: text }).waitFor();
const told = (page: Page, text: string) => page.getByText(text, { exact: true }).waitFor();
/** Waits for the message about what was done. */
const said = (page: Page, text: string) => page.locator("#said", { hasText: text }).waitFor();

test("an operator enters a key, sees the queue change, pauses and resumes a pool, sets a limit; the page finds back to a service that was gone", async () => {
  const service = await startService({ vars: VARS });
  const line = await openLine(service.port);
  const { complaints, page } = await openPage(line.url);

  await enter(page, "sk-nobody");
  await told(page, "The service does not know this key.");
  await enter(page, "sk-dev-alice");
  await told(page, "This key does not have the role operate: use one that does.");
  await enter(page, OPERATOR);
  await shows(page, "gpt-5-mini", /normal.*Queued0/);
  await told(page, "Live");

  await press(page, "Pause pool gpt-5-mini");
  await page.getByText("No new calls of this pool start.").waitFor();
  // Enter, pressed too early, cancels.
  await page.keyboard.press("Enter");
  await page.getByRole("dialog").waitFor({ state: "hidden" });
  await shows(page, "gpt-5-mini", "normal");
  await press(page, "Pause pool gpt-5-mini");
  await page.getByRole("dialog").getByRole("button", { name: "Pause pool gpt-5-mini" }).click();
  await said(page, "Pool gpt-5-mini is paused.");
  await shows(page, "gpt-5-mini", /Paused by an operator/);

  await submitAll(
    service,
    Array.from({ length: 7 }, () => job()),
  );
  await shows(page, "gpt-5-mini", /Queued7/);
  await card(page, "gpt-5-mini").getByRole("button", { name: "Manage tenant alice" }).waitFor();

  line.cut();
  await page.getByText(/^Reconnecting/).waitFor();
  line.mend();
  await told(page, "Live");

  await press(page, "Resume pool gpt-5-mini");
  await page.getByRole("dialog").getByRole("button", { name: "Resume pool gpt-5-mini" }).click();
  await shows(page, "gpt-5-mini", /normal.*Queued0/);

  await press(page, "Limits pool gpt-5-mini");
  const rpm = page.getByRole("textbox", { name: "Requests per minute" });
  await rpm.fill("many");
  await page.keyboard.press("Enter");
  await told(page, "Requests per minute: enter a number above 0.");
  await rpm.fill("4,321");
  await page.keyboard.press("Enter");
  await told(page, "Requests per minute: 10,000 → 4,321.");
  await told(page, "No job of this pool is waiting.");
  await press(page, "Set");
  await shows(page, "gpt-5-mini", /of 4,321.*set by an operator: requests per minute 4,321/);
  const set = await fetch(`${service.url}/v1/pools/gpt-5-mini`, { headers: { authorization: `Bearer ${OPERATOR}` } });
  expect(await set.json()).toMatchObject({ limits: { rpm: 4_321 }, overrides: { rpm: 4_321 } });

  // The key is kept for this tab until the user has it forgotten.
  await page.reload();
  await told(page, "Live");
  await press(page, "Forget the key");
  await page.getByLabel("Key", { exact: true }).waitFor();
  expect(await page.evaluate(() => sessionStorage.length + localStorage.length + document.cookie.length)).toBe(0);
  expect(complaints).toEqual([]);
});

test("a tenant that is held and weighs more -> is shown so, and let go again", async () => {
  const service = await startService({ vars: VARS });
  const { complaints, page } = await openPage(service.url);
  await enter(page, OPERATOR);
  const dialog = page.getByRole("dialog");
  const find = async (tenant: string) => {
    await page.getByLabel("Any tenant, by name").fill(tenant);
    await press(page, "Manage…");
  };
  await find("nobody");
  await dialog.getByText('No key names a tenant "nobody".').waitFor();
  await page.keyboard.press("Escape");
  await find("bob");
  await dialog.getByRole("button", { name: "Pause" }).click();
  await dialog.getByRole("button", { name: "Pause tenant bob" }).click();
  await said(page, "Tenant bob is paused.");
  await press(page, "Manage tenant bob");
  await dialog.getByLabel("Weight").fill("2.5");
  await page.keyboard.press("Enter");
  await dialog.getByRole("button", { name: "Set" }).click();
  await told(page, "paused: none of its jobs start; set by an operator: weight 2.5");
  await press(page, "Resume everything");
  await dialog.getByRole("button", { name: "Resume everything" }).click();
  await told(page, "set by an operator: weight 2.5");
  await press(page, "Manage tenant bob");
  await dialog.getByRole("button", { name: "Reset…" }).click();
  await dialog.getByRole("button", { name: "Reset", exact: true }).click();
  await page.getByRole("button", { name: "Manage tenant bob" }).waitFor({ state: "detached" });
  expect(complaints).toEqual([]);
});

test("out of sight for a minute -> the page asks nothing any more; in sight again -> it is live", async () => {
  const service = await startService({ vars: VARS });
  const { page } = await openPage(service.url);
  await page.clock.install();
  await page.reload();
  await enter(page, OPERATOR);
  await told(page, "Live");
  const turn = (hidden: boolean) =>
    page.evaluate((now) => {
      Object.defineProperty(document, "hidden", { value: now, configurable: true });
      document.dispatchEvent(new Event("visibilitychange"));
    }, hidden);
  await turn(true);
  await page.clock.runFor(59_000);
  await told(page, "Live");
  await page.clock.runFor(2_000);
  await told(page, "Resting: this page was out of sight");
  await turn(false);
  await told(page, "Live");
});

/** Sets `window.hurt` if any of it is treated as markup. */
const MARKUP = '<img src="x:" onerror="window.hurt=1"><script>window.hurt=1</script>';

test("names and messages that are markup -> are shown as they are written, and do nothing", async () => {
  const upstream = await startUpstream((_, response) => {
    response.writeHead(400, { "content-type": "application/json" });
    response.end(JSON.stringify({ error: { message: MARKUP, type: "invalid_request_error", code: "nonsense", param: null } }));
  });
  const hostile = MARKUP.slice(0, 45);
  const all = JSON.stringify({ [hostile]: { models: ["gpt-5-mini*"], ...BUDGET }, default: BUDGET });
  const service = await startService({ vars: { SLUICE_POOLS: all, ...callsTo(upstream) } });
  await submitAll(service, [job()]);
  const { complaints, page } = await openPage(service.url);
  // No key names such a tenant, so the stream's answer is faked to contain one.
  await page.route("**/v1/queue/stream", async (route) => {
    const headers = { authorization: `Bearer ${OPERATOR}` };
    const state = await (await fetch(`${service.url}/v1/queue`, { headers })).json();
    state.pools[0].tenants = [{ id: MARKUP, depth: 1, in_flight: 0, weight: 1, oldest_wait_seconds: 1 }];
    state.paused_tenants = [MARKUP];
    await route.fulfill({ contentType: "text/event-stream", body: `event: queue\ndata: ${JSON.stringify(state)}\n\n` });
  });
  await enter(page, OPERATOR);
  await shows(page, hostile, MARKUP);
  await page.getByText(`Tenant ${MARKUP} is paused.`).waitFor();
  const asked = page.waitForRequest(/\/v1\/tenants\//);
  await card(page, hostile)
    .getByRole("button", { name: `Manage tenant ${MARKUP}` })
    .click();
  expect((await asked).url()).toBe(`${service.url}/v1/tenants/${encodeURIComponent(MARKUP)}`);
  await page.getByRole("dialog").getByText(`No key names a tenant "${MARKUP}".`).waitFor();
  await page.keyboard.press("Escape");
  await press(page, `Limits pool ${hostile}`);
  await page.getByRole("heading", { name: `Limits of pool ${hostile}` }).waitFor();
  await page.keyboard.press("Escape");

  await press(page, "Refresh");
  const letter = page.getByRole("listitem").filter({ hasText: `nonsense: ${MARKUP}` });
  await letter.getByRole("button").click();
  await press(page, "Redrive");
  await page.getByText(/^The new job is job_/).waitFor();
  expect(await page.evaluate(() => ({ hurt: "hurt" in window, made: document.querySelectorAll("img, i, main script").length }))).toEqual({
    hurt: false,
    made: 0,
  });
  expect(complaints).toEqual([]);
});
