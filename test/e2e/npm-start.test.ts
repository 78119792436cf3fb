import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import type { Job } from "../../schemas/job.ts";
import { Chronicle } from "./support/chronicle.ts";
import { call, ended, find, job, submit } from "./support/client.ts";
import { Follower } from "./support/follower.ts";
import { freePort, gone, killGroup, npmStart, shell } from "./support/npm.ts";
import { stateDirectory } from "./support/service.ts";

test("npm start -> its curl line gives a job, and so does the README's; SIGTERM ends it and leaves nothing behind", async () => {
  const port = await freePort();
  const started = await npmStart(port, stateDirectory());
  const place = { url: `http://127.0.0.1:${port}` };
  expect(started.output()).toContain(place.url);
  expect(started.output()).toContain("sk-dev-alice");
  expect((await fetch(`${place.url}/healthz`)).status).toBe(200);

  const accepted = JSON.parse(await shell(started.curl)) as Job;
  expect(accepted).toMatchObject({ object: "job", id: expect.stringMatching(/^job_/) });
  expect(await ended(place, accepted.id)).toMatchObject({ status: "completed", attempts: 1, usage: { total_tokens: expect.any(Number) } });

  const [submitLine, waitLine, queueLine] = readmeLines(port);
  const second = JSON.parse(await shell(submitLine!)) as Job;
  expect(second).toMatchObject({ object: "job", channel: "demo" });
  expect(JSON.parse(await shell(waitLine!.replace("JOB_ID", second.id)))).toMatchObject({ id: second.id, status: "completed" });
  expect(JSON.parse(await shell(queueLine!))).toMatchObject({ object: "queue" });

  started.child.kill("SIGTERM");
  const { code, signal } = await started.exited;
  expect(code === 0 || signal === "SIGTERM").toBe(true);
  await gone(started.workerd);
  await expect(fetch(`${place.url}/healthz`)).rejects.toThrow();
});

test("kill -9 of npm and all its group -> workerd goes too; started again at once, same port and state, everything is there", async () => {
  const port = await freePort();
  const state = stateDirectory();
  const place = { url: `http://127.0.0.1:${port}` };
  const first = await npmStart(port, state);
  const done = await ended(place, (await submit(place, job({ channel: "kept" }))).id);
  const waiting = await submit(place, job({ not_before: Date.now() / 1_000 + 3 }));
  const follower = await Follower.connect(place, new Chronicle());
  killGroup(first.child);
  await first.exited;

  const second = await npmStart(port, state);
  expect(second.workerd).not.toBe(first.workerd);
  await gone(first.workerd);
  expect(await follower.closed).toBe(1006);
  expect(await find(place, done.id)).toEqual(done);
  expect((await ended(place, waiting.id)).status).toBe("completed");
  expect(second.output()).not.toMatch(/error|exception/i);
  killGroup(second.child);
  await gone(second.workerd);
});

test("the state is in use, or the port taken -> said in one line, and whoever runs goes on", async () => {
  const port = await freePort();
  const state = stateDirectory();
  const place = { url: `http://127.0.0.1:${port}` };
  const first = await npmStart(port, state);
  await expect(npmStart(await freePort(), state)).rejects.toThrow(/sluice: Sluice is already running with this state directory/);
  await expect(npmStart(port, stateDirectory())).rejects.toThrow(new RegExp(`sluice: Port ${port} on 127\\.0\\.0\\.1 is already in use`));
  const { status } = await call(place, "GET", "/healthz");
  expect(status).toBe(200);
  // Ctrl-C: the terminal signals the whole process group.
  process.kill(-first.child.pid!, "SIGINT");
  await first.exited;
  await gone(first.workerd);
});

/** The README's curl lines about one job and the queue, with another port. */
function readmeLines(port: number): string[] {
  const text = readFileSync(join(import.meta.dirname, "../../README.md"), "utf8");
  const blocks = [...text.matchAll(/```sh\n([\s\S]*?)```/g)].map(([, block]) => block!.replaceAll("\\\n", " "));
  const lines = blocks.flatMap((block) => block.split("\n")).filter((line) => line.startsWith("curl ") && !line.includes("jobs.jsonl"));
  return lines.map((line) => line.replaceAll("127.0.0.1:8787", `127.0.0.1:${port}`));
}
