import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { backoffMs, pause, retryAfterSeconds } from "../../client/backoff.ts";
import { errorFrom } from "../../client/errors.ts";
import type { JobInput } from "../../client/index.ts";
import { json, refusal, stage } from "./stage.ts";

const INPUT: JobInput = { request: { model: "m", messages: [{ role: "user", content: "Hello." }] } };

beforeEach(() => void vi.useFakeTimers());
afterEach(() => {
  // Whatever a call began must have ended with it.
  expect(vi.getTimerCount()).toBe(0);
  vi.useRealTimers();
});

/** The error that `work` fails with, however long it takes (in faked time). */
async function failing(work: Promise<unknown>): Promise<unknown> {
  const done = work.then(
    () => "no error",
    (error: unknown) => error,
  );
  await vi.runAllTimersAsync();
  return done;
}

describe("waits", () => {
  test("full jitter -> anything up to a bound that doubles, up to the cap", () => {
    const bounds = { baseMs: 250, capMs: 15_000 };
    expect([1, 2, 3, 7, 50].map((tries) => backoffMs(bounds, tries, 1))).toEqual([250, 500, 1_000, 15_000, 15_000]);
    expect(backoffMs(bounds, 9, 0)).toBe(0);
  });

  test("Retry-After -> seconds, a date, or nothing to be read", () => {
    const now = Date.parse("2026-11-01T00:00:00Z");
    expect(["2", "0.5", "-1", "Sun, 01 Nov 2026 00:00:09 GMT", "soon", "", null].map((text) => retryAfterSeconds(text, now))).toEqual([
      2,
      0.5,
      0,
      9,
      null,
      null,
      null,
    ]);
  });

  test("aborted -> the reason, and no timer", async () => {
    const stop = new AbortController();
    const waiting = failing(pause(1e6, stop.signal));
    stop.abort(new Error("enough"));
    expect(await waiting).toMatchObject({ message: "enough" });
    expect(await failing(pause(1, stop.signal))).toMatchObject({ message: "enough" });
  });
});

describe("errors", () => {
  test("each status -> its class, with what the service said", async () => {
    const names: Record<number, string> = {
      400: "BadRequestError",
      401: "AuthenticationError",
      403: "PermissionError",
      404: "NotFoundError",
      409: "ConflictError",
      413: "BadRequestError",
      429: "RateLimitError",
      503: "ServerError",
    };
    for (const [status, name] of Object.entries(names)) {
      const { client } = stage(() => refusal(Number(status), "some_error", "some_code", { "retry-after": "3" }), { retries: 0 });
      const error = await failing(client.get("job_1"));
      expect(error).toMatchObject({ name, status: Number(status), message: "No.", code: "some_code", requestId: "req_1", retryAfter: 3 });
    }
  });

  test("no status -> by its type and code; an answer of something in between -> by its status alone", async () => {
    expect(errorFrom({ message: "x", type: "rate_limit_error", code: "queue_full" }).name).toBe("RateLimitError");
    expect(errorFrom({ message: "x", type: "invalid_request_error", code: "job_not_found" }).name).toBe("NotFoundError");
    expect(errorFrom({ message: "x", type: "server_error" }).name).toBe("ServerError");
    expect(errorFrom({ message: "x", type: "invalid_request_error" }).name).toBe("BadRequestError");
    const { client } = stage(() => new Response("<html>Bad gateway</html>", { status: 502 }), { retries: 0 });
    expect(await failing(client.get("job_1"))).toMatchObject({ name: "ServerError", message: "The service answered 502.", type: null });
  });
});

describe("retries", () => {
  test("503, a lost connection, then an answer -> a submit goes out thrice under one key", async () => {
    let tries = 0;
    const { client, asked } = stage(() => {
      tries++;
      if (tries === 2) throw new TypeError("fetch failed");
      return tries === 1 ? refusal(503, "server_error") : json({ object: "job", id: "job_1" }, 202);
    });
    const job = client.submit(INPUT);
    await vi.runAllTimersAsync();
    expect((await job).id).toBe("job_1");
    const keys = asked.map(({ headers }) => headers["idempotency-key"]);
    expect(keys).toEqual([keys[0], keys[0], keys[0]]);
    expect(keys[0]).toMatch(/^[0-9a-f-]{36}$/);
    const own = client.submit(INPUT, { idempotencyKey: "mine" });
    await vi.runAllTimersAsync();
    await own;
    expect(asked.at(-1)?.headers["idempotency-key"]).toBe("mine");
  });

  test("Retry-After -> waited at least so long; more than a minute -> told at once", async () => {
    const times: number[] = [];
    const start = Date.now();
    const { client } = stage(() => {
      times.push(Date.now() - start);
      return times.length < 2 ? refusal(429, "rate_limit_error", "queue_full", { "retry-after": "7" }) : json({ object: "job" });
    });
    const got = client.get("job_1");
    await vi.runAllTimersAsync();
    await got;
    expect(times[1]).toBeGreaterThanOrEqual(7_000);
    expect(times[1]).toBeLessThanOrEqual(7_501);

    const patient = stage(() => refusal(429, "rate_limit_error", null, { "retry-after": "61" }));
    expect(await failing(patient.client.get("job_1"))).toMatchObject({ name: "RateLimitError", retryAfter: 61 });
    expect(patient.asked).toHaveLength(1);
  });

  test("what another try cannot mend -> one try; what never mends -> five, and the last error", async () => {
    const wrong = stage(() => refusal(400, "invalid_request_error"));
    await failing(wrong.client.submit(INPUT));
    expect(wrong.asked).toHaveLength(1);
    const down = stage(() => Promise.reject(new TypeError("fetch failed")));
    expect(await failing(down.client.get("job_1"))).toMatchObject({
      name: "ConnectionError",
      status: null,
      cause: { message: "fetch failed" },
    });
    expect(down.asked).toHaveLength(5);
  });

  test("no answer in time -> TimeoutError; the try is broken off", async () => {
    const signals: AbortSignal[] = [];
    const silent = stage(
      (_, signal) => {
        signals.push(signal);
        return new Promise((_done, fail) => signal.addEventListener("abort", () => fail(signal.reason)));
      },
      { timeoutMs: 1_000, retries: 1 },
    );
    expect(await failing(silent.client.get("job_1"))).toMatchObject({ name: "TimeoutError" });
    expect(signals.map(({ aborted }) => aborted)).toEqual([true, true]);
  });

  test("a token function -> asked for each try; if it fails, that is a lost connection", async () => {
    let count = 0;
    const token = async () => {
      if (++count === 1) throw new Error("offline");
      return `t${count}`;
    };
    const { client, asked } = stage(() => (asked.length === 1 ? refusal(500, "server_error") : json({ object: "job" })), { token });
    const got = client.get("job_1");
    await vi.runAllTimersAsync();
    await got;
    expect(asked.map(({ headers }) => headers.authorization)).toEqual(["Bearer t2", "Bearer t3"]);
  });
});

test("wait -> one long-poll after another until the job has ended; with a time-out, no longer than that", async () => {
  let polls = 0;
  const { client, asked } = stage(() => {
    vi.setSystemTime(Date.now() + 50_000);
    return json({ object: "job", status: ++polls < 3 ? "queued" : "failed" }, polls < 3 ? 202 : 200);
  });
  expect((await client.wait("job_1")).status).toBe("failed");
  expect(asked.map(({ path }) => path)).toEqual(Array(3).fill("/v1/jobs/job_1?wait=50"));
  polls = -1_000;
  expect(await failing(client.wait("job_1", { timeoutMs: 0 }))).toMatchObject({ name: "TimeoutError" });
  expect(asked.at(-1)?.path).toBe("/v1/jobs/job_1?wait=0");
});

test("cancel and createToken -> as the API has them", async () => {
  const { client, asked } = stage(() => json({ token: "t", expires_at: 1 }));
  await client.cancel("job_a/b");
  expect(await client.createToken({ channels: ["c"], actions: ["read"], expires_in: 60 })).toEqual({ token: "t", expires_at: 1 });
  expect(asked.map(({ method, path, body }) => [method, path, body])).toEqual([
    ["POST", "/v1/jobs/job_a%2Fb/cancel", "{}"],
    ["POST", "/v1/tokens", '{"channels":["c"],"actions":["read"],"expires_in":60}'],
  ]);
});

describe("submitMany", () => {
  /** Answers each line with a job, except for the third of a group. */
  const lines = (body: string, upTo = Number.POSITIVE_INFINITY) => {
    const answers = body
      .trim()
      .split("\n")
      .map((_, n) =>
        JSON.stringify(
          n === 2
            ? { error: { message: "Bad.", type: "invalid_request_error", code: "x", param: null }, line: 3 }
            : { object: "job", id: `job_${n}`, error: null },
        ),
      );
    return new Response(`${answers.slice(0, upTo).join("\n")}\n`, { status: 202 });
  };
  const collect = async <T>(items: AsyncIterable<T>) => {
    const found: T[] = [];
    for await (const item of items) found.push(item);
    return found;
  };

  test("1,100 jobs -> groups of 500, each under a key of its own, read no sooner than they are wanted", async () => {
    const { client, asked } = stage(({ body }) => lines(body!));
    let read = 0;
    const jobs = (function* () {
      for (; read < 1_100; read++) yield INPUT;
    })();
    const answers = client.submitMany(jobs, { idempotencyKey: "k" });
    for (let n = 0; n < 3; n++) await answers.next();
    expect(read).toBeLessThanOrEqual(500);
    const rest = await collect(answers);
    expect(rest.at(-1)).toMatchObject({ index: 1_099, ok: true });
    expect(rest.filter(({ ok }) => !ok)).toMatchObject([{ index: 502 }, { index: 1_002, error: { name: "BadRequestError", code: "x" } }]);
    expect(asked.map(({ body }) => body!.trim().split("\n").length)).toEqual([500, 500, 100]);
    expect(asked.map(({ headers }) => headers["idempotency-key"])).toEqual(["k-0", "k-500", "k-1000"]);
  });

  test("the answer breaks off -> asked for again under the same key, and each job is answered once", async () => {
    let tries = 0;
    const { client, asked } = stage(({ body }) => lines(body!, ++tries === 1 ? 4 : undefined));
    const done = collect(client.submitMany(Array(10).fill(INPUT)));
    await vi.runAllTimersAsync();
    expect((await done).map(({ index }) => index)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    expect(asked).toHaveLength(2);
    expect(asked[0]).toEqual(asked[1]);
  });

  test("jobs come one by one -> those that wait go after 20 ms; under the caller's key they wait for their group", async () => {
    const { client, asked } = stage(({ body }) => lines(body!));
    const slowly = async function* () {
      for (let n = 0; n < 3; n++) {
        yield INPUT;
        // In faked time (`useFakeTimers` above), which the test runs through at once: nothing really waits.
        await new Promise((next) => setTimeout(next, 1_000));
      }
    };
    const loose = collect(client.submitMany(slowly()));
    await vi.runAllTimersAsync();
    expect((await loose).length).toBe(3);
    expect(asked).toHaveLength(3);
    const keyed = collect(client.submitMany(slowly(), { idempotencyKey: "k" }));
    await vi.runAllTimersAsync();
    expect((await keyed).length).toBe(3);
    expect(asked).toHaveLength(4);
  });

  test("the reader leaves -> the source is told", async () => {
    const { client } = stage(({ body }) => lines(body!));
    let left = false;
    const jobs = (function* () {
      try {
        while (true) yield INPUT;
      } finally {
        left = true;
      }
    })();
    for await (const { index } of client.submitMany(jobs)) if (index === 1) break;
    expect(left).toBe(true);
  });
});
