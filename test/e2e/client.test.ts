import { expect, onTestFinished, test } from "vitest";
import { type Event, isEnd, type JobInput, Sluice, textOf } from "../../client/index.ts";
import { Chronicle } from "./support/chronicle.ts";
import { until } from "./support/client.ts";
import { crash, pools, startAgain, startService, stateDirectory } from "./support/service.ts";

const vars = {
  SLUICE_POOLS: pools({ rpm: 1_000_000, tpm: 1_000_000_000 }),
  SIMULATOR_SETTINGS: JSON.stringify({ speed: 0, limits: { "gpt-5-mini*": { rpm: 1e6, tpm: 1e9 } } }),
};
/** An answer takes a second or two. */
const writing = { ...vars, SIMULATOR_SETTINGS: JSON.stringify({ speed: 1, limits: { "gpt-5-mini*": { rpm: 1e6, tpm: 1e9 } } }) };

function input(channel: string | null, metadata: Record<string, string> = {}): JobInput {
  const messages = [{ role: "user", content: "Hello." }];
  return { channel, request: { model: "gpt-5-mini", max_completion_tokens: 500, messages, metadata } };
}

function sluice({ url }: { url: string }, more: object = {}): Sluice {
  return new Sluice({ url, token: "sk-dev-alice", ...more });
}

async function all<T>(items: AsyncIterable<T>): Promise<T[]> {
  const found: T[] = [];
  for await (const item of items) found.push(item);
  return found;
}

const answerOf = (event: Event) =>
  event.event === "completed" && (event.data.response as { choices: { message: { content: string } }[] }).choices[0]?.message.content;

test("2,000 jobs with a bad one among them -> 1,999 accepted in order, the bad one fails alone; sent again under the same key, the same jobs", async () => {
  const client = sluice(await startService({ vars }));
  const jobs = Array.from({ length: 2_000 }, (_, n) => input(`c${n % 3}`));
  jobs[1_234] = { ...jobs[1_234]!, priority: 1e9 };
  const send = async () => {
    const answers = await all(client.submitMany(jobs, { idempotencyKey: "all-of-them" }));
    expect(answers.map(({ index }) => index)).toEqual(jobs.map((_, index) => index));
    return answers.map((answer) => (answer.ok ? answer.job.id : answer.error.name));
  };
  const first = await send();
  expect(first[1_234]).toBe("BadRequestError");
  expect(new Set(first).size).toBe(2_000);
  expect(await send()).toEqual(first);
  const { status, channel } = await client.wait(first[0]!);
  expect([status, channel]).toEqual(["completed", "c0"]);
});

test("the service is killed and started again under a subscription -> every job's events once, in order, without a gap", async () => {
  const state = stateDirectory();
  const before = await startService({ state, vars: writing });
  const client = sluice(before);
  const turns: string[] = [];
  const events = client.subscribe("tv", { deltas: true, onConnection: (turn) => turns.push(turn) });
  await events.ready;
  const told: Event[] = [];
  const reading = (async () => {
    for await (const event of events) told.push(event);
  })();
  const jobs = await all(client.submitMany(Array.from({ length: 20 }, (_, n) => input("tv", { simulate_key: `${n}` }))));
  await until("the first tokens", () => told.filter(({ event }) => event === "delta").length > 40);
  await crash(before);
  const after = await startAgain(before, state, writing);
  // Does not wait for the subscription: these may come while it is away.
  const later = await all(sluice(after).submitMany(Array.from({ length: 5 }, () => input("tv"))));
  const ids = [...jobs, ...later].map((each) => (each.ok ? each.job.id : "refused"));
  await until("all ends", () => told.filter(isEnd).length === ids.length);
  await events.return();
  await reading;

  expect(turns).toEqual(["open", "lost", "open"]);
  const chronicle = new Chronicle();
  for (const event of told) chronicle.add(event);
  expect(chronicle.repeated).toBe(0);
  for (const id of ids) {
    const seqs = told.filter(({ job }) => job === id).map(({ seq }) => seq);
    expect(seqs).toEqual([...seqs].sort((a, b) => a - b));
    expect(chronicle.fault(await client.get(id))).toBeNull();
  }
  expect(new Set(told.map(({ job }) => job))).toEqual(new Set(ids));
});

test("a subscription that begins late -> open jobs are told from their first event, ended ones not at all", async () => {
  const client = sluice(await startService({ vars: writing }));
  const ended = await client.submit({ ...input("late"), request: { ...input("late").request, max_completion_tokens: 5 } });
  await client.wait(ended.id);
  const open = await client.submit(input("late"));
  await until("it to run", async () => (await client.get(open.id)).status === "in_progress");
  const told: Event[] = [];
  for await (const event of client.subscribe("late")) {
    told.push(event);
    if (isEnd(event)) break;
  }
  expect(told.map(({ job }) => job)).toEqual(told.map(() => open.id));
  expect(told.map(({ event }) => event)).toEqual(["queued", "in_progress", "completed"]);
});

test("a job's stream, left in the middle and taken up again -> the text is the result's, to the letter", async () => {
  const client = sluice(await startService({ vars: writing }));
  const { id } = await client.submit(input(null));
  let text = "";
  let last = 0;
  let parts = 0;
  for (let round = 0; round < 3; round++) {
    for await (const event of client.stream(id, { after: last })) {
      expect(event.seq).toBeGreaterThan(last);
      last = event.seq;
      text += textOf(event);
      parts += event.event === "delta" ? 1 : 0;
      if (isEnd(event)) expect(answerOf(event)).toBe(text);
      if (round < 2 && parts > 5 * (round + 1)) break;
    }
  }
  expect(parts).toBeGreaterThan(12);
  expect((await client.get(id)).status).toBe("completed");
  // Once more from the middle, after the end.
  let rest = "";
  for await (const event of client.stream(id, { after: 5 })) rest += textOf(event);
  expect(text.endsWith(rest) && rest.length > 0).toBe(true);
});

test("what is refused -> an error of its own class", async () => {
  const place = await startService({ vars });
  const client = sluice(place);
  const failing = (work: Promise<unknown>) =>
    work.then(
      () => expect.unreachable(),
      (error: Error & { status: number; code: string }) => error,
    );
  expect(await failing(client.get("job_nobody"))).toMatchObject({ name: "NotFoundError", status: 404, code: "job_not_found" });
  expect(await failing(client.stream("job_nobody").next())).toMatchObject({ name: "NotFoundError", code: "job_not_found" });
  expect(await failing(sluice(place, { token: "sk-wrong" }).get("job_nobody"))).toMatchObject({ name: "AuthenticationError", status: 401 });
  expect(await failing(sluice(place, { token: "sk-wrong" }).subscribe("x").next())).toMatchObject({
    name: "AuthenticationError",
    status: 401,
  });
  expect(await failing(sluice(place, { token: "sk-dev-operator" }).subscribe("x").next())).toMatchObject({ name: "PermissionError" });
  expect(await failing(client.submit({ ...input("x"), priority: 1e9 }))).toMatchObject({ name: "BadRequestError", status: 400 });
  await client.submit(input("x"), { idempotencyKey: "one" });
  const other = failing(client.submit(input("y"), { idempotencyKey: "one" }));
  expect(await other).toMatchObject({ name: "ConflictError", code: "idempotency_key_conflict", requestId: expect.stringMatching(/^req_/) });
  const { id } = await client.submit({ ...input("x"), not_before: Date.now() / 1_000 + 3_600 });
  expect(await failing(client.wait(id, { timeoutMs: 10 }))).toMatchObject({ name: "TimeoutError" });
  expect((await client.cancel(id)).status).toBe("cancelled");
});

test("abort, in every state -> the signal's reason, at once, and nothing is left open", async () => {
  const place = await startService({ vars });
  const client = sluice(place);
  const nowhere = sluice({ url: "http://127.0.0.1:9" });
  const { id } = await client.submit({ ...input("x"), not_before: Date.now() / 1_000 + 3_600 });
  const reason = new Error("enough");
  const never: AsyncIterable<JobInput> = { [Symbol.asyncIterator]: () => ({ next: () => new Promise(() => {}) }) };
  const handles = () => process.getActiveResourcesInfo().filter((kind) => /Timeout|TLS|WebSocket/.test(kind)).length;
  const before = handles();
  const works: Record<string, (signal: AbortSignal) => Promise<unknown>> = {
    "a call": (signal) => client.get(id, { signal }),
    "a long-poll": (signal) => client.wait(id, { signal }),
    "a pause between tries": (signal) => nowhere.get(id, { signal }),
    "jobs that do not come": (signal) => client.submitMany(never, { signal }).next(),
    "a job's stream": async (signal) => all(client.stream(id, { signal })),
    "a channel that is quiet": async (signal) => all(client.subscribe("quiet", { signal })),
    "a connection that never comes": async (signal) => all(nowhere.subscribe("x", { signal })),
  };
  for (const [what, work] of Object.entries(works)) {
    for (const turns of [0, 1, 300]) {
      const stop = new AbortController();
      onTestFinished(() => stop.abort());
      if (turns === 0) stop.abort(reason);
      const done = work(stop.signal).then(
        () => (what === "a call" ? reason : "ended"),
        (error) => error,
      );
      for (let turn = 0; turn < turns; turn++) await new Promise((next) => setImmediate(next));
      stop.abort(reason);
      expect(await done, `${what}, after ${turns} turns`).toBe(reason);
    }
  }
  await until("all handles to be gone", () => handles() <= before);
});

test("a consumer dies in the middle, and so does the service -> another under its name is told the rest; each job's end is dealt with", async () => {
  const state = stateDirectory();
  const before = await startService({ state, vars });
  const events = sluice(before).subscribe("desk", { consumer: "billing" });
  await events.ready;
  const jobs = await all(sluice(before).submitMany(Array.from({ length: 60 }, () => input("desk"))));
  const ids = jobs.map((answer) => (answer.ok ? answer.job.id : "refused"));
  const dealt = new Set<string>();
  for await (const event of events) {
    if (isEnd(event)) dealt.add(event.job);
    if (dealt.size === 20) break;
  }
  await crash(before);
  const after = await startAgain(before, state, vars);
  // An end that was being dealt with, or acked just as everything died, comes again; none is left out.
  for await (const event of sluice(after).subscribe("desk", { consumer: "billing" })) {
    if (isEnd(event)) dealt.add(event.job);
    if (dealt.size === 60) break;
  }
  expect(dealt).toEqual(new Set(ids));
});
