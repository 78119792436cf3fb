import { listDurableObjectIds, reset, runDurableObjectAlarm } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { BadRequestError, NotFoundError, toFile } from "openai";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { client, jsonl, requests, upload, WINDOW } from "../support/batch.ts";
import { sdk } from "../support/sdk.ts";
import { send } from "../support/service.ts";
import { resetWorld, world } from "../support/world.ts";

beforeEach(resetWorld);
afterEach(reset);

describe("files", () => {
  it("uploaded, listed, read byte for byte, deleted", async () => {
    const content = jsonl(requests(3));
    const id = await upload(requests(3));
    expect(await client().files.retrieve(id)).toMatchObject({
      object: "file",
      purpose: "batch",
      filename: "in.jsonl",
      bytes: content.length,
    });
    expect((await client().files.list()).data.map((file) => file.id)).toEqual([id]);
    expect(await (await client().files.content(id)).text()).toBe(content);
    expect(await client().files.delete(id)).toEqual({ id, object: "file", deleted: true });
    await expect(client().files.retrieve(id)).rejects.toThrow(NotFoundError);
    expect((await client().files.list()).data).toEqual([]);
  });

  it("a file that ended the last page is deleted -> the next page goes on where it stood, in either order", async () => {
    const ids: string[] = [];
    for (let n = 0; n < 3; n++) {
      world.now += 1;
      ids.push(await upload(requests(1)));
    }
    await client().files.delete(ids[1]!);
    const rest = async (order: "asc" | "desc") => (await client().files.list({ after: ids[1]!, order })).data.map(({ id }) => id);
    expect([await rest("desc"), await rest("asc")]).toEqual([[ids[0]], [ids[2]]]);
  });

  it("of several megabytes, with a line break in the middle of a piece and the field after the file: the same bytes come back", async () => {
    const bytes = new Uint8Array(3_456_789).map((_, index) => (index * 31) % 251);
    const form = new FormData();
    form.set("file", new File([bytes], "big.jsonl"));
    form.set("purpose", "batch");
    const response = await send("/v1/files", { method: "POST", headers: { authorization: "Bearer sk-dev-alice" }, body: form });
    const file = (await response.json()) as { id: string; bytes: number };
    expect([response.status, file.bytes]).toEqual([200, bytes.length]);
    const back = new Uint8Array(await (await client().files.content(file.id)).arrayBuffer());
    expect(back.length).toBe(bytes.length);
    expect(back.every((byte, index) => byte === bytes[index])).toBe(true);
  });

  it("deleted while it is read -> what comes is not taken for the whole", async () => {
    const file = await client().files.create({ file: await toFile(new Uint8Array(5_000_000), "in.jsonl"), purpose: "batch" });
    const reader = (await client().files.content(file.id)).body!.getReader();
    await reader.read();
    await client().files.delete(file.id);
    const rest = async () => {
      while (!(await reader.read()).done);
    };
    await expect(rest()).rejects.toThrow();
  });

  it("its entry in the list is lost on the way -> it is made up for", async () => {
    world.between.set("archive.enter", () => {
      throw new Error("lost");
    });
    await expect(
      sdk({ maxRetries: 0 }).client.files.create({ file: await toFile(new Uint8Array(9), "in"), purpose: "batch" }),
    ).rejects.toThrow();
    world.between.clear();
    const { ARCHIVE } = env as unknown as { ARCHIVE: DurableObjectNamespace };
    const names = await listDurableObjectIds(ARCHIVE);
    for (const each of names) await runDurableObjectAlarm(ARCHIVE.get(each));
    const [file] = (await client().files.list()).data;
    expect(await (await client().files.content(file!.id)).arrayBuffer()).toHaveProperty("byteLength", 9);
  });

  it.each([
    ["another purpose", { purpose: "fine-tune", file: "x" }, "purpose"],
    ["no purpose", { file: "x" }, "purpose"],
    ["no file", { purpose: "batch" }, "file"],
    ["an empty file", { purpose: "batch", file: "" }, "file"],
  ])("%s -> 400", async (_, fields: Record<string, string>, param) => {
    const form = new FormData();
    for (const [name, value] of Object.entries(fields)) form.set(name, name === "file" ? new File([value], "f") : value);
    const response = await send("/v1/files", { method: "POST", headers: { authorization: "Bearer sk-dev-alice" }, body: form });
    expect(response.status).toBe(400);
    expect(((await response.json()) as { error: { param: string } }).error.param).toBe(param);
    expect((await client().files.list()).data).toEqual([]);
  });

  it("a body that is no form -> 400", async () => {
    const headers = { authorization: "Bearer sk-dev-alice", "content-type": "multipart/form-data; boundary=x" };
    expect((await send("/v1/files", { method: "POST", headers, body: "nothing of the kind" })).status).toBe(400);
    expect((await send("/v1/files", { method: "POST", headers: { ...headers, "content-type": "text/plain" }, body: "x" })).status).toBe(
      400,
    );
  });

  it("another tenant's -> 404", async () => {
    const id = await upload(requests(1));
    const bob = sdk({ apiKey: "sk-dev-bob" }).client;
    await expect(bob.files.retrieve(id)).rejects.toThrow(NotFoundError);
    await expect(bob.files.content(id)).rejects.toThrow(NotFoundError);
    await expect(bob.batches.create({ input_file_id: id, ...WINDOW })).rejects.toThrow(BadRequestError);
  });
});
