/** `POST /v1/jobs`: one job, an array, or JSONL. */
import { claimsChannel } from "../../platform/mailboxes.ts";
import { callMailbox, isOverloaded, submitTo } from "../../platform/objects.ts";
import type { Job } from "../../schemas/job.ts";
import type { Problem } from "../../schemas/problem.ts";
import type { Submitted } from "../../schemas/rpc.ts";
import { type Accepted, accept } from "./accept.ts";
import { parseJson, readJson, tooLarge } from "./body.ts";
import type { Context } from "./context.ts";
import { answersTo } from "./job-token.ts";
import { LINE_LIMIT, type Line, lotsOf } from "./lots.ts";
import { badParameter, errorBody, invalid, json, refuse } from "./respond.ts";
import { Unread } from "./unread.ts";

/** Jobs in one JSON array. */
const ARRAY_LIMIT = 10_000;
/** Lines of one JSONL body, as in OpenAI's Batch API. */
const LINES_LIMIT = 50_000;
/** An RPC message to a mailbox holds 32 MiB: this many jobs, or characters of them, go together. */
const GROUP_JOBS = 500;
const GROUP_CHARACTERS = 4_000_000;
/**
 * ms that a line waits for others to fill its group. A producer that pauses is answered meanwhile; at the speed of a local upload, a group fills in a fraction
 * of it.
 */
const GROUP_LINGER_MS = 30;
/** Bytes of answers held for a client that is not reading yet: enough for 50,000 lines whose jobs carry little of their own. */
const UNREAD_MOST = 32 * 1024 * 1024;
const IDEMPOTENCY_KEY_LIMIT = 255;

type Ready = Extract<Accepted, { ok: true }>;

export async function submitJobs(context: Context): Promise<Response> {
  const { request } = context;
  const idempotency = idempotencyKeyOf(request);
  if (!idempotency.ok) return refuse(idempotency.problem);
  const { key } = idempotency;
  const type = (request.headers.get("content-type") ?? "").split(";")[0]!.trim().toLowerCase();
  if (["application/jsonl", "application/x-ndjson", "application/x-jsonlines"].includes(type)) return submitLines(context, key);
  const read = await readJobs(context, key);
  if (!read.ok) return refuse(read.problem);
  const { accepted, isOne } = read;
  const answers = await answersTo(context, accepted, await submitAll(context, accepted));
  if (!isOne) return json({ object: "list", data: answers.map((each) => ("object" in each ? each : errorBody(each))) }, 202);
  const [answer] = answers;
  return "object" in answer! ? json(answer, 202, { location: `/v1/jobs/${answer.id}` }) : refuse(answer!);
}

/**
 * The jobs of a JSON body. The parsed body is released before they are submitted: for a body of many MB, its text and value would be two more copies of
 * every job.
 */
async function readJobs(
  context: Context,
  key: string | null,
): Promise<{ ok: true; accepted: Accepted[]; isOne: boolean } | { ok: false; problem: Problem }> {
  const body = await readJson(context.request);
  if (!body.ok) return body;
  const jobs = jobsIn(body.value);
  const spread = context.spread();
  if (jobs === null) return { ok: true, accepted: [await acceptOne(context, body.value, key, spread)], isOne: true };
  if (!Array.isArray(jobs) || jobs.length > ARRAY_LIMIT)
    return { ok: false, problem: badParameter(`jobs must be an array of at most ${ARRAY_LIMIT} jobs.`, "jobs") };
  const beside = fieldBeside(body.value);
  if (beside !== undefined)
    return {
      ok: false,
      problem: badParameter(`${beside}: Unrecognized field beside "jobs". The fields of a job belong in the job itself.`, beside),
    };
  const accepted = await Promise.all(jobs.map((job, index) => acceptOne(context, job, partOf(key, index), spread)));
  return { ok: true, accepted, isOne: false };
}

/** Null if the body is a single job. */
function jobsIn(raw: unknown): unknown {
  if (Array.isArray(raw)) return raw;
  return typeof raw === "object" && raw !== null && "jobs" in raw ? raw.jobs : null;
}

/** Any field beside `jobs`: it would be ignored. */
function fieldBeside(raw: unknown): string | undefined {
  if (Array.isArray(raw)) return undefined;
  return Object.keys(raw as object)
    .find((name) => name !== "jobs")
    ?.slice(0, 200);
}

/** Null if the client sent none. */
export function idempotencyKeyOf({ headers }: Request): { ok: true; key: string | null } | { ok: false; problem: Problem } {
  const key = headers.get("idempotency-key");
  if (key === null || (key !== "" && key.length <= IDEMPOTENCY_KEY_LIMIT)) return { ok: true, key };
  return { ok: false, problem: badParameter(`Idempotency-Key must have 1 to ${IDEMPOTENCY_KEY_LIMIT} characters.`, "Idempotency-Key") };
}

/** The key of one job among many. No header contains a line break, so it cannot collide with a client's own key. */
function partOf(key: string | null, index: number): string | null {
  return key && `${key}\n${index}`;
}

function acceptOne(context: Context, raw: unknown, idempotencyKey: string | null, spread: number): Promise<Accepted> {
  const { grant, key, raised, settings } = context;
  return accept(raw, { key, grant, settings, raised, now: Date.now(), idempotencyKey, spread });
}

/** Hands jobs to their mailboxes and answers in order. A mailbox that fails costs only its own jobs. */
export async function submitAll(context: Context, submissions: Accepted[]): Promise<Submitted[]> {
  const accepted = await claimKeys(context, submissions);
  const results: Submitted[] = accepted.map((each) => (each.ok ? unavailable(false) : each));
  await Promise.all(
    groupsOf(accepted).map(async (indexes) => {
      const group = indexes.map((index) => accepted[index] as Ready);
      try {
        const submissions = group.map((each) => each.submission);
        const submitted = await submitTo(context.env, group[0]!.address, submissions);
        indexes.forEach((index, at) => {
          results[index] = submitted[at]!;
        });
      } catch (error) {
        for (const index of indexes) results[index] = unavailable(isOverloaded(error));
      }
    }),
  );
  return results;
}

/** Turns away jobs whose Idempotency-Key the tenant has already used for another request. */
async function claimKeys({ env, key, request }: Context, accepted: Accepted[]): Promise<Accepted[]> {
  // A submission that cannot become a new job uses up no key.
  const claims = accepted.flatMap((each) => (each.ok && !each.submission.refusal && each.submission.idempotency) || []);
  if (claims.length === 0) return accepted;
  const channel = claimsChannel(request.headers.get("idempotency-key") ?? "");
  const granted = await callMailbox(env, { tenant: key.tenant, channel }, (stub) => stub.claim(claims));
  const refused = new Set(claims.filter((_, index) => !granted[index]));
  return accepted.map((each) => (each.ok && refused.has(each.submission.idempotency!) ? { ok: false, problem: keyConflict() } : each));
}

export function keyConflict(): Problem {
  return invalid("This Idempotency-Key was used with another request.", "Idempotency-Key", "idempotency_key_conflict", 409);
}

/** Groups the indexes of jobs for the same mailbox into messages of bounded size. */
function groupsOf(accepted: Accepted[]): number[][] {
  const open = new Map<string, { indexes: number[]; characters: number }>();
  const groups: number[][] = [];
  accepted.forEach((each, index) => {
    if (!each.ok) return;
    const name = each.address.channel;
    let group = open.get(name);
    if (!group || group.indexes.length >= GROUP_JOBS || group.characters + each.submission.request.length > GROUP_CHARACTERS) {
      group = { indexes: [], characters: 0 };
      open.set(name, group);
      groups.push(group.indexes);
    }
    group.indexes.push(index);
    group.characters += each.submission.request.length;
  });
  return groups;
}

/** Answers line by line while it reads, whether or not the client reads yet; a line is answered once its job is durable. */
function submitLines(context: Context, key: string | null): Response {
  const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>();
  const writer = writable.getWriter();
  const unread = new Unread(writer, UNREAD_MOST);
  const encoder = new TextEncoder();
  const write = (answers: (Job | Problem)[], lines: Line[]) => {
    const text = answers.map((each, index) => JSON.stringify("object" in each ? each : { ...errorBody(each), line: lines[index]!.number }));
    return unread.write(encoder.encode(`${text.join("\n")}\n`));
  };
  const pump = async () => {
    const size = { lines: GROUP_JOBS, characters: GROUP_CHARACTERS, lingerMs: GROUP_LINGER_MS };
    for await (const lines of lotsOf((context.request.body ?? new Blob([]).stream()) as ReadableStream<Uint8Array>, size)) {
      const spread = context.spread();
      const accepted = await Promise.all(lines.map((line) => acceptLine(context, line, key, spread)));
      await write(await answersTo(context, accepted, await submitAll(context, accepted)), lines);
    }
    await unread.close();
  };
  // The client left, or its body broke off: the lines that had come whole are submitted, answered or not.
  context.background(pump().catch((error) => writer.abort(error).catch(() => {})));
  return new Response(readable, { status: 202, headers: { "content-type": "application/jsonl" } });
}

async function acceptLine(context: Context, line: Line, key: string | null, spread: number): Promise<Accepted> {
  if (line.number > LINES_LIMIT)
    return { ok: false, problem: invalid(`A request may have at most ${LINES_LIMIT} lines.`, null, "too_many_lines", 413) };
  if (line.tooLong) return { ok: false, problem: tooLarge("The line", LINE_LIMIT) };
  const raw = parseJson(line.text);
  if (raw === undefined)
    return {
      ok: false,
      problem: invalid("The line is not valid JSON, or is nested too deeply or has too many values.", null, "invalid_json"),
    };
  return acceptOne(context, raw, partOf(key, line.place), spread);
}

export function unavailable(overloaded: boolean): Extract<Submitted, { ok: false }> {
  const message = overloaded
    ? "Too many jobs are arriving at this channel: slow down and try again."
    : "The job may not have been stored: try again.";
  return {
    ok: false,
    problem: { status: 503, type: "server_error", code: overloaded ? "overloaded" : "unavailable", message, param: null },
  };
}
