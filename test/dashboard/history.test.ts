import { expect, it } from "vitest";
import { CHART, History, SPAN } from "../../dashboard/shown/history.ts";
import { NOW } from "./states.ts";

const COLUMN = SPAN / CHART.width;

it("the last column is now, at the right edge; its highest value touches the top", () => {
  const history = new History();
  history.add({ depth: 5, in_flight: 0 }, NOW - COLUMN);
  history.add({ depth: 10, in_flight: 0 }, NOW);
  expect(history.chart("depth", NOW)).toEqual({ path: `M148 20h1L149 0h1`, words: "max 10" });
  // Zero is drawn along the bottom.
  expect(history.chart("in_flight", NOW).path).toBe(`M148 40h1L149 40h1`);
});

it("several looks within a column -> it shows the most of them", () => {
  const history = new History();
  for (const depth of [3, 9, 1]) history.add({ depth, in_flight: depth }, NOW);
  expect(history.chart("depth", NOW).words).toBe("max 9");
});

it("a time of which nothing is known -> is a gap, not a line across it", () => {
  const history = new History();
  for (const back of [10, 9, 2, 1]) history.add({ depth: 1, in_flight: 1 }, NOW - back * COLUMN);
  expect(history.chart("depth", NOW).path.match(/[ML]/g)).toEqual(["M", "L", "M", "L"]);
});

it("what is older than ten minutes -> is forgotten, and the scale with it", () => {
  const history = new History();
  history.add({ depth: 1_000, in_flight: 0 }, NOW - SPAN);
  history.add({ depth: 2, in_flight: 0 }, NOW);
  expect(history.chart("depth", NOW)).toEqual({ path: "M149 0h1", words: "max 2" });
  expect(history.chart("depth", NOW + SPAN).path).toBe("");
});

it("a clock that is set back -> nothing is drawn beyond the right edge", () => {
  const history = new History();
  history.add({ depth: 1, in_flight: 0 }, NOW);
  history.add({ depth: 4, in_flight: 0 }, NOW - 60_000);
  expect(history.chart("depth", NOW).words).toBe("max 4");
});
