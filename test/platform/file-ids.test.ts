import { describe, expect, it } from "vitest";
import { batchId, fileId, newName, parseBatchId, parseFileId } from "../../platform/file-ids.ts";

const NOW = Date.UTC(2026, 10, 26);

describe("ids of files and batches", () => {
  const name = newName(NOW);

  it.each(["input", "output", "error"] as const)("a file's says which it is: %s", (kind) => {
    expect(parseFileId("alice", fileId("alice", name, kind))).toEqual({ name, kind });
    expect(parseFileId("bob", fileId("alice", name, kind))).toBeNull();
    expect(parseBatchId("alice", fileId("alice", name, kind))).toBeNull();
  });

  it("a batch's is another's to nobody else", () => {
    expect(parseBatchId("alice", batchId("alice", name))).toBe(name);
    expect(parseBatchId("bob", batchId("alice", name))).toBeNull();
    expect(parseFileId("alice", batchId("alice", name))).toBeNull();
  });

  it.each(["", "file-", "file-abc", `${fileId("alice", name, "input")}x`, fileId("alice", `${name}/`, "input"), "library"])(
    "%s is none, and no object is made for it",
    (id) => {
      expect(parseFileId("alice", id)).toBeNull();
      expect(parseBatchId("alice", id)).toBeNull();
    },
  );

  it("are in the order of time, and two of one instant differ", () => {
    expect(newName(NOW) < newName(NOW + 1)).toBe(true);
    expect(newName(NOW)).not.toBe(newName(NOW));
  });
});
