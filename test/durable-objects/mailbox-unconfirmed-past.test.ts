/** A consumer that comes back after much has happened since a job that the coordinator has yet to confirm. */
import { reset } from "cloudflare:test";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { MailboxStore } from "../../durable-objects/mailbox/store/store.ts";
import { copyFirstJob } from "../support/copies.ts";
import { crash, inside, mailbox, over, submit, until } from "../support/service.ts";
import { connect } from "../support/socket.ts";
import { later, unconfirmed } from "../support/telling.ts";
import { completion, resetWorld, world } from "../support/world.ts";

beforeEach(resetWorld);
afterEach(reset);
afterEach(() => {
  vi.restoreAllMocks();
});

/** Copied jobs: they have more events than a page holds. */
const JOBS = 800;
/** Events of the copies and of the job that they are copies of. */
const EVENTS = 3 * (JOBS + 1);
const consumer = { channel: "c", consumer: "worker" };

const jobs = () => inside(mailbox("alice", "c"), (_, { storage }) => storage.sql.exec("SELECT n FROM jobs").toArray().length);

/** Jobs that the coordinator has yet to confirm. */
const awaited = () =>
  inside(mailbox("alice", "c"), (object) => (object as unknown as { intake: { unconfirmed: number } }).intake.unconfirmed);

/** A consumer comes and goes; then comes a job that stays unconfirmed until the returned function is called; after it much happens. */
async function longPast(): Promise<() => void> {
  const first = await connect({ channel: "c" });
  await first.subscribe(consumer);
  first.socket.close(1000);
  world.upstream = () => completion("hello");
  await over((await submit({ channel: "c" })).id);
  const confirm = unconfirmed();
  submit({ channel: "c", ...later }).catch(() => {});
  await until(async () => (await jobs()) === 2);
  await copyFirstJob(JOBS, 10);
  await crash();
  return confirm;
}

it("is told all of it, each page looked for once, and the job when it is confirmed", async () => {
  const confirm = await longPast();
  const looks = vi.spyOn(MailboxStore.prototype, "unsettled");
  const client = await connect({ channel: "c" });
  await client.subscribe(consumer);
  await until(() => client.events().length === EVENTS);
  expect(looks.mock.calls.length).toBeLessThan(10);
  confirm();
  await until(() => client.events().length === EVENTS + 1);
  expect(client.events().at(-1)).toMatchObject({ seq: 1, event: "queued" });
});

it("that is confirmed while it is being told what came after -> both are told, each once", async () => {
  const confirm = await longPast();
  const client = await connect({ channel: "c" });
  client.send({ type: "ack", frames: 0 });
  await client.subscribe(consumer);
  let acked = 0;
  const ack = () => {
    client.send({ type: "ack", frames: client.events().length - acked });
    acked = client.events().length;
  };
  await until(() => {
    ack();
    return acked > 1_200;
  });
  confirm();
  await until(async () => (await awaited()) === 0);
  await until(() => {
    ack();
    return acked > EVENTS;
  });
  const told = client.events().map(({ job, seq }) => `${job} ${seq}`);
  expect(new Set(told).size).toBe(EVENTS + 1);
  expect(told.length).toBe(EVENTS + 1);
});
