import { get } from "node:http";
import { createInterface } from "node:readline";
import type { Readable } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";

/** @returns the port, once workerd reports on its control pipe that it listens. */
export function listening(control: Readable, socket: string): Promise<number> {
  return new Promise((done) => {
    createInterface(control).on("line", (line) => {
      const message: { event?: string; socket?: string; port?: number } = JSON.parse(line);
      if (message.event === "listen" && message.socket === socket) done(message.port ?? 0);
    });
  });
}

/** @throws with the last answer, if none is 200 in time. */
export async function healthy(url: string, patienceMs: number): Promise<void> {
  let answer = 0;
  for (const end = Date.now() + patienceMs; Date.now() < end; await sleep(25)) {
    answer = await status(url);
    if (answer === 200) return;
  }
  throw new Error(`${url} did not answer 200 within ${patienceMs / 1000} s (${answer === 0 ? "no answer" : `last: ${answer}`}).`);
}

/** Uses a connection of its own: a kept-alive one would delay workerd's stop. */
function status(url: string): Promise<number> {
  return new Promise((done) => {
    const request = get(url, { agent: false, timeout: 5_000 }, (response) => {
      response.resume();
      done(response.statusCode ?? 0);
    });
    request.on("timeout", () => request.destroy());
    request.on("error", () => done(0));
  });
}

/** @throws like `early`, or after `ms`. */
export async function within<T>(ms: number, what: string, wanted: Promise<T>, early: Promise<never>): Promise<T> {
  const timer = new AbortController();
  const late = sleep(ms, undefined, { signal: timer.signal }).then(() => {
    throw new Error(`Timed out after ${ms / 1000} s, waiting for ${what}.`);
  });
  try {
    return await Promise.race([wanted, early, late]);
  } finally {
    late.catch(() => {}); // rejected by the abort below
    timer.abort();
  }
}
