/** The queue: the summary at the top, the pools, and the tenants that are held. */
import type { QueueState } from "../../schemas/queue.ts";
import { History } from "../shown/history.ts";
import type { PoolView } from "../shown/pool.ts";
import { type GonePool, queueView } from "../shown/queue.ts";
import type { HeldTenant } from "../shown/tenants.ts";
import { button, byId, Children, el, lines, write } from "./element.ts";
import { figures } from "./figures.ts";
import { type PoolActs, poolCard } from "./pool.ts";

/** Draws a state as of `now` (ms). `isFresh`: the state is current; otherwise nothing of it goes into the history. */
export function queueDrawing(acts: PoolActs): (state: QueueState, isFresh: boolean, now: number) => void {
  const histories = new Map<string, History>();
  const held = byId("held");
  const parts = { held: lines(held), figures: figures(byId("all-figures")) };
  type Shown = { view: PoolView; history: History; now: number };
  const pools = new Children<Shown>(
    byId("pools"),
    ({ view }) => view.id,
    ({ view }) => poolCard(view, acts),
  );
  const tenants = new Children<HeldTenant>(
    byId("held-tenants"),
    ({ id }) => id,
    ({ id, name }) => {
      const words = el("span");
      const open = button(name, () => acts.tenant(id), { class: "name", "aria-label": `Manage tenant ${name}` });
      return { node: el("li", {}, open, " ", words), fill: (tenant) => write(words, tenant.words) };
    },
  );
  const gone = new Children<GonePool>(
    byId("gone-pools"),
    ({ id }) => id,
    ({ id, name }) => {
      let shown = "";
      const words = el("span");
      const reset = button("Reset…", () => acts.reset(id, shown), { "aria-label": `Reset pool ${name}` });
      const node = el("li", {}, `Pool ${name}, no longer configured: `, words, " ", reset);
      return {
        node,
        fill: (pool) => {
          shown = pool.words;
          write(words, shown);
        },
      };
    },
  );
  return (state, isFresh, now) => {
    const view = queueView(state, now);
    for (const pool of state.pools) {
      const history = histories.get(pool.id) ?? new History();
      histories.set(pool.id, history);
      if (isFresh) history.add(pool, now);
    }
    document.title = view.title;
    held.dataset.tone = view.tone === "bad" ? "bad" : "warn";
    parts.held(view.held);
    parts.figures(view.figures);
    pools.fill(view.pools.map((pool) => ({ view: pool, history: histories.get(pool.id)!, now })));
    gone.fill(view.gone);
    tenants.fill(view.tenants);
  };
}
