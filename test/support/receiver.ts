/** A webhook's receiver, as a test drives it. */
import { runDurableObjectAlarm } from "cloudflare:test";
import OpenAI from "openai";
import { Webhook } from "standardwebhooks";
import { vi } from "vitest";
import { DEVELOPMENT_WEBHOOK_SECRET } from "../../platform/settings.ts";
import type { Delivery, JobEndedEvent } from "../../schemas/webhook.ts";
import { call, inside, mailbox, until } from "./service.ts";
import { world } from "./world.ts";

export const HOOK = "https://receiver.example.com/hook";

export type Received = { url: string; redirect: string; headers: Record<string, string>; body: string; at: number };

/** Records each request and answers it with `answer`; `nth` counts from 1. */
export function receive(
  answer: (received: Received, nth: number, signal: AbortSignal) => Response | Promise<Response> = () => new Response(),
) {
  const received: Received[] = [];
  world.receiver = async (request) => {
    const { headers, redirect, signal, url } = request;
    const each = { url, redirect, headers: Object.fromEntries(headers), body: await request.text(), at: world.now };
    received.push(each);
    return answer(each, received.length, signal);
  };
  return received;
}

/** Never answers: waits until the request is broken off or the test is over, then throws. */
export async function never(signal: AbortSignal): Promise<Response> {
  const { calls: age } = world;
  while (!signal.aborted && world.calls === age) await scheduler.wait(2);
  throw new Error("broken off");
}

export const eventOf = ({ body }: Received) => JSON.parse(body) as JobEndedEvent;

/** What `openai` and `standardwebhooks` make of a request, on a clock set to when it came; both throw if it is not genuine. */
export async function verified(received: Received, secret = DEVELOPMENT_WEBHOOK_SECRET): Promise<{ openai: unknown; standard: unknown }> {
  vi.useFakeTimers({ toFake: ["Date"], now: received.at });
  try {
    const client = new OpenAI({ apiKey: "none", webhookSecret: secret });
    const standard = new Webhook(secret).verify(received.body, received.headers);
    return { openai: await client.webhooks.unwrap(received.body, received.headers), standard };
  } finally {
    vi.useRealTimers();
  }
}

export async function deliveries(id: string, key?: string): Promise<Delivery[]> {
  return (await call<{ data: Delivery[] }>("GET", `/v1/jobs/${id}/deliveries`, undefined, key ? { key } : {})).body.data;
}

export const redeliver = (id: string, delivery: string, key?: string) =>
  call<Delivery>("POST", `/v1/jobs/${id}/deliveries/${delivery}/redeliver`, undefined, key ? { key } : {});

/** Waits until a job's delivery has these values. */
export function delivery(id: string, like: Partial<Delivery>, key?: string): Promise<Delivery> {
  return until(async () => {
    const [found] = await deliveries(id, key);
    return found && Object.entries(like).every(([name, value]) => found[name as keyof Delivery] === value) ? found : null;
  });
}

export const alarmAt = (channel = "c") => inside(mailbox("alice", channel), (_, state) => state.storage.getAlarm());

/** Moves the clock and rings the mailbox's alarm, as the runtime would. */
export async function ringAt(at: number, channel = "c"): Promise<void> {
  world.now = at;
  await runDurableObjectAlarm(mailbox("alice", channel));
}

/** Rings the mailbox's alarm whenever it is set, until `found` is true. A ring may have nothing to do, if the alarm was set as a watchdog. */
export async function ringUntil(found: () => Promise<boolean>, rings = 20): Promise<void> {
  for (let ring = 0; ring < rings; ring++) {
    const came = await until(found, 10).catch(() => false);
    if (came) return;
    await ringAt((await alarmAt())!);
  }
  throw new Error("it rang in vain");
}
