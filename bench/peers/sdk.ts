/** The `openai` package alone, with so many calls in parallel. */
import { program } from "./program.ts";

program((calls, ask, { parallel }) => {
  const all = calls.map((call) => ({ call, ...Promise.withResolvers<void>() }));
  const waiting = all.values();
  const lane = async () => {
    for (const { call, resolve, reject } of waiting) await ask(call).then(resolve, reject);
  };
  for (let n = 0; n < parallel; n++) lane();
  return all.map(({ promise }) => promise);
});
