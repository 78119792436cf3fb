/** A client that comes back to more jobs than it asks for at once. */
import { afterEach, expect, test, vi } from "vitest";
import { type Asked, expectNothingOpen, fakeTime, json, reader, refusal, settle, stage } from "./stage.ts";

fakeTime();
afterEach(expectNothingOpen);

const empty = ({ path }: Asked) =>
  path.startsWith("/v1/jobs?") ? json({ object: "list", data: [], last_id: null, has_more: false }) : refusal(426, "upgrade_required");

const jobs = (count: number) => Object.fromEntries(Array.from({ length: count }, (_, n) => [`j${n}`, 1]));
const named = (wishes: { after?: Record<string, number> }[]) => wishes.reduce((sum, { after }) => sum + Object.keys(after ?? {}).length, 0);

test("nothing is new of those that were asked for, and other jobs of the channel never rest -> the others are asked for all the same, and it is ready", async () => {
  const { client, socket } = stage(empty);
  const events = client.subscribe("c", { after: jobs(7_000) });
  const { told } = reader(events);
  let ready = false;
  void events.ready.then(
    () => {
      ready = true;
    },
    () => {},
  );
  await settle();
  socket(0).open();
  let answered = 0;
  const answer = () => {
    for (const { length } = socket(0).wishes; answered < length; answered++) socket(0).subscribed();
  };
  answer();
  for (let n = 0; n < 40; n++) {
    socket(0).tell(`other${n}`, 1, "queued");
    socket(0).say("pong");
    await vi.advanceTimersByTimeAsync(500);
    answer();
  }
  socket(0).tell("j6999", 2, "in_progress");
  socket(0).tell("j6999", 3, "completed");
  await settle();
  const asked = named(socket(0).wishes);
  await events.return();
  expect(asked).toBe(7_000);
  expect(told.slice(-2)).toEqual(["j6999 2 in_progress", "j6999 3 completed"]);
  expect(ready).toBe(true);
});

test("of those that were asked for one goes on every half second, and nothing is new of the rest -> the others are asked for soon, and a stream among them goes on", async () => {
  const { client, socket } = stage(empty);
  const events = client.subscribe("c", { after: jobs(7_000) });
  const { told } = reader(events);
  await settle();
  socket(0).open();
  let answered = 0;
  for (let n = 0; n < 20; n++) {
    for (const { length } = socket(0).wishes; answered < length; answered++) socket(0).subscribed();
    socket(0).tell(`j${n}`, 2, "in_progress");
    socket(0).say("pong");
    await vi.advanceTimersByTimeAsync(500);
  }
  socket(0).tell("j6999", 2, "in_progress");
  await settle();
  const asked = named(socket(0).wishes);
  await events.return();
  expect(asked).toBe(7_000);
  expect(told.at(-1)).toBe("j6999 2 in_progress");
});

test("many that were asked for are told of, one after the other -> no more are asked for than may be lacking", async () => {
  const { client, socket } = stage(empty);
  const events = client.subscribe("c", { after: jobs(30_000) });
  reader(events);
  await settle();
  socket(0).open();
  let answered = 0;
  let most = 0;
  for (let n = 0; n < 1_000; n++) {
    for (const { length } = socket(0).wishes; answered < length; answered++) socket(0).subscribed();
    socket(0).tell(`j${n}`, 2, "completed");
    if (n % 100 === 0) socket(0).say("pong");
    await vi.advanceTimersByTimeAsync(20);
    most = Math.max(most, named(socket(0).wishes) - n);
  }
  await events.return();
  expect(most).toBeLessThan(10_000);
});

test("its reader is slow -> no more are asked for while what came is unread, however long nothing comes, and it is ready", async () => {
  const { client, socket } = stage(empty);
  const events = client.subscribe("c", { after: jobs(12_000) });
  await settle();
  socket(0).open();
  let answered = 0;
  for (const { length } = socket(0).wishes; answered < length; answered++) socket(0).subscribed();
  // A window's worth, and then the service waits for an ack.
  for (let n = 0; n < 170; n++) socket(0).tell(`j${n}`, 2, "completed", { text: "x".repeat(1_500) });
  const rest = async () => {
    for (let second = 0; second < 10; second++) {
      await vi.advanceTimersByTimeAsync(1_000);
      for (const { length } = socket(0).wishes; answered < length; answered++) socket(0).subscribed();
      socket(0).say("pong");
    }
  };
  await rest();
  await events.ready;
  expect(named(socket(0).wishes)).toBeLessThan(10_000);
  const { told } = reader(events);
  await rest();
  expect(told.length).toBe(170);
  expect(named(socket(0).wishes)).toBe(12_000);
  await events.return();
});
