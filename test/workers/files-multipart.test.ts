/** Uploads as clients write them: names in any script, and bytes in whatever pieces the network makes. */
import { reset } from "cloudflare:test";
import { afterEach, beforeEach, expect, it } from "vitest";
import { client } from "../support/batch.ts";
import { send } from "../support/service.ts";
import { resetWorld } from "../support/world.ts";

beforeEach(resetWorld);
afterEach(reset);

const encode = (text: string) => new TextEncoder().encode(text);

it.each(["请求.jsonl", "запросы.jsonl", "night – 2.jsonl", "😀.jsonl"])(
  "a file named %s -> it is taken, and has that name",
  async (name) => {
    const file = await client().files.create({ file: new File(["{}"], name), purpose: "batch" });
    expect([file.filename, file.bytes]).toEqual([name, 2]);
  },
);

it.each([1, 2, 3, 4, 5])("the body is cut %i bytes before its end -> the file is whole", async (before) => {
  const part = (name: string, value: string) => `--edge\r\nContent-Disposition: form-data; name=${name}\r\n\r\n${value}\r\n`;
  const whole = encode(`${part('"purpose"', "batch")}${part('"file"; filename="in.jsonl"', "{}")}--edge--\r\n`);
  const pieces = [whole.slice(0, -before), whole.slice(-before)];
  const body = new ReadableStream<Uint8Array>({
    async pull(controller) {
      const piece = pieces.shift();
      // Waits for another turn, because pieces that are there at once arrive as one.
      await scheduler.wait(1);
      if (piece) controller.enqueue(piece);
      else controller.close();
    },
  });
  const headers = { authorization: "Bearer sk-dev-alice", "content-type": "multipart/form-data; boundary=edge" };
  const response = await send("/v1/files", { method: "POST", headers, body });
  expect([response.status, await response.json()]).toMatchObject([200, { bytes: 2 }]);
});

it("a file's name is written as no client should -> 400, not 500", async () => {
  const body = `--edge\r\nContent-Disposition: form-data; name="file"; filename*=UTF-8''%ZZ\r\n\r\n{}\r\n--edge--\r\n`;
  const headers = { authorization: "Bearer sk-dev-alice", "content-type": "multipart/form-data; boundary=edge" };
  expect((await send("/v1/files", { method: "POST", headers, body })).status).toBe(400);
});
