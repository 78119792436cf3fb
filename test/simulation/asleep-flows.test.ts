/** Law: nobody starves, however many flows wait, even if the coordinator sleeps before each call. */
import { expect, it } from "vitest";
import { openDesk } from "./desk.ts";

const TENANTS = 520;

it(`of ${TENANTS} tenants with work waiting each has its turn before any has its third, though the coordinator sleeps before each call`, () => {
  const desk = openDesk({ rpm: 3, tpm: 1_000_000, ramp_tpm: null, burst_seconds: 20 });
  const ownerOf = new Map<string, string>();
  for (let index = 0; index < TENANTS; index++) {
    const tenant = `t${String(index).padStart(4, "0")}`;
    for (const { job } of desk.send(tenant, 100, 3)) ownerOf.set(job, tenant);
  }
  const starts = new Map<string, number>();
  let ended = 0;
  for (let calls = 0; starts.size < TENANTS && calls < 3 * TENANTS; calls++) {
    desk.passes(desk.state.now + 10_000);
    for (; ended < desk.started.length; ended++) {
      const { job } = desk.started[ended]!;
      const tenant = ownerOf.get(job)!;
      starts.set(tenant, (starts.get(tenant) ?? 0) + 1);
      desk.end(job);
    }
    desk.passes(desk.state.now + 10_200);
    desk.restart();
  }
  expect(starts.size).toBe(TENANTS);
  expect(Math.max(...starts.values())).toBeLessThanOrEqual(2);
}, 60_000);
