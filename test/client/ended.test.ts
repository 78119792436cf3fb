/** What the client does about jobs that were known to have ended when it began. */
import { afterEach, expect, test, vi } from "vitest";
import { expectNothingOpen, fakeTime, json, reader, refusal, settle, stage } from "./stage.ts";

fakeTime();
afterEach(expectNothingOpen);

const answer = ({ path }: { path: string }) =>
  path.startsWith("/v1/jobs") ? json({ object: "list", data: [], last_id: null, has_more: false }) : refusal(426, "invalid_request_error");

test("a job's stream after the end -> it ends, with no event", async () => {
  const { client, socket } = stage(answer);
  const { told, done } = reader(client.stream("j", { after: 6 }));
  await settle();
  socket(0).open();
  socket(0).subscribed();
  socket(0).say({ type: "ended", jobs: ["j"] });
  expect(await done).toBe("ended");
  expect(told).toEqual([]);
});

test("a job's stream after more than there is -> the end is passed on, and nothing that came before", async () => {
  const { client, socket } = stage(answer);
  const { told, done } = reader(client.stream("j", { after: 99 }));
  await settle();
  socket(0).open();
  socket(0).subscribed();
  await settle();
  socket(0).tell("j", 2, "in_progress");
  socket(0).tell("j", 3, "completed");
  expect(await done).toBe("ended");
  expect(told).toEqual(["j 3 completed"]);
});

test.each([true, false])(
  "a channel: after the end, or more than there is -> the next connection asks for it no more (deltas: %s)",
  async (deltas) => {
    const { client, socket } = stage(answer);
    const events = client.subscribe("c", { after: { known: 6, beyond: 99, open: 2 }, deltas });
    const { told } = reader(events);
    await settle();
    socket(0).open();
    socket(0).subscribed();
    await settle();
    socket(0).say({ type: "ended", jobs: ["known"] });
    socket(0).tell("beyond", 3, "completed");
    socket(0).tell("open", 3, "retrying");
    socket(0).drop();
    await vi.advanceTimersByTimeAsync(1_000);
    socket(1).open();
    expect(socket(1).wishes).toMatchObject([{ channel: "c", after: { open: 3 } }]);
    expect(Object.keys(socket(1).wishes[0]!.after!)).toEqual(["open"]);
    expect(told).toEqual(["beyond 3 completed", "open 3 retrying"]);
    await events.return();
  },
);
