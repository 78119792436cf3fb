import { expect, it } from "vitest";
import { Unread } from "../../workers/ingress/unread.ts";

const bytes = (count: number) => new Uint8Array(count);

function open(most: number) {
  const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>();
  return { unread: new Unread(writable.getWriter(), most), reader: readable.getReader() };
}

it("holds so much for a client that does not read, and waits beyond it until enough is read", async () => {
  const { reader, unread } = open(10);
  await unread.write(bytes(4));
  await unread.write(bytes(6));
  let waits = true;
  const more = unread.write(bytes(5)).then(() => {
    waits = false;
  });
  await reader.read();
  // Four of fifteen bytes are read: eleven are too many.
  expect(waits).toBe(true);
  await reader.read();
  await more;
  expect((await reader.read()).value?.byteLength).toBe(5);
});

it("waiting for a client that goes away ends", async () => {
  const { reader, unread } = open(10);
  const write = unread.write(bytes(11));
  await reader.cancel("gone");
  await write.catch(() => {});
});
