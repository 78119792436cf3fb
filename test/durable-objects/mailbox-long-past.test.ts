/** A consumer that comes back to a channel where much has happened. */
import { reset } from "cloudflare:test";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { MailboxStore } from "../../durable-objects/mailbox/store/store.ts";
import { copyFirstJob } from "../support/copies.ts";
import { crash, over, submit, until } from "../support/service.ts";
import { connect } from "../support/socket.ts";
import { completion, resetWorld, world } from "../support/world.ts";

beforeEach(resetWorld);
afterEach(reset);
afterEach(() => {
  vi.restoreAllMocks();
});

const JOBS = 8_000;
const consumer = { channel: "c", consumer: "worker" };

/** One job has ended since the consumer left; copies of it make it `JOBS`, each with the next three places. */
async function longPast(): Promise<void> {
  const first = await connect({ channel: "c" });
  await first.subscribe(consumer);
  first.socket.close(1000);
  world.upstream = () => completion("x".repeat(1_000));
  const { id } = await submit({ channel: "c" });
  await over(id);
  await copyFirstJob(JOBS - 1);
}

it("a past of thousands of jobs is looked through with a turn for others now and then, and each job a few times", async () => {
  await longPast();
  await crash();
  let looked = 0;
  let perTurn = 0;
  let most = 0;
  const real = MailboxStore.prototype.unsettled;
  vi.spyOn(MailboxStore.prototype, "unsettled").mockImplementation(function* (this: MailboxStore, ...args) {
    for (const row of real.apply(this, args)) {
      looked++;
      perTurn++;
      most = Math.max(most, perTurn);
      yield row;
    }
  });
  const ticks = setInterval(() => {
    perTurn = 0;
  }, 0);
  const client = await connect({ channel: "c" });
  await client.subscribe(consumer);
  await until(() => client.events().length >= 3 * JOBS, 100_000);
  clearInterval(ticks);
  expect(most).toBeLessThan(JOBS);
  expect(looked).toBeLessThan(4 * JOBS);
});
