/** The closing table. */
import { type Optimum, optimum, shares, sum, waits } from "./figures.ts";
import type { Run } from "./run.ts";

/** @returns lines to print. */
export function report(run: Run): string[] {
  return [...align(overall(run)), "", ...align(byTenant(run))];
}

/** Whether every job that was to be submitted has completed. */
export function allCompleted({ tracks }: Run): boolean {
  return tracks.every((track) => track.count("completed") === track.total);
}

/** Null if it is not known. */
function best({ budget, tracks, reserved }: Run): Optimum | null {
  const done = tracks.flatMap((track) => track.done());
  const submitted = sum(tracks.map(({ total }) => total));
  return budget === null || done.length === 0 ? null : optimum(budget, submitted, reserved, done);
}

function overall(run: Run): string[][] {
  const { tracks, began, seconds, reserved, rejected, drops } = run;
  const done = tracks.flatMap((track) => track.done());
  const submitted = sum(tracks.map(({ total }) => total));
  const refused = submitted - sum(tracks.map(({ accepted }) => accepted?.length ?? 0));
  const ended = (end: "completed" | "failed" | "cancelled" | "expired") => sum(tracks.map((track) => track.count(end)));
  const others = ended("cancelled") + ended("expired");
  const wait = waits(done);
  const rows = [
    ["jobs", `${submitted}`],
    ["completed / failed", `${ended("completed")} / ${ended("failed")}`],
    ...(refused + others > 0 ? [["refused / cancelled or expired", `${refused} / ${others}`]] : []),
    ["time", `${seconds.toFixed(2)} s`],
  ];
  const bound = best(run);
  if (bound !== null) {
    rows.push(["theoretical optimum", `${bound.seconds.toFixed(2)} s, by ${bound.limitedBy}`]);
    rows.push(["time / optimum", (seconds / bound.seconds).toFixed(3)]);
    const lastStart = Math.max(...done.map(({ startedAt }) => startedAt)) - began;
    rows.push(["last call started / optimum", `${lastStart.toFixed(2)} s / ${bound.lastStart.toFixed(2)} s`]);
  }
  rows.push(["429s from upstream", rejected === null ? "unknown: upstream is not the simulator" : `${rejected}`]);
  rows.push(["tokens used / reserved", `${whole(sum(done.map(({ tokens }) => tokens)))} / ${whole(reserved)}`]);
  if (done.length > 0) rows.push(["wait, mean / 95th percentile", `${wait.mean.toFixed(2)} s / ${wait.p95.toFixed(2)} s`]);
  if (drops > 0) rows.push(["connections lost and resumed", `${drops}`]);
  return rows;
}

function byTenant(run: Run): string[][] {
  const { tracks, budget } = run;
  // If the burst holds everything, nobody waits for a turn.
  const waited = (best(run)?.lastStart ?? 0) > 0;
  const share = budget === null || !waited ? null : shares(tracks, budget.limits);
  const none = budget === null ? "unknown" : "they never did";
  const heads = ["tenant", "jobs", "completed", "tokens", "mean wait", "p95 wait", "share while both waited"];
  const rows = tracks.map((track) => {
    const done = track.done();
    const wait = done.length === 0 ? null : waits(done);
    const part = share?.get(track.tenant);
    return [
      track.tenant,
      `${track.total}`,
      `${track.count("completed")}`,
      whole(sum(done.map(({ tokens }) => tokens))),
      wait === null ? "-" : `${wait.mean.toFixed(2)} s`,
      wait === null ? "-" : `${wait.p95.toFixed(2)} s`,
      part === undefined ? none : `${(part * 100).toFixed(1)} %`,
    ];
  });
  return [heads, ...rows];
}

function align(rows: string[][]): string[] {
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
  return rows.map((row) => `  ${row.map((cell, column) => cell.padEnd(widths[column]!)).join("  ")}`.trimEnd());
}

function whole(number: number): string {
  return number.toLocaleString("en");
}
