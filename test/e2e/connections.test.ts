import { expect, test } from "vitest";
import { ended, job, submit } from "./support/client.ts";
import { pools, startService } from "./support/service.ts";
import { answer, startUpstream } from "./support/upstream.ts";

const SLUICE_POOLS = pools({ rpm: 100_000, tpm: 100_000_000 });

test("calls one after another -> go over one connection, but for that whose stream did not end after its last word", async () => {
  const upstream = await startUpstream((_, response, count) => {
    if (count === 3) Object.assign(response, { end: (last: string) => response.write(last) });
    answer(response, ["one", "two"]);
  });
  const service = await startService({ vars: { OPENAI_API_KEY: "sk-test", OPENAI_BASE_URL: `${upstream.url}/v1`, SLUICE_POOLS } });
  for (let call = 0; call < 5; call++) {
    const { id } = await submit(service, job());
    expect((await ended(service, id)).status).toBe("completed");
  }
  const [first, second, third, fourth, fifth] = upstream.received.map(({ port }) => port);
  expect([second, third]).toEqual([first, first]);
  expect(fourth).not.toBe(first);
  expect(fifth).toBe(fourth);
});
