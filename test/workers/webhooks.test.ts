import { reset } from "cloudflare:test";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { jobId, parseJobId } from "../../platform/ids.ts";
import type { ErrorBody } from "../../schemas/problem.ts";
import { sha256 } from "../../workers/ingress/authenticate.ts";
import { deliveries, delivery, HOOK, receive, redeliver } from "../support/receiver.ts";
import { call, ended, job, submit } from "../support/service.ts";
import { EPOCH, resetWorld, world } from "../support/world.ts";

beforeEach(resetWorld);
afterEach(reset);

const SECRET = `whsec_${btoa("s".repeat(32))}`;

/** Settings as deployed: no development keys; `shop` can sign, `mute` cannot. */
async function deployed(): Promise<void> {
  const keys = [
    { key_sha256: await sha256("sk-shop"), tenant: "shop", webhook_secrets: [SECRET] },
    { key_sha256: await sha256("sk-mute"), tenant: "mute" },
  ];
  world.env = { SLUICE_LOCAL: "0", SLUICE_KEYS: JSON.stringify(keys) };
}

async function refused(webhook: unknown, key = "sk-dev-alice") {
  const { status, body } = await call<ErrorBody>("POST", "/v1/jobs", job({ webhook }), { key });
  return { status, code: body.error.code, param: body.error.param };
}

describe("a webhook at submit", () => {
  it.each([
    "http://receiver.example.com/",
    "https://127.0.0.1/",
    "https://2130706433/",
    "https://0x7f.1/",
    "https://0177.0.0.1/",
    "https://１２７.0.0.1/",
    "https://[::1]/",
    "https://[::ffff:7f00:1]/",
    "https://[fd00::1]/",
    "https://10.0.0.1/",
    "https://100.64.0.1/",
    "https://169.254.169.254/",
    "https://localhost/",
    "https://metadata.google.internal/",
    "https://user:pass@receiver.example.com/",
    "https://receiver.example.com:25/",
    "ftp://receiver.example.com/",
    "receiver.example.com/hook",
    "https://",
    "javascript:alert(1)",
  ])("%s -> refused, and no job is made", async (webhook) => {
    await deployed();
    expect(await refused(webhook, "sk-shop")).toEqual({ status: 400, code: "invalid_webhook", param: "webhook" });
    expect(world.calls).toHaveLength(0);
  });

  it.each([[""], [5], [{}], [[HOOK]], [`https://receiver.example.com/${"x".repeat(2_048)}`]])("%j -> no URL at all", async (webhook) =>
    expect(await refused(webhook)).toEqual({ status: 400, code: "invalid_job", param: "webhook" }),
  );

  it("of a tenant without a secret -> refused, and says what is missing", async () => {
    await deployed();
    expect(await refused(HOOK, "sk-mute")).toEqual({ status: 400, code: "webhook_secret_missing", param: "webhook" });
  });

  it("null -> none", async () => {
    const { id } = await submit({ webhook: null });
    await ended(id);
    expect(await deliveries(id)).toEqual([]);
  });

  it("in bulk -> a bad one fails alone", async () => {
    await deployed();
    const jobs = [job({ webhook: "https://localhost/" }), job({ webhook: HOOK })];
    const { body } = await call<{ data: Record<string, unknown>[] }>("POST", "/v1/jobs", { jobs }, { key: "sk-shop" });
    expect(body.data.map((each) => each.object ?? (each.error as { code: string }).code)).toEqual(["invalid_webhook", "job"]);
  });

  it("is called in its canonical form, without the fragment", async () => {
    const received = receive();
    const { id } = await submit({ webhook: "HTTPS://Receiver.Example.com:443/a/../hook?x=1#part" });
    await delivery(id, { status: "delivered" });
    expect(received.map(({ url }) => url)).toEqual([`${HOOK}?x=1`]);
  });

  it("another one under the same Idempotency-Key -> a conflict", async () => {
    const headers = { "idempotency-key": "once" };
    const first = await call("POST", "/v1/jobs", job({ webhook: HOOK }), { headers });
    const second = await call<ErrorBody>("POST", "/v1/jobs", job({ webhook: `${HOOK}2` }), { headers });
    expect([first.status, second.status, second.body.error.code]).toEqual([202, 409, "idempotency_key_conflict"]);
  });
});

describe("deliveries", () => {
  it("before the end -> none; behind it -> one, with all that became of it", async () => {
    receive();
    const { id } = await submit({ channel: "c", webhook: HOOK, not_before: EPOCH / 1_000 + 60 });
    expect(await deliveries(id)).toEqual([]);
    await call("POST", `/v1/jobs/${id}/cancel`);
    await delivery(id, { status: "delivered" });
    const { status, body } = await call<unknown>("GET", `/v1/jobs/${id}/deliveries`);
    const at = EPOCH / 1_000;
    const only = { id: id.replace("job_", "evt_"), object: "job.delivery", job: id, type: "job.cancelled", url: HOOK, status: "delivered" };
    const told = { created_at: at, attempts: 1, last_attempt_at: at, last_status: 200, last_error: null, next_attempt_at: null };
    expect([status, body]).toEqual([200, { object: "list", data: [{ ...only, ...told }], has_more: false }]);
  });

  it("sent again -> the same event, whatever became of it before", async () => {
    const received = receive();
    const { id } = await submit({ channel: "c", webhook: HOOK });
    const { id: event } = await delivery(id, { status: "delivered" });
    world.now += 60_000;
    const { status, body } = await redeliver(id, event);
    expect([status, body]).toEqual([202, expect.objectContaining({ id: event, status: "pending", attempts: 1 })]);
    await delivery(id, { status: "delivered", attempts: 2 });
    const ids = received.map(({ headers, body }) => [headers["webhook-id"], body]);
    expect(ids[1]).toEqual(ids[0]);
  });

  it("of another tenant, or that are none -> 404", async () => {
    const received = receive();
    const { id } = await submit({ channel: "c", webhook: HOOK });
    const { id: event } = await delivery(id, { status: "delivered" });
    const other = await submit({ channel: "c" });
    const codes = await Promise.all(
      [
        call<ErrorBody>("GET", `/v1/jobs/${id}/deliveries`, undefined, { key: "sk-dev-bob" }),
        redeliver(id, event, "sk-dev-bob"),
        call<ErrorBody>("GET", "/v1/jobs/job_x/deliveries"),
        redeliver("job_x", event),
        redeliver(jobId("alice", { ...parseJobId("alice", id)!, number: 99 }), event),
        redeliver(id, "evt_x"),
        redeliver(other.id, event),
        redeliver(other.id, other.id.replace("job_", "evt_")),
      ].map(async (answer) => {
        const { status, body } = await answer;
        return [status, (body as ErrorBody).error.code];
      }),
    );
    const [job, delivered] = [
      [404, "job_not_found"],
      [404, "delivery_not_found"],
    ];
    expect(codes).toEqual([job, job, job, job, job, delivered, delivered, delivered]);
    expect(received).toHaveLength(1);
  });
});
