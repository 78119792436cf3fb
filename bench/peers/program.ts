/** What the programs share: the calls, the `openai` package, and the report of what became of each call. */
import OpenAI from "openai";
import { type Call, callsIn, requestOf, type Said, type Task } from "./backlog.ts";

export type Ask = (call: Call) => Promise<void>;

/** @param start makes all calls and returns a promise for each. */
export function program(start: (calls: readonly Call[], ask: Ask, task: Task) => Promise<unknown>[]): void {
  const task = JSON.parse(process.argv[2]!) as Task;
  const calls = callsIn(task.order);
  const client = new OpenAI({ baseURL: `${task.url}/v1`, apiKey: task.key, maxRetries: task.retries });
  const ask: Ask = async (call) => void (await client.chat.completions.create(requestOf(call)));
  const say = (said: Said) => process.send?.(said);
  process.once("disconnect", () => process.exit());
  process.once("message", () => {
    for (const [place, ended] of start(calls, ask, task).entries()) {
      const { name } = calls[place]!;
      ended.then(
        () => say({ name, error: null }),
        (error: Error) => say({ name, error: error.message }),
      );
    }
  });
  say({ ready: true });
}
