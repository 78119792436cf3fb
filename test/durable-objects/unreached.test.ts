/** A call that upstream certainly did not take is not in doubt, and is made again; a call that it may have taken is in doubt. */
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { classify } from "../../durable-objects/dispatcher/classify.ts";
import { openUpstream, type Upstream } from "../../durable-objects/dispatcher/upstream.ts";
import type { Env } from "../../platform/objects.ts";
import type { Outcome } from "../../schemas/rpc.ts";
import { enqueue, playAll, problem, settle, ticket } from "../support/desk.ts";
import { advanceTo, drained, ended, pool, submit, until, world } from "../support/service.ts";
import { cleared } from "../support/stand.ts";
import { completion, EPOCH, resetWorld } from "../support/world.ts";

beforeEach(resetWorld);
afterEach(cleared);
afterEach(() => vi.unstubAllGlobals());

const BODY = { model: "gpt-5-mini", messages: [{ role: "user", content: "grüße ".repeat(50) }] };
const vars = (url: string, local = "1") => ({ OPENAI_API_KEY: "sk-test", OPENAI_BASE_URL: url, SLUICE_LOCAL: local });
const opened = (url: string, local?: string) => openUpstream(vars(url, local) as unknown as Env, () => world.now);
const callOf = (to: Upstream) => to.call(BODY, new AbortController().signal, 60_000, () => {});
const calling = (url: string, local?: string) => callOf(opened(url, local));

/** The outcome of a call to `url`; null if it is answered. */
async function outcomeOf(url: string, local?: string): Promise<Outcome | null> {
  const said = await calling(url, local);
  return said.ok ? null : classify(said.failure, false);
}

/** Stands in for upstream at `fetch`: takes up to `pieces` pieces of the body, then answers or breaks. */
function upstream(pieces: number, end: (text: string, signal: AbortSignal) => Response | Promise<Response>) {
  const seen: string[] = [];
  vi.stubGlobal("fetch", async (_: string, init: RequestInit) => {
    const decoder = new TextDecoder();
    let text = typeof init.body === "string" ? init.body : "";
    const reader = typeof init.body === "string" ? null : (init.body as ReadableStream<Uint8Array>).getReader();
    for (let taken = 0; reader && taken < pieces; taken++) {
      const { done, value } = await reader.read();
      if (done) break;
      text += decoder.decode(value, { stream: true });
    }
    seen.push(text);
    return end(text, init.signal!);
  });
  return seen;
}

const breaks = () => Promise.reject(new Error("Network connection lost."));
const ALL = Number.POSITIVE_INFINITY;
const UNREACHED = { kind: "retryable", unknown: false, unsent: true, upstream: true, problem: { code: "upstream_unreachable" } };

describe("workerd's own fetch", () => {
  it.each([
    ["nobody listens there", "http://127.0.0.1:1/v1"],
    ["nor with TLS", "https://127.0.0.1:1/v1"],
    ["no such host", "http://nobody.invalid/v1"],
  ])("%s -> certainly not taken, and upstream's failure", async (_, url) => {
    expect(await outcomeOf(url)).toMatchObject(UNREACHED);
  });
});

describe("a connection that breaks", () => {
  it.each([0, 1])("when no more than what is read ahead was taken (%i pieces) -> certainly not taken", async (pieces) => {
    upstream(pieces, breaks);
    expect(await outcomeOf("http://there/v1")).toMatchObject(UNREACHED);
  });

  it.each([
    ["while the rest is under way", 2],
    ["when all was sent", ALL],
  ])("%s -> unknown", async (_, pieces) => {
    upstream(pieces, breaks);
    const outcome = await outcomeOf("http://there/v1");
    expect(outcome).toMatchObject({ kind: "retryable", unknown: true, upstream: true, problem: { code: "connection_lost" } });
    expect(outcome).not.toHaveProperty("unsent");
  });

  it("deployed -> unknown: who has the body there is not yet upstream", async () => {
    const seen = upstream(0, breaks);
    expect(await outcomeOf("http://there/v1", "0")).toMatchObject({ unknown: true });
    expect(JSON.parse(seen[0]!)).toMatchObject(BODY);
  });
});

it("a request that is taken arrives whole", async () => {
  const seen = upstream(ALL, () => completion("ok"));
  expect((await calling("http://there/v1")).ok).toBe(true);
  expect(JSON.parse(seen[0]!)).toMatchObject(BODY);
});

describe("an upstream that answered just now", () => {
  /** Whether each call of one object was handed over in pieces. A step is what becomes of a call, or ms that pass. */
  const inPieces = async (steps: ("answers" | "breaks" | number)[]): Promise<boolean[]> => {
    const bodies: unknown[] = [];
    const to = opened("http://there/v1");
    for (const step of steps) {
      if (typeof step === "number") world.now += step;
      else {
        upstream(ALL, () => (step === "answers" ? completion("ok") : breaks()));
        const reached = fetch;
        vi.stubGlobal("fetch", (url: string, init: RequestInit) => {
          bodies.push(init.body);
          return reached(url, init);
        });
        await callOf(to);
      }
    }
    return bodies.map((body) => typeof body !== "string");
  };

  it("within a second -> the next body is handed over as one", async () => {
    expect(await inPieces(["answers", 999, "answers", 999, "answers"])).toEqual([true, false, false]);
  });

  it("longer ago -> in pieces again", async () => {
    expect(await inPieces(["answers", 1_000, "answers"])).toEqual([true, true]);
  });

  it("and then broke -> in pieces until it answers again", async () => {
    expect(await inPieces(["answers", "breaks", "breaks", "answers", "answers"])).toEqual([true, false, true, true, false]);
  });

  it("within a second, to a call that has hardly any time left -> in pieces, so that it is told as late as possible whether it may leave", async () => {
    const to = opened("http://there/v1");
    upstream(ALL, () => completion("ok"));
    await callOf(to);
    const seen = upstream(2, () => completion("ok"));
    await to.call(BODY, new AbortController().signal, 60_000, () => {}, { isPressed: () => true, now: async () => false });
    expect(seen.map((text) => text.length)).toEqual([2]);
  });

  it("by a clock that was set back -> in pieces", async () => {
    expect(await inPieces(["answers", -5_000, "answers"])).toEqual([true, true]);
  });

  it("and breaks in the same instant -> unknown: nothing tells how far the body got", async () => {
    const to = opened("http://there/v1");
    upstream(ALL, () => completion("ok"));
    await callOf(to);
    upstream(0, breaks);
    const said = await callOf(to);
    expect(said.ok ? null : classify(said.failure, false)).toMatchObject({ kind: "retryable", unknown: true });
  });
});

describe("an answer", () => {
  const answer =
    (status: number, body: string, server = "cloudflare") =>
    () =>
      new Response(body, { status, headers: { server } });

  it.each(["1", "0"])(
    "of Cloudflare's, that upstream refuses connections (local: %s) -> certainly not taken, with its status",
    async (local) => {
      upstream(ALL, answer(521, "error code: 521"));
      const problem = { status: 521, code: "upstream_unreachable", message: expect.stringContaining("refuses connections") };
      expect(await outcomeOf("http://there/v1", local)).toMatchObject({ ...UNREACHED, problem });
    },
  );

  it.each([
    ["the same of another's", answer(521, "error code: 521", "nginx")],
    ["of Cloudflare's that may come later, too", answer(522, "error code: 522")],
  ])("%s -> unknown", async (_, end) => {
    upstream(ALL, end);
    const outcome = await outcomeOf("http://there/v1");
    expect(outcome).toMatchObject({ kind: "retryable", unknown: true });
    expect(outcome).not.toHaveProperty("unsent");
  });

  it.each<[string, Response, string, string]>([
    ["with a text in place of an error", Response.json({ error: "a string" }, { status: 400 }), "invalid_request_error", "a string"],
    ["as FastAPI refuses", Response.json({ detail: "Not Found" }, { status: 404 }), "invalid_request_error", "Not Found"],
    ["as plain text", new Response("oops", { status: 400 }), "invalid_request_error", "oops"],
    ["as plain text, of a server that broke", new Response("oops", { status: 500 }), "server_error", "oops"],
  ])("that refuses %s -> its own words, and whose fault it is", async (_, refused, type, message) => {
    upstream(ALL, () => refused);
    expect(await outcomeOf("http://there/v1")).toMatchObject({ problem: { type, message, code: null } });
  });

  it.each(["sk-test", "gsk_LocalSecret"])(
    "that repeats our key, %s, wherever it can -> the key is in nothing that is told of it",
    async (key) => {
      const error = { message: `you sent Bearer ${key}`, type: key, code: key, param: key };
      upstream(ALL, () => Response.json({ error }, { status: 400, headers: { "x-request-id": key } }));
      const to = openUpstream({ ...vars("http://me:passphrase@there/v1"), OPENAI_API_KEY: key } as unknown as Env, () => world.now);
      const said = await callOf(to);
      expect(said).toMatchObject({ ok: false, requestId: null, failure: { status: 400, code: null, type: null, param: null } });
      expect(JSON.stringify(said)).not.toContain(key);
      const { signal } = new AbortController();
      expect(to.broken(new Error(`no way to http://me:passphrase@there with ${key}`), signal).message).toBe(
        "no way to http://me:…@there with …",
      );
    },
  );

  it("of Cloudflare's, that upstream did not answer in time -> unknown, and after three such calls the job has failed", async () => {
    upstream(ALL, answer(524, "error code: 524"));
    expect(await outcomeOf("http://there/v1")).toMatchObject({ kind: "retryable", unknown: true, upstream: true, repeats: 3 });
  });

  it("before the request was taken whole -> what it says", async () => {
    upstream(0, () => Response.json({ error: { message: "busy", type: "server_error", code: null } }, { status: 503 }));
    expect(await outcomeOf("http://there/v1")).toMatchObject({ unknown: false, problem: { status: 503, message: "busy" } });
  });
});

describe("a job whose call upstream has not taken", () => {
  it("may not be called twice -> is called again all the same, and nothing is counted as done twice", async () => {
    world.env = vars("http://there/v1");
    let calls = 0;
    upstream(ALL, () => completion("at last"));
    const reached = fetch;
    vi.stubGlobal("fetch", (...given: Parameters<typeof fetch>) => (calls++ < 2 ? breaks() : reached(...given)));
    const { id } = await submit({ retry: "never" });
    for (let times = 1; times <= 3; times++) {
      await until(() => calls >= times);
      if (times < 3) await until(async () => (await pool()).in_flight === 0);
      await advanceTo(EPOCH + times * 60_000);
    }
    expect(await ended(id)).toMatchObject({ status: "completed", attempts: 1, possible_duplicates: 0 });
    await drained();
    expect((await pool()).doubts).toMatchObject({ unknown_outcomes: 0, possible_duplicates: 0 });
  });

  it("in the time that it allows -> certainly not taken either", async () => {
    world.env = vars("http://there/v1");
    upstream(0, (_, signal) => new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason))));
    // A real wait of 50 ms: it is the call's own timeout.
    const { id } = await submit({ retry: "never", timeouts: { first_byte: 0.05 } });
    await until(async () => (await pool()).doubts.unknown_outcomes > 0 || (await pool()).in_flight === 0);
    upstream(ALL, () => completion("at last"));
    await advanceTo(EPOCH + 60_000);
    expect(await ended(id)).toMatchObject({ status: "completed", attempts: 1, possible_duplicates: 0 });
  });
});

describe("what it says of upstream", () => {
  const unreached: Outcome = { kind: "retryable", unknown: false, retryAfterMs: null, problem, unsent: true, upstream: true };

  it("that it is down, if it is so for several jobs", async () => {
    const played = playAll();
    await enqueue(["a", "b", "c", "d", "e"].map((job) => ticket(job)));
    await until(() => played.starts.length === 5);
    for (const job of ["a", "b", "c", "d"]) await settle(job, 1, unreached);
    expect((await pool()).condition.state).toBe("normal");
    await settle("e", 1, unreached);
    expect((await pool()).condition.state).toBe("open");
    expect((await pool()).used).toEqual({ requests: 0, tokens: 0 });
  });

  it("nothing, if it is so for one job alone: its pool goes on, and none of its calls is an attempt", async () => {
    const played = playAll();
    await enqueue([ticket("a")]);
    for (let attempt = 1; attempt <= 5; attempt++) {
      await until(() => played.starts.length === attempt);
      await settle("a", attempt, unreached);
      await advanceTo(world.now + 60_000);
    }
    expect((await pool()).condition.state).toBe("normal");
    expect(played.starts.every(({ waits, attempt }) => waits === attempt - 1)).toBe(true);
  });
});
