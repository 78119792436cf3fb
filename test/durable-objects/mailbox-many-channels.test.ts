/** Clients that come back to jobs of many channels at once. */
import { afterEach, beforeEach, expect, it } from "vitest";
import type { FollowCall, Followed } from "../../schemas/rpc.ts";
import { over, submit, until } from "../support/service.ts";
import { connect } from "../support/socket.ts";
import { cleared } from "../support/stand.ts";
import { chunk, resetWorld, stream, world } from "../support/world.ts";

beforeEach(resetWorld);
afterEach(cleared);

const CHANNELS = 24;

it("what the mailboxes answer is not all held at once, and everybody is told everything", async () => {
  // Each job's events have a million and a half characters.
  world.upstream = () =>
    stream([
      chunk([{ index: 0, delta: { role: "assistant", content: "x".repeat(750_000) }, finish_reason: "stop" }]),
      { ...chunk([]), usage: { prompt_tokens: 1, completion_tokens: 1, total_tokens: 2 } },
      "[DONE]",
    ]);
  const jobs: string[] = [];
  for (let n = 0; n < CHANNELS; n++) jobs.push((await submit({ channel: `c${n}` })).id);
  for (const id of jobs) await over(id);
  let [underway, most, held] = [0, 0, 0];
  let letGo = false;
  const asked: string[] = [];
  world.between.set("mailbox.follow", async (go, [call]) => {
    most = Math.max(most, ++underway);
    asked.push((call as FollowCall).jobs[0]!.id);
    const answer = (await go()) as Followed;
    held += JSON.stringify(answer).length;
    // Polls until the test has seen enough, which no clock can tell.
    while (!letGo) await scheduler.wait(2);
    underway--;
    return answer;
  });
  const clients = await Promise.all(Array.from({ length: 3 }, () => connect({ channel: "lobby" })));
  for (const client of clients) client.send({ type: "subscribe", jobs, deltas: true });
  await until(() => underway === 24);
  expect(held).toBeLessThan(24_000_000);
  letGo = true;
  for (const client of clients) for (const id of jobs) await client.saw(id, "completed");
  expect(most).toBe(24);
  expect(asked).toHaveLength(3 * CHANNELS);
  for (const client of clients) expect(jobs.every((id) => client.story(id).length === client.events(id).at(-1)!.seq)).toBe(true);
});
