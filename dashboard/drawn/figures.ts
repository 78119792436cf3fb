/** Labelled numbers, bars and charts. */
import { CHART, type Chart } from "../shown/history.ts";
import type { Bar, Figure } from "../shown/pool.ts";
import { Children, el, svg, write } from "./element.ts";

export function figures(parent: Element): (items: readonly Figure[]) => void {
  const children = new Children<Figure>(
    parent,
    ({ label }) => label,
    ({ label }) => {
      const value = el("dd");
      return { node: el("div", {}, el("dt", {}, label), value), fill: (figure) => write(value, figure.value) };
    },
  );
  return (items) => children.fill(items);
}

export function bars(parent: Element): (items: readonly Bar[]) => void {
  const children = new Children<Bar>(
    parent,
    ({ label }) => label,
    ({ label }) => {
      const [fill, words, mark] = [el("div", { class: "fill" }), el("span", { class: "words" }), el("span", { class: "mark" }, "set")];
      const meter = el("div", { class: "bar", role: "meter", "aria-label": label, "aria-valuemin": "0", "aria-valuemax": "100" }, fill);
      const node = el("div", { class: "limit" }, el("span", { class: "label" }, label, " ", mark), words, meter);
      return {
        node,
        fill: (bar) => {
          const part = Math.round(bar.part * 100);
          write(words, bar.words);
          mark.hidden = !bar.set;
          // Set through the CSSOM, which the policy allows; it forbids a style attribute.
          fill.style.width = `${part}%`;
          fill.classList.toggle("full", part >= 95);
          meter.setAttribute("aria-valuenow", String(part));
          meter.setAttribute("aria-valuetext", bar.words);
        },
      };
    },
  );
  return (items) => children.fill(items);
}

/** A chart with its caption. */
export function chart(parent: Element, caption: string): (chart: Chart) => void {
  const path = svg("path", { fill: "none", "vector-effect": "non-scaling-stroke" });
  // Leaves room for the line's own width at the top and bottom.
  const viewBox = `0 -2 ${CHART.width} ${CHART.height + 4}`;
  const drawing = svg("svg", { viewBox, preserveAspectRatio: "none", "aria-hidden": "true" }, path);
  const words = el("span", { class: "words" });
  parent.append(el("figure", {}, el("figcaption", {}, el("span", {}, `${caption} `), words), drawing));
  return (drawn) => {
    path.setAttribute("d", drawn.path);
    write(words, drawn.words);
  };
}
