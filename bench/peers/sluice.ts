/** Sluice by its client: everything is handed in at once, and followed over one socket. */
import { isEnd, Sluice } from "../../client/index.ts";
import { requestOf } from "./backlog.ts";
import { program } from "./program.ts";

const channel = "peers";

program((calls, _, { url, key }) => {
  const sluice = new Sluice({ url, token: key });
  const ends = new Map(calls.map(({ name }) => [name, Promise.withResolvers<void>()]));
  const submit = async () => {
    const jobs = calls.map((call) => ({ channel, request: requestOf(call), metadata: { name: call.name } }));
    for await (const answer of sluice.submitMany(jobs)) if (!answer.ok) ends.get(calls[answer.index]!.name)!.reject(answer.error);
  };
  const follow = async () => {
    const events = sluice.subscribe(channel, { deltas: false });
    events.ready.then(submit);
    for await (const event of events) {
      if (!isEnd(event)) continue;
      const { metadata, status } = event.data;
      const { resolve, reject } = ends.get(metadata!.name!)!;
      if (status === "completed") resolve();
      else reject(new Error(status));
    }
  };
  follow();
  return [...ends.values()].map(({ promise }) => promise);
});
