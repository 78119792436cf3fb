/** A pool's card. */
import type { History } from "../shown/history.ts";
import type { PoolView } from "../shown/pool.ts";
import type { TenantRow } from "../shown/tenants.ts";
import { button, Children, el, lines, write, writeOrHide } from "./element.ts";
import { bars, chart, figures } from "./figures.ts";

export type PoolActs = {
  pause: (pool: string) => void;
  drain: (pool: string) => void;
  resume: (pool: string) => void;
  limits: (pool: string) => void;
  /** `settings`: its overrides, in words. */
  reset: (pool: string, settings: string) => void;
  tenant: (tenant: string) => void;
};
type Card = { node: Element; fill: (shown: { view: PoolView; history: History; now: number }) => void };

let cards = 0;

export function poolCard({ id, name }: PoolView, acts: PoolActs): Card {
  const heading = el("h3", { id: `pool-${++cards}` }, name);
  const [state, draining] = [el("span", { class: "state" }), el("span", { class: "state", "data-tone": "warn" }, "draining")];
  const condition = el("p", { class: "condition" });
  const [numbers, limits, charts] = [el("dl", { class: "figures" }), el("div", { class: "limits" }), el("div", { class: "charts" })];
  const [overrides, doubts, priorities] = [el("p", { class: "overrides" }), el("p", { class: "doubts" }), el("p", { class: "priorities" })];
  const notes = el("ul", { class: "notes" });
  const tenants = tenantTable(acts.tenant);
  const parts = { figures: figures(numbers), bars: bars(limits), notes: lines(notes) };
  const [depth, inFlight] = [chart(charts, "Queued"), chart(charts, "In flight")];
  const levers = el(
    "div",
    { class: "levers" },
    ...(["Pause", "Drain", "Resume", "Limits"] as const).map((label) => {
      const act = acts[label.toLowerCase() as "pause" | "drain" | "resume" | "limits"];
      return button(`${label}…`, () => act(id), { "aria-label": `${label} pool ${name}` });
    }),
  );
  const top = el("div", { class: "card-top" }, heading, state, draining);
  const node = el(
    "article",
    { class: "card", "aria-labelledby": heading.id },
    top,
    condition,
    levers,
    numbers,
    limits,
    overrides,
    doubts,
    charts,
    tenants.node,
    priorities,
    notes,
  );
  return {
    node,
    fill: ({ history, now, view }) => {
      node.dataset.tone = view.condition.tone;
      state.dataset.tone = view.condition.tone;
      write(state, view.condition.state);
      draining.hidden = !view.draining;
      write(condition, view.condition.words);
      parts.figures(view.figures);
      parts.bars(view.bars);
      parts.notes(view.notes);
      writeOrHide(overrides, view.overrides);
      writeOrHide(doubts, view.doubts);
      writeOrHide(priorities, view.priorities);
      tenants.fill(view.tenants, view.moreTenants);
      depth(history.chart("depth", now));
      inFlight(history.chart("in_flight", now));
    },
  };
}

const COLUMNS = ["Tenant", "Queued", "In flight", "Weight", "Oldest wait"];

function tenantTable(manage: (tenant: string) => void): { node: HTMLElement; fill: (rows: TenantRow[], more: number) => void } {
  const body = el("tbody");
  const rest = el("p", { class: "hint" });
  const head = el("tr", {}, ...COLUMNS.map((label) => el("th", { scope: "col" }, label)));
  const node = el("div", { class: "tenants" }, el("table", {}, el("thead", {}, head), body), rest);
  const rows = new Children<TenantRow>(
    body,
    ({ id }) => id,
    ({ id, name }) => {
      const cells = COLUMNS.slice(1).map((label) => el("td", { "data-label": label }));
      const marks = el("span", { class: "mark" });
      const open = button(name, () => manage(id), { class: "name", "aria-label": `Manage tenant ${name}` });
      return {
        node: el("tr", {}, el("th", { scope: "row" }, open, " ", marks), ...cells),
        fill: (row) => {
          for (const [place, text] of [row.depth, row.inFlight, row.weight, row.oldestWait].entries()) write(cells[place]!, text);
          writeOrHide(marks, row.marks.length > 0 ? row.marks.join(", ") : null);
        },
      };
    },
  );
  return {
    node,
    fill: (shown, more) => {
      node.hidden = shown.length === 0;
      rows.fill(shown);
      writeOrHide(rest, more > 0 ? `and ${more} more tenants with fewer jobs and calls here` : null);
    },
  };
}
