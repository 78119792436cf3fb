/** Tenants that always keep a number of jobs waiting, with calls of given length and use, and what each tenant was served. */
import type { Outcome } from "../../schemas/rpc.ts";
import { openDesk } from "./desk.ts";

/** `keeps`: how many jobs wait at any time. `outcome`: how the nth call ends, or how many tokens it used. */
export type Load = { reserves: number; keeps: number; callMs: number; outcome: (nth: number) => Outcome | number };

export const used = (total_tokens: number): Outcome => ({
  kind: "committed",
  usage: { prompt_tokens: 0, completion_tokens: total_tokens, total_tokens },
});

export function openWorld(pool: object, loads: Record<string, Load>, keys: object[] = []) {
  const desk = openDesk(pool, keys);
  const ownerOf = new Map<string, string>();
  const starts: Record<string, number> = {};
  const ended: Record<string, number> = {};
  const running: { job: string; tenant: string; endsAt: number }[] = [];
  let seen = 0;
  const note = () => {
    for (; seen < desk.started.length; seen++) {
      const { at, job } = desk.started[seen]!;
      const tenant = ownerOf.get(job)!;
      starts[tenant] = (starts[tenant] ?? 0) + 1;
      running.push({ job, tenant, endsAt: at + loads[tenant]!.callMs });
    }
  };
  const topUp = () => {
    for (const [tenant, { keeps, reserves }] of Object.entries(loads)) {
      const missing = keeps - (desk.book.pools.get("p")!.order.lanes.get(tenant)?.size ?? 0);
      if (missing <= 0) continue;
      for (const { job } of desk.send(tenant, reserves, missing)) ownerOf.set(job, tenant);
    }
  };
  /** `sleeps`: before each call that ends, the coordinator forgets what is not written. */
  const play = (ms: number, { tickMs = 500, sleeps = false } = {}) => {
    const until = desk.state.now + ms;
    while (desk.state.now < until) {
      desk.passes(desk.state.now + tickMs);
      note();
      const due = running.filter(({ endsAt }) => endsAt <= desk.state.now);
      if (due.length > 0 && sleeps) desk.restart();
      for (const each of due) {
        running.splice(running.indexOf(each), 1);
        const nth = (ended[each.tenant] ?? 0) + 1;
        ended[each.tenant] = nth;
        const outcome = loads[each.tenant]!.outcome(nth);
        desk.end(each.job, typeof outcome === "number" ? used(outcome) : outcome);
      }
      note();
      topUp();
      note();
    }
  };
  return { desk, loads, ownerOf, starts, ended, running, play };
}
