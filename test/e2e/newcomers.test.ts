/** New connections while others keep the service busy. */
import { Agent, request } from "node:http";
import { expect, test } from "vitest";
import type { Runtime } from "../../scripts/runtime.ts";
import { job } from "./support/client.ts";
import { pools, startService } from "./support/service.ts";

/** Enough that a next request is always waiting when workerd comes to read one. */
const LANES = 64;
/** Limit on how many requests may pass a newcomer. */
const PASSED = 4 * LANES;

function call(service: Runtime, path: string, agent: Agent | false, body?: object): Promise<number> {
  const headers = { authorization: "Bearer sk-dev-alice", "content-type": "application/json" };
  return new Promise((done, fail) => {
    const sent = request(service.url + path, { method: body ? "POST" : "GET", headers, agent }, (response) => {
      response.resume().on("end", () => done(response.statusCode!));
    });
    sent.on("error", fail).end(body && JSON.stringify(body));
  });
}

test("submits follow each other on open connections -> a new connection is answered all the same", async () => {
  const service = await startService({ vars: { SLUICE_POOLS: pools({ rpm: 100_000, tpm: 100_000_000 }) } });
  const agent = new Agent({ keepAlive: true, maxSockets: LANES });
  let answers = 0;
  const passed: number[] = [];
  const newcomers: Promise<void>[] = [];
  const newcomer = async () => {
    const before = answers;
    await call(service, "/", false);
    passed.push(answers - before);
  };
  const lane = async () => {
    while (answers < 600) {
      expect(await call(service, "/v1/jobs", agent, job())).toBe(202);
      if (++answers % 50 === 0) newcomers.push(newcomer());
    }
  };
  await Promise.all(Array.from({ length: LANES }, lane));
  await Promise.all(newcomers);
  agent.destroy();
  expect(Math.max(...passed)).toBeLessThan(PASSED);
});
