/** An alarm that the platform gave up: what it was set for happens all the same. */
import { env } from "cloudflare:test";
import { afterEach, beforeEach, expect, it } from "vitest";
import type { Env } from "../../platform/objects.ts";
import { look } from "../../workers/look.ts";
import { alarm, enqueue, playAll, ticket } from "../support/desk.ts";
import { coordinator, evict, inside, until } from "../support/service.ts";
import { cleared, kill } from "../support/stand.ts";
import { EPOCH, resetWorld, world } from "../support/world.ts";

beforeEach(resetWorld);
afterEach(cleared);

const HOUR_MS = 3_600_000;

it.each([
  ["sleeps", () => evict(coordinator())],
  ["has died", () => kill(coordinator())],
])("a coordinator that %s and has lost its alarm starts what is due once the clock calls", async (_, ends) => {
  const played = playAll();
  await enqueue([ticket("a", { notBefore: EPOCH + HOUR_MS }), ticket("b", { notBefore: EPOCH + 2 * HOUR_MS })]);
  await inside(coordinator(), (_, state) => state.storage.deleteAlarm());
  await ends();
  world.now = EPOCH + HOUR_MS;
  await look(env as unknown as Env);
  await until(() => played.jobs().includes("a"));
  expect(played.jobs()).toEqual(["a"]);
  expect(await alarm()).not.toBeNull();
});
