import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Account } from "../../bench/stub/account.ts";
import { Bucket } from "../../bench/stub/bucket.ts";
import { openStub, type Stats, type Stub } from "../../bench/stub/server.ts";
import { Window } from "../../bench/stub/window.ts";

const NOW = 1_800_000_000_000;
const MINUTE = 60_000;

describe("the log of the last minute", () => {
  it("an entry stops counting a minute after it was made, not earlier", () => {
    const window = new Window(2, MINUTE);
    window.log(1, NOW);
    window.log(1, NOW + 10_000);
    expect([window.wait(1, NOW + 30_000), window.wait(2, NOW + 30_000)]).toEqual([30_000, 40_000]);
    expect([window.fits(1, NOW + 59_999), window.fits(1, NOW + 60_000), window.fits(2, NOW + 60_000)]).toEqual([false, true, false]);
  });

  it("what is larger than the limit never fits", () => {
    expect(new Window(10, MINUTE).wait(11, NOW)).toBe(Number.POSITIVE_INFINITY);
  });

  it("one of sixty spent is reset in a second, as in the guide's example", () => {
    const window = new Window(60, MINUTE);
    window.log(1, NOW);
    expect(window.resetMs(NOW)).toBe(1_000);
  });
});

describe("the bucket", () => {
  it("holds some seconds of a limit, and refills evenly", () => {
    const bucket = new Bucket(60, 5);
    for (let n = 0; n < 5; n++) bucket.log(1, NOW);
    expect([bucket.fits(1, NOW), bucket.wait(1, NOW), bucket.resetMs(NOW)]).toEqual([false, 1_000, 5_000]);
    expect([bucket.fits(1, NOW + 999), bucket.fits(1, NOW + 1_000), bucket.fits(2, NOW + 1_000)]).toEqual([false, true, false]);
    expect([bucket.fits(5, NOW + 60_000), bucket.fits(6, NOW + 60_000)]).toEqual([true, false]);
  });

  it("what is larger than it never fits", () => {
    expect(new Bucket(60, 5).wait(6, NOW)).toBe(Number.POSITIVE_INFINITY);
  });

  it("refused calls keep it empty, and make no debt", () => {
    const account = new Account({ rpm: 60, tpm: 60_000 }, 2);
    const at = (ms: number) => account.admit(10, null, NOW + ms) === null;
    expect([0, 0, 0, 500, 1_000, 2_000].map(at)).toEqual([true, true, false, false, false, true]);
  });
});

describe("the account", () => {
  const admit = (account: Account, calls: number, at: number) => Array.from({ length: calls }, () => account.admit(10, null, at) === null);

  it("lets no more through in any minute than the limit, and refused calls count", () => {
    const account = new Account({ rpm: 3, tpm: 1_000 });
    expect(admit(account, 4, NOW)).toEqual([true, true, true, false]);
    expect(admit(account, 1, NOW + 30_000)).toEqual([false]);
    // The first minute's calls no longer count, but the one refused after thirty seconds still fills one of the three places.
    expect(admit(account, 3, NOW + 60_000)).toEqual([true, true, false]);
  });

  it("counts the tokens of what it lets through, ours and others'", () => {
    const account = new Account({ rpm: 100, tpm: 35 });
    account.setOthers({ rpm: 1, tpm: 15 }, NOW);
    admit(account, 3, NOW + 1);
    expect(account.counts).toMatchObject({ admitted: 2, tokens: 20, others_admitted: 1, others_tokens: 15 });
  });

  it("names the kind of limit, and when there will be room", () => {
    const account = new Account({ rpm: 100, tpm: 15 });
    account.admit(10, null, NOW);
    expect(account.admit(10, null, NOW + 20_000)).toEqual({ kind: "tokens", per: "min", limit: 15, used: 10, wanted: 10, waitMs: 40_000 });
  });

  it("tells our doing from that of others", () => {
    const account = new Account({ rpm: 10, tpm: 1_000 });
    account.setOthers({ rpm: 6, tpm: 60 }, NOW);
    const later = NOW + 50_000;
    // Six calls of others came, at 0, 10, … 50 seconds, so four places are left. Alone we would have had ten.
    expect(admit(account, 12, later).filter(Boolean)).toHaveLength(4);
    expect(account.counts).toMatchObject({ admitted: 4, others_admitted: 6, foreign_429: 6, own_429: 2 });
    const alone = new Account({ rpm: 10, tpm: 1_000 });
    admit(alone, 12, later);
    expect(alone.counts).toMatchObject({ admitted: 10, foreign_429: 0, own_429: 2 });
  });

  it("a call that others kept out is theirs however often it comes again, and takes one place of ours", () => {
    const account = new Account({ rpm: 2, tpm: 1_000 });
    account.setOthers({ rpm: 6, tpm: 60 }, NOW);
    for (let n = 0; n < 3; n++) account.admit(10, "a", NOW + 20_000);
    account.admit(10, "b", NOW + 20_000);
    expect(account.counts).toMatchObject({ foreign_429: 4, own_429: 0 });
    account.admit(10, "c", NOW + 20_000);
    expect(account.counts).toMatchObject({ foreign_429: 4, own_429: 1 });
  });

  it("a limit that is cut holds at once, and what was spent stays spent", () => {
    const account = new Account({ rpm: 10, tpm: 1_000 });
    admit(account, 6, NOW);
    account.setLimits({ rpm: 5, tpm: 500 });
    expect(admit(account, 1, NOW + 1_000)).toEqual([false]);
    account.setLimits({ rpm: 10, tpm: 1_000 });
    expect(admit(account, 1, NOW + 2_000)).toEqual([true]);
  });

  it("a day's limit is counted beside the minute's, and told in its stead, until there is none", () => {
    const account = new Account({ rpm: 10, tpm: 1_000 });
    admit(account, 2, NOW);
    account.setDay(3);
    expect(admit(account, 4, NOW)).toEqual([true, true, true, false]);
    expect(account.headers(NOW)[0]).toEqual({ kind: "requests", limit: 3, remaining: 0, resetMs: 24 * 60 * MINUTE });
    expect(account.admit(10, null, NOW + 3_600_000)).toMatchObject({ kind: "requests", per: "day", limit: 3 });
    expect(account.counts).toMatchObject({ own_429: 2, foreign_429: 0 });
    account.setDay(null);
    expect(account.headers(NOW + 3_600_000)[0]).toMatchObject({ limit: 10 });
    expect(admit(account, 1, NOW + 3_600_000)).toEqual([true]);
  });

  it("others stop when they are told to", () => {
    const account = new Account({ rpm: 1_000, tpm: 1e6 });
    account.setOthers({ rpm: 60, tpm: 600 }, NOW);
    account.setOthers(null, NOW + 10_000);
    account.advance(NOW + 60_000);
    expect(account.counts.others_admitted).toBe(11);
  });
});

describe("over HTTP", () => {
  let stub: Stub;
  beforeAll(async () => {
    stub = await openStub({ rpm: 1_000, tpm: 1e6 });
  });
  afterAll(() => stub.close());

  const ask = (more: object = {}) =>
    fetch(`${stub.url}/v1/chat/completions`, {
      method: "POST",
      headers: { authorization: "Bearer sk-any" },
      body: JSON.stringify({ model: "m", messages: [{ role: "user", content: "Hello." }], max_completion_tokens: 3, ...more }),
    });
  const control = async (change: object) => (await fetch(`${stub.url}/control`, { method: "POST", body: JSON.stringify(change) })).status;
  const stats = async () => (await (await fetch(`${stub.url}/stats`)).json()) as Stats;
  const broken = (error: unknown) => (error instanceof Error ? "broken" : error);

  it("answers plainly and in a stream that ends with usage and [DONE], with the headers of the guide", async () => {
    const plain = await ask();
    expect(plain.headers.get("x-ratelimit-limit-requests")).toBe("1000");
    expect(Number(plain.headers.get("x-ratelimit-remaining-requests"))).toBeLessThan(1_000);
    expect(await plain.json()).toMatchObject({ choices: [{ message: { content: "so on on" } }], usage: { completion_tokens: 3 } });
    const streamed = await (await ask({ stream: true, stream_options: { include_usage: true } })).text();
    const events = streamed.trim().split("\n\n");
    expect(events.at(-1)).toBe("data: [DONE]");
    expect(JSON.parse(events.at(-2)!.slice(6))).toMatchObject({ choices: [], usage: { completion_tokens: 3 } });
  });

  it("without a key there is no answer", async () => {
    const { status } = await fetch(`${stub.url}/v1/chat/completions`, { method: "POST", body: "{}" });
    expect(status).toBe(401);
  });

  it("what is not JSON is refused, and breaks nothing", async () => {
    const init = { method: "POST", headers: { authorization: "Bearer sk-any" }, body: "{" };
    expect((await fetch(`${stub.url}/v1/chat/completions`, init)).status).toBe(400);
    expect((await ask()).status).toBe(200);
  });

  it("a billing halt refuses everything until it is lifted; a code that there is not is refused", async () => {
    expect(await control({ halt: "credit_balance_exhausted" })).toBe(200);
    const refused = await ask();
    expect([refused.status, await refused.json()]).toMatchObject([
      429,
      { error: { type: "insufficient_quota", code: "credit_balance_exhausted" } },
    ]);
    expect(await control({ halt: "rate_limit_exceeded" })).toBe(400);
    await control({ halt: null });
    expect((await ask()).status).toBe(200);
  });

  it("headers can be left out: answers tell of no limit, and refusals of no wait", async () => {
    await control({ headers: false, limits: { rpm: 0, tpm: 1e6 } });
    const refused = await ask();
    await control({ headers: true });
    const told = await ask();
    await control({ limits: { rpm: 1_000, tpm: 1e6 } });
    const names = ({ headers }: Response) => [...headers.keys()].filter((name) => /^(x-ratelimit|retry-after)/.test(name));
    expect([refused.status, names(refused), told.status, names(told).length > 0]).toEqual([429, [], 429, true]);
  });

  it("a day's limit is said as such, and how long it lasts", async () => {
    await control({ day: 1 });
    await (await ask()).text();
    const refused = await ask();
    await control({ day: null });
    expect(refused.headers.get("x-ratelimit-reset-requests")).toBe("24h0m0s");
    expect(await refused.text()).toContain("requests per day (RPD)");
  });

  it("a gateway that gives up has let the model work; so many are told to slow down, and no more", async () => {
    const metadata = { call: "late" };
    await control({ faults: [{ kind: "gateway_timeout", every: 1, times: 2 }] });
    expect([(await ask({ metadata })).status, (await ask({ metadata })).status]).toEqual([504, 504]);
    expect((await stats()).paid_more_than_once).toEqual({ late: 2 });
    await control({ faults: [{ kind: "slow_down", every: 1, times: 1 }] });
    expect([(await ask()).status, (await ask()).status]).toEqual([429, 200]);
    expect((await stats()).slowed).toBe(1);
    await control({ faults: [] });
  });

  it("a stream that is cut and a connection that is dropped were paid for; an error was not", async () => {
    const metadata = { call: "one" };
    await control({ faults: [{ kind: "cut", every: 1 }] });
    expect(
      await ask({ stream: true, metadata })
        .then((answer) => answer.text())
        .catch(broken),
    ).toBe("broken");
    await control({ faults: [{ kind: "drop", every: 1 }] });
    expect(await ask({ metadata }).catch(broken)).toBe("broken");
    await control({ faults: [{ kind: "server_error", every: 1 }] });
    expect((await ask({ metadata })).status).toBe(500);
    await control({ faults: [] });
    await (await ask({ metadata: { call: "another" } })).text();
    expect((await stats()).paid_more_than_once).toMatchObject({ one: 2 });
  });
});
