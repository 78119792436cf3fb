/** The platform gave up an alarm: what it was set for still happens. */
import { createScheduledController, env } from "cloudflare:test";
import { afterEach, beforeEach, expect, it } from "vitest";
import type { Env } from "../../platform/objects.ts";
import worker from "../../workers/index.ts";
import { alarm, enqueue, playAll, ticket } from "../support/desk.ts";
import type { Coordinator } from "../support/entry.ts";
import { coordinator, ended, evict, inside, mailbox, submit, until } from "../support/service.ts";
import { cleared, kill } from "../support/stand.ts";
import { EPOCH, resetWorld, world } from "../support/world.ts";

beforeEach(resetWorld);
afterEach(cleared);

const HOUR_MS = 3_600_000;
const RETENTION_MS = 72 * HOUR_MS;

/** Calls the scheduled handler, as the platform's clock does. */
const clock = () => worker.scheduled(createScheduledController(), env as unknown as Env);

it.each([
  ["sleeps", () => evict(coordinator())],
  ["has died", () => kill(coordinator())],
])("a coordinator that %s and has lost its alarm starts what is due once the clock calls", async (_, ends) => {
  const played = playAll();
  await enqueue([ticket("a", { notBefore: EPOCH + HOUR_MS }), ticket("b", { notBefore: EPOCH + 2 * HOUR_MS })]);
  await inside(coordinator(), (_, state) => state.storage.deleteAlarm());
  await ends();
  world.now = EPOCH + HOUR_MS;
  await clock();
  await until(() => played.jobs().includes("a"));
  expect(played.jobs()).toEqual(["a"]);
  expect(await alarm()).not.toBeNull();
});

it("a coordinator that is awake all along and has lost its alarm starts what is due once the clock calls, and has an alarm again", async () => {
  const played = playAll();
  await enqueue([ticket("a", { notBefore: EPOCH + HOUR_MS }), ticket("b", { notBefore: EPOCH + 2 * HOUR_MS })]);
  await inside(coordinator(), (_, state) => state.storage.deleteAlarm());
  world.now = EPOCH + HOUR_MS + 300_000;
  await clock();
  await until(() => played.jobs().includes("a"));
  expect(await alarm()).not.toBeNull();
});

it.each([
  ["lives on", async () => {}],
  ["slept", () => evict(mailbox("alice", "c"))],
])("a mailbox that %s and whose alarm is long overdue is woken at once by its next job", async (_, passes) => {
  const alarmAt = () => inside(mailbox("alice", "c"), (_, state) => state.storage.getAlarm());
  const { id } = await submit({ channel: "c" });
  await ended(id);
  const due = (await alarmAt())!;
  expect(due).toBeLessThanOrEqual(EPOCH + RETENTION_MS);
  await passes();
  world.now = due + HOUR_MS;
  await submit({ channel: "c" });
  await until(async () => (await alarmAt()) !== due);
  expect(await alarmAt()).toBe(world.now);
});

it("a coordinator that has nothing to do and is called by the clock writes nothing, and sleeps on", async () => {
  await clock();
  await evict(coordinator());
  await clock();
  expect(await inside(coordinator(), (object) => (object as unknown as Coordinator).rowsWritten())).toBe(0);
  expect(await alarm()).toBeNull();
});
