/** Which secret signs a webhook as secrets come and go. */
import { reset } from "cloudflare:test";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { sha256 } from "../../workers/ingress/authenticate.ts";
import { alarmAt, deliveries, delivery, HOOK, receive, ringAt, verified } from "../support/receiver.ts";
import { call, ended, evict, mailbox, submit } from "../support/service.ts";
import { EPOCH, resetWorld, script, world } from "../support/world.ts";

beforeEach(resetWorld);
afterEach(reset);

const _HOUR = 3_600_000;
const hooked = (more: Record<string, unknown> = {}, key?: string) => submit({ channel: "c", webhook: HOOK, ...more }, {}, key);

describe("secrets", () => {
  const OLD = `whsec_${btoa("o".repeat(24))}`;
  const NEW = `whsec_${btoa("n".repeat(64))}`;
  const key = async (name: string, more: object = {}) => ({ key_sha256: await sha256(name), tenant: "alice", ...more });

  it("two of them -> each event bears a signature of each, and a third one's holder is not fooled", async () => {
    world.env = {
      SLUICE_KEYS: JSON.stringify([await key("sk-dev-alice", { webhook_secrets: [OLD, NEW] })]),
      SLUICE_LOCAL: "0",
      SLUICE_SIMULATOR: "1",
    };
    const received = receive();
    const { id } = await hooked();
    await delivery(id, { status: "delivered" });
    expect(received[0]!.headers["webhook-signature"]!.split(" ")).toHaveLength(2);
    for (const secret of [OLD, NEW]) expect((await verified(received[0]!, secret)).openai).toMatchObject({ type: "job.completed" });
    await expect(verified(received[0]!, `whsec_${btoa("x".repeat(24))}`)).rejects.toThrow();
    await expect(verified({ ...received[0]!, body: `${received[0]!.body} ` }, OLD)).rejects.toThrow();
    for (const secret of [OLD, NEW])
      expect(JSON.stringify([received, await deliveries(id), await ended(id)])).not.toContain(secret.slice(6));
  });

  it("taken away meanwhile -> nothing unsigned goes out; given again, it is sent", async () => {
    const keys = async (secrets: string[]) => ({
      SLUICE_KEYS: JSON.stringify([await key("sk-dev-alice", { webhook_secrets: secrets })]),
      SLUICE_LOCAL: "0",
      SLUICE_SIMULATOR: "1",
    });
    const received = receive();
    world.upstream = script().answer;
    world.env = await keys([OLD]);
    const { id } = await hooked({ not_before: EPOCH / 1_000 + 60 });
    world.env = await keys([]);
    await evict(mailbox("alice", "c"));
    await call("POST", `/v1/jobs/${id}/cancel`);
    expect(await delivery(id, { attempts: 1 })).toMatchObject({ status: "pending", last_error: "unsigned" });
    expect(received).toHaveLength(0);
    world.env = await keys([NEW]);
    await evict(mailbox("alice", "c"));
    await ringAt((await alarmAt())!);
    await delivery(id, { status: "delivered" });
    await verified(received[0]!, NEW);
  });
});
