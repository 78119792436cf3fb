import { reset } from "cloudflare:test";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Job } from "../../schemas/job.ts";
import type { ErrorBody } from "../../schemas/problem.ts";
import { call, ended, job, send } from "../support/service.ts";
import { resetWorld, silence, world } from "../support/world.ts";

beforeEach(resetWorld);
afterEach(reset);

type List = { object: string; data: (Job & ErrorBody)[] };
type Line = Job & ErrorBody & { line?: number };

const numbered = (n: number, more: Record<string, unknown> = {}) => job({ metadata: { n: String(n) }, ...more });
const numberOf = ({ metadata }: Job) => Number(metadata?.n);
const headers = { authorization: "Bearer sk-dev-alice", "content-type": "application/jsonl" };

async function postLines(body: BodyInit): Promise<Line[]> {
  const response = await send("/v1/jobs", { method: "POST", headers, body });
  expect(response.status).toBe(202);
  expect(response.headers.get("content-type")).toBe("application/jsonl");
  const text = await response.text();
  expect(text === "" || text.endsWith("\n")).toBe(true);
  return text
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as Line);
}

/** A body that arrives in pieces of `size` bytes. */
function inPieces(text: string, size: number): ReadableStream<Uint8Array> {
  const bytes = new TextEncoder().encode(text);
  let from = 0;
  return new ReadableStream({
    pull(controller) {
      if (from >= bytes.length) return controller.close();
      controller.enqueue(bytes.slice(from, from + size));
      from += size;
    },
  });
}

describe("an array of jobs", () => {
  it("is answered in order, over several channels", async () => {
    const jobs = [...Array(40).keys()].map((n) => numbered(n, n % 3 === 0 ? {} : { channel: `c${n % 3}` }));
    const { status, body } = await call<List>("POST", "/v1/jobs", { jobs });
    expect(status).toBe(202);
    expect(body.object).toBe("list");
    expect(body.data.map(numberOf)).toEqual([...Array(40).keys()]);
    expect(new Set(body.data.map(({ id }) => id)).size).toBe(40);
    for (const { id } of body.data) expect((await ended(id)).status).toBe("completed");
  });

  it("a bad one fails alone, at its place", async () => {
    const jobs = [numbered(0), { request: {} }, null, numbered(3, { channel: "~x" }), numbered(4, { deadline: 1 }), numbered(5)];
    const { body } = await call<List>("POST", "/v1/jobs", { jobs });
    const outcomes = body.data.map(({ id, error }) => (id ? "accepted" : [error.code, error.param]));
    expect(outcomes).toEqual([
      "accepted",
      ["invalid_job", "request.model"],
      ["invalid_job", null],
      ["invalid_job", "channel"],
      ["deadline_passed", "deadline"],
      "accepted",
    ]);
    expect(numberOf(body.data[5]!)).toBe(5);
  });

  it("may come bare", async () => {
    const { status, body } = await call<List>("POST", "/v1/jobs", [
      numbered(0),
      { request: {} },
      [numbered(2)],
      numbered(3, { channel: "c" }),
    ]);
    expect([status, body.object]).toEqual([202, "list"]);
    expect(body.data.map((each) => each.error?.code ?? numberOf(each))).toEqual([0, "invalid_job", "invalid_job", 3]);
  });

  it("bare and in its object are one request to an Idempotency-Key", async () => {
    const jobs = [numbered(0), numbered(1)];
    const post = (body: unknown) => call<List>("POST", "/v1/jobs", body, { headers: { "idempotency-key": "k" } });
    const ids = ({ body }: { body: List }) => body.data.map(({ id }) => id);
    expect(ids(await post(jobs))).toEqual(ids(await post({ jobs })));
  });

  it.each([
    ["in its object", { jobs: [] }],
    ["bare", []],
  ])("may be empty, %s", async (_, sent) => {
    expect(await call<List>("POST", "/v1/jobs", sent)).toMatchObject({ status: 202, body: { object: "list", data: [] } });
  });

  it.each([
    ["no array", { jobs: { a: 1 } }],
    ["too long", { jobs: Array(10_001).fill(0) }],
    ["too long and bare", Array(10_001).fill(0)],
  ])("%s: refused as a whole", async (_, sent) => {
    const { status, body } = await call<ErrorBody>("POST", "/v1/jobs", sent);
    expect([status, body.error.param]).toEqual([400, "jobs"]);
  });

  it("a mailbox that does not answer may have stored its jobs all the same, and its answers say so", async () => {
    let lost = 0;
    world.between.set("mailbox.submit", async (go) => {
      await go();
      lost++;
      throw new Error("the answer was lost");
    });
    const { body } = await call<List>("POST", "/v1/jobs", [numbered(0, { channel: "c" })]);
    expect(lost).toBeGreaterThan(0);
    expect(body.data[0]!.error).toMatchObject({ code: "unavailable", message: "The job may not have been stored: try again." });
  });
});

describe("lines of JSON", () => {
  it("a bad line fails alone, under its number; blank lines count and are not answered", async () => {
    const text = ["", JSON.stringify(numbered(2)), "   ", "{oops", '{"request":{}}', "", JSON.stringify(numbered(7))].join("\n");
    const lines = await postLines(text);
    expect(lines.map((each) => each.line ?? numberOf(each))).toEqual([2, 4, 5, 7]);
    expect(lines[1]!.error).toEqual({ message: expect.any(String), type: "invalid_request_error", code: "invalid_json", param: null });
    expect(lines[2]!.error).toMatchObject({ code: "invalid_job", param: "request.model" });
  });

  it.each([
    ["LF", "\n", ""],
    ["CRLF", "\r\n", ""],
    ["LF to the last", "\n", "\n"],
    ["CRLF to the last", "\r\n", "\r\n"],
  ])("%s", async (_, end, last) => {
    const lines = await postLines([0, 1, 2].map((n) => JSON.stringify(numbered(n))).join(end) + last);
    expect(lines.map(numberOf)).toEqual([0, 1, 2]);
  });

  it("nothing in, nothing out", async () => {
    expect(await postLines("")).toEqual([]);
    expect(await postLines("\n\n \r\n")).toEqual([]);
  });

  it.each([1, 2, 3, 7])("characters of several bytes survive being cut: pieces of %i bytes", async (size) => {
    const word = "aé漢😀";
    const text = [0, 1].map((n) => JSON.stringify(job({ metadata: { n: String(n), word }, channel: word }))).join("\n");
    const lines = await postLines(inPieces(text, size));
    expect(lines.map(({ metadata, channel }) => [metadata?.word, channel])).toEqual([
      [word, word],
      [word, word],
    ]);
    await ended(lines[1]!.id);
  });

  it("10,000 in one request are all accepted, in order", async () => {
    const count = 10_000;
    const text = [...Array(count).keys()].map((n) => JSON.stringify(numbered(n))).join("\n");
    const lines = await postLines(inPieces(text, 65_536));
    expect(lines.map(numberOf)).toEqual([...Array(count).keys()]);
    expect(new Set(lines.map(({ id }) => id)).size).toBe(count);
    expect(lines.filter(({ status }) => status !== "queued")).toEqual([]);
    const last = await call("GET", `/v1/jobs/${lines[count - 1]!.id}`);
    expect(last.body).toMatchObject({ status: "queued", metadata: { n: String(count - 1) } });
  });

  it("answers while it still reads", async () => {
    world.upstream = silence();
    const pipe = new TransformStream<Uint8Array, Uint8Array>();
    const writer = pipe.writable.getWriter();
    const answer = send("/v1/jobs", { method: "POST", headers, body: pipe.readable });
    const encoder = new TextEncoder();
    const lines = [...Array(500).keys()].map((n) => `${JSON.stringify(numbered(n))}\n`).join("");
    await writer.write(encoder.encode(lines));
    const reader = (await answer).body!.getReader();
    const first = await reader.read();
    expect(first.done).toBe(false);
    expect(new TextDecoder().decode(first.value)).toContain('"object":"job"');
    await writer.write(encoder.encode(JSON.stringify(numbered(500))));
    await writer.close();
    let rest = "";
    for (let piece = await reader.read(); !piece.done; piece = await reader.read()) rest += new TextDecoder().decode(piece.value);
    expect(rest).toContain('"n":"500"');
  });

  it("lines come and no more for now -> they are answered, though the body goes on", async () => {
    world.upstream = silence();
    const pipe = new TransformStream<Uint8Array, Uint8Array>();
    const writer = pipe.writable.getWriter();
    const answer = send("/v1/jobs", { method: "POST", headers, body: pipe.readable });
    const reader = (await answer).body!.pipeThrough(new TextDecoderStream()).getReader();
    for (const n of [1, 2]) {
      await writer.write(new TextEncoder().encode(`${JSON.stringify(numbered(n))}\n`));
      const { value } = await reader.read();
      expect(numberOf(JSON.parse(value!) as Job)).toBe(n);
    }
    await writer.close();
    expect((await reader.read()).done).toBe(true);
  });

  it("reads to the end though the client reads no answer before it has sent all", async () => {
    world.upstream = silence();
    const pipe = new TransformStream<Uint8Array, Uint8Array>();
    const answer = send("/v1/jobs", { method: "POST", headers, body: pipe.readable });
    const writer = pipe.writable.getWriter();
    for (let n = 0; n < 3_000; n += 500) {
      const lines = [...Array(500).keys()].map((index) => `${JSON.stringify(numbered(n + index))}\n`).join("");
      await writer.write(new TextEncoder().encode(lines));
    }
    await writer.close();
    const lines = (await (await answer).text()).trim().split("\n");
    expect(lines.map((line) => numberOf(JSON.parse(line) as Job))).toEqual([...Array(3_000).keys()]);
  });

  it("what was answered before the client's body broke off is accepted", async () => {
    const pipe = new TransformStream<Uint8Array, Uint8Array>();
    const writer = pipe.writable.getWriter();
    const answer = send("/v1/jobs", { method: "POST", headers, body: pipe.readable });
    const lines = [...Array(500).keys()].map((n) => `${JSON.stringify(numbered(n))}\n`).join("");
    await writer.write(new TextEncoder().encode(lines));
    const reader = (await answer).body!.getReader();
    const { value } = await reader.read();
    await writer.abort(new Error("gone")).catch(() => {});
    const readOn = async () => {
      for (let piece = await reader.read(); !piece.done; piece = await reader.read());
    };
    await readOn().catch(() => {});
    const [line] = new TextDecoder().decode(value).split("\n");
    expect((await call("GET", `/v1/jobs/${(JSON.parse(line!) as Job).id}`)).status).toBeLessThan(300);
  });
});
