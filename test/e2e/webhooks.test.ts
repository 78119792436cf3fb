import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { createServer, type IncomingHttpHeaders, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { Webhook } from "standardwebhooks";
import { expect, onTestFinished, test } from "vitest";
import { DEVELOPMENT_WEBHOOK_SECRET } from "../../platform/settings.ts";
import type { Delivery, JobEndedEvent } from "../../schemas/webhook.ts";
import { call, ended, job, submit, until } from "./support/client.ts";
import { freePort } from "./support/npm.ts";
import { crash, startAgain, startService, stateDirectory } from "./support/service.ts";

const root = join(import.meta.dirname, "../..");
const vars = { SIMULATOR_SETTINGS: JSON.stringify({ speed: 0 }) };

type Received = { path: string; headers: IncomingHttpHeaders; body: string };

/** A receiver that keeps what it was sent and answers with `answer`; `nth` counts from 1. */
async function startReceiver(answer: (response: ServerResponse, nth: number) => void): Promise<{ url: string; received: Received[] }> {
  const received: Received[] = [];
  const server = createServer(async (request, response) => {
    let body = "";
    for await (const piece of request.setEncoding("utf8")) body += piece;
    received.push({ path: request.url ?? "", headers: request.headers, body });
    answer(response, received.length);
  });
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, received };
}

const event = ({ body, headers }: Received) =>
  new Webhook(DEVELOPMENT_WEBHOOK_SECRET).verify(body, headers as Record<string, string>) as JobEndedEvent;
const only = async (place: { url: string }, id: string) =>
  (await call<{ data: Delivery[] }>(place, "GET", `/v1/jobs/${id}/deliveries`)).body.data[0];

test("the receiver of the documents -> verifies the event of a job and prints its answer", async () => {
  const [, code] = /```js\n(import \{ createServer \}.*?)```/s.exec(readFileSync(join(root, "docs/api.md"), "utf8"))!;
  const port = await freePort();
  const env = { ...process.env, PORT: String(port), WEBHOOK_SECRET: DEVELOPMENT_WEBHOOK_SECRET };
  const receiver = spawn(process.execPath, ["--input-type=module", "--eval", code!], { cwd: root, env });
  onTestFinished(() => void receiver.kill("SIGKILL"));
  let printed = "";
  for (const stream of [receiver.stdout, receiver.stderr]) {
    stream.setEncoding("utf8").on("data", (text: string) => {
      printed += text;
    });
  }
  const url = `http://127.0.0.1:${port}/`;
  await until("the receiver", () =>
    fetch(url, { method: "POST" }).then(
      ({ status }) => status === 400,
      () => false,
    ),
  );

  const service = await startService({ vars });
  const { id } = await submit(service, job({ webhook: url }));
  const { response } = await ended(service, id);
  const { content } = (response as { choices: { message: { content: string } }[] }).choices[0]!.message;
  await until("the event", () => printed.includes(`${id.replace("job_", "evt_")} job.completed ${id} ${content}`));
  await until("the delivery", async () => (await only(service, id))?.status === "delivered");
});

test("a redirect, killed, started again -> the redirect is not followed, and the event comes again by itself", async () => {
  const receiver = await startReceiver((response, nth) => {
    if (nth === 1) response.writeHead(302, { location: "/trap" }).end("go there");
    else response.writeHead(200).end("thanks");
  });
  const state = stateDirectory();
  const before = await startService({ state, vars });
  const { id } = await submit(before, job({ webhook: `${receiver.url}/hook` }));
  await until("the first attempt", async () => (await only(before, id))?.attempts === 1);
  expect(await only(before, id)).toMatchObject({ status: "pending", last_status: 302 });
  await crash(before);

  const after = await startAgain(before, state, vars);
  await until("the second attempt", () => receiver.received.length === 2);
  await until("the delivery", async () => (await only(after, id))?.status === "delivered");
  expect(receiver.received.map(({ path }) => path)).toEqual(["/hook", "/hook"]);
  const [first, second] = receiver.received.map(event);
  expect(second).toEqual(first);
  expect(first).toMatchObject({ type: "job.completed", data: { id, truncated: false } });
  expect(receiver.received[0]!.headers["webhook-id"]).toBe(first!.id);
});
