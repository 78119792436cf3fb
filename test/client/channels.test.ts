import { afterEach, describe, expect, test, vi } from "vitest";
import { type Asked, delta, expectNothingOpen, fakeTime, json, reader, refusal, settle, stage } from "./stage.ts";

type Listed = { id: string; status: string; created_at: number };

fakeTime();
afterEach(expectNothingOpen);

/** The channel's list as the service returns it, newest first. `jobs` may change between calls. */
function listing(jobs: () => Listed[], pageSize = 100) {
  return ({ path }: Asked) => {
    if (!path.startsWith("/v1/jobs?")) return refusal(426, "invalid_request_error", "upgrade_required");
    const query = new URLSearchParams(path.split("?")[1]);
    const all = jobs().filter(({ status }) => (query.get("status") ?? status) === status);
    const from = all.findIndex(({ id }) => id === query.get("after")) + 1;
    const size = Math.min(pageSize, Number(query.get("limit")));
    const data = all.slice(from, from + size);
    return json({ object: "list", data, last_id: data.at(-1)?.id ?? null, has_more: all.length > from + size });
  };
}

describe("a channel", () => {
  test("jobs that came and went while no connection stood -> found in the list down to the newest one known, and told from the beginning", async () => {
    let jobs: Listed[] = [{ id: "old", status: "completed", created_at: 1 }];
    const { client, socket, asked } = stage(listing(() => jobs, 2));
    const events = client.subscribe("c");
    const { told, done } = reader(events);
    await settle();
    expect(socket(0).url).toBe("ws://sluice/v1/subscribe?channel=c");
    socket(0).open();
    socket(0).subscribed();
    await events.ready;
    socket(0).tell("a", 1, "queued");
    socket(0).tell("a", 2, "in_progress");
    await settle();
    socket(0).drop();
    jobs = ["d", "c", "b", "a", "old"].map((id, n) => ({ id, status: "completed", created_at: 9 - n }));
    const before = asked.length;
    await vi.advanceTimersByTimeAsync(125);
    socket(1).open();
    expect(socket(1).wishes).toMatchObject([{ channel: "c", after: { a: 2 } }]);
    socket(1).subscribed();
    socket(1).tell("a", 3, "completed", { status: "completed" });
    await settle();
    expect(asked.slice(before).map(({ path }) => new URLSearchParams(path.split("?")[1]).get("after"))).toEqual([null, "c", "a"]);
    expect(socket(1).wishes.slice(1)).toMatchObject([{ after: { d: 0, c: 0 } }, { after: { b: 0 } }]);
    socket(1).subscribed();
    socket(1).tell("d", 1, "queued");
    socket(1).tell("d", 2, "completed");
    socket(1).subscribed();
    socket(1).tell("b", 1, "queued");
    // The end of `a` comes again, as after a restart of the service.
    socket(1).tell("a", 3, "completed", { status: "completed" });
    socket(1).tell("d", 1, "queued");
    await settle();
    await events.return();
    expect(await done).toBe("ended");
    expect(told).toEqual(["a 1 queued", "a 2 in_progress", "a 3 completed", "d 1 queued", "d 2 completed", "b 1 queued"]);
  });

  test("open when it begins -> asked for from the beginning; what is told of a job before its past is told in order with it", async () => {
    const jobs = [
      { id: "s", status: "scheduled", created_at: 3 },
      { id: "q", status: "queued", created_at: 2 },
      { id: "e", status: "completed", created_at: 1 },
    ];
    const { client, socket } = stage(listing(() => jobs));
    const events = client.subscribe("c", { deltas: true });
    const { told } = reader(events);
    await settle();
    socket(0).open();
    socket(0).subscribed();
    await settle();
    expect(socket(0).wishes.slice(1)).toMatchObject([{ after: { s: 0 } }, { after: { q: 0 } }]);
    // Too early: it is told again later, in its place.
    socket(0).tell("q", 2, "in_progress");
    socket(0).subscribed();
    socket(0).tell("q", 2, "in_progress");
    socket(0).subscribed();
    for (const [seq, name] of ["queued", "in_progress", "completed"].entries()) socket(0).tell("q", seq + 1, name as "queued");
    // A job that was unknown so far, in mid-course.
    socket(0).tell("new", 4, "delta", delta("x"));
    expect(socket(0).wishes.at(-1)).toMatchObject({ after: { new: 0 } });
    socket(0).tell("new", 5, "delta", delta("x"));
    socket(0).subscribed();
    socket(0).tell("new", 1, "queued");
    await settle();
    await events.return();
    expect(told).toEqual(["q 1 queued", "q 2 in_progress", "q 3 completed", "new 1 queued"]);
  });

  test("the list cannot be had -> another connection; it is forbidden -> PermissionError", async () => {
    let status = 503;
    const { client, socket } = stage(() => refusal(status, "some_error"), { retries: 0 });
    const events = client.subscribe("c");
    const { done } = reader(events);
    await settle();
    socket(0).open();
    socket(0).subscribed();
    await vi.advanceTimersByTimeAsync(125);
    status = 403;
    socket(1).open();
    socket(1).subscribed();
    expect(await done).toMatchObject({ name: "PermissionError" });
    await expect(events.ready).rejects.toMatchObject({ name: "PermissionError" });
  });

  test("hundreds of open jobs -> asked for in frames of 500, and what overtakes its frame's answer waits for it", async () => {
    const { client, socket } = stage(listing(() => []));
    const after = Object.fromEntries(Array.from({ length: 700 }, (_, n) => [`j${n}`, 1]));
    const events = client.subscribe("c", { after });
    const { told } = reader(events);
    await settle();
    socket(0).open();
    expect(socket(0).wishes.map((wish) => Object.keys(wish.after!).length)).toEqual([500, 200]);
    socket(0).subscribed();
    socket(0).tell("j0", 2, "in_progress");
    socket(0).tell("j699", 3, "completed");
    socket(0).subscribed();
    socket(0).tell("j699", 2, "in_progress");
    socket(0).tell("j699", 3, "completed");
    await settle();
    await events.return();
    expect(told).toEqual(["j0 2 in_progress", "j699 2 in_progress", "j699 3 completed"]);
  });

  test("tens of thousands of ends -> those long past are forgotten, the recent ones are not told twice", async () => {
    const newest = { id: "", status: "completed", created_at: 1 };
    const { client, socket, asked } = stage(listing(() => [newest]));
    const events = client.subscribe("c");
    const { told } = reader(events);
    await settle();
    socket(0).open();
    socket(0).subscribed();
    await settle();
    const lists = asked.length;
    for (let n = 0; n < 25_000; n++) {
      newest.id = `j${n}`;
      socket(0).tell(newest.id, 1, "queued");
      socket(0).tell(newest.id, 2, "completed");
      if (n % 1_000 === 999) await settle();
    }
    expect(asked.length - lists).toBe(2);
    socket(0).tell("j24999", 2, "completed");
    socket(0).tell("j12000", 1, "queued");
    await settle();
    expect(told).toHaveLength(50_000);
    await events.return();
  });
});
