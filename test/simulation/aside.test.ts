/** Jobs that are too large for a limit that upstream lowered stand aside, and one of them is called to see where nobody else waits for the pool. */
import { describe, expect, it } from "vitest";
import { LEVERS } from "../../durable-objects/coordinator/condition/levers.ts";
import { openDesk } from "./desk.ts";

const HOUR_MS = 3_600_000;
type Desk = ReturnType<typeof openDesk>;
const pause = ({ turn }: Desk, id: string) => turn((book, now) => LEVERS.pause(book, { kind: "tenant", id }, now));

describe("where a limit is below what a job reserves, and nothing else may be called", () => {
  it("the job of a paused tenant waits as well: the one that stands aside is called all the same", () => {
    const desk = openDesk();
    const { passes, send, started, state, told } = desk;
    pause(desk, "paused");
    send("paused", 1_000);
    send("a", 60_000);
    told(50_000);
    const [second] = send("a", 60_000);
    passes(state.now + HOUR_MS);
    expect(started.map(({ job }) => job)).toContain(second!.job);
  });

  it("a paused tenant's own is not called, and keeps no other from it", () => {
    const desk = openDesk();
    const { passes, send, started, state, told } = desk;
    pause(desk, "paused");
    told(50_000);
    const [first] = send("paused", 60_000);
    const [second] = send("a", 70_000);
    passes(state.now + HOUR_MS);
    const jobs = started.map(({ job }) => job);
    expect(jobs).toContain(second!.job);
    expect(jobs).not.toContain(first!.job);
  });

  it("no other job of the same tenant is called in its stead", () => {
    const desk = openDesk(undefined, [{ key_sha256: "0".repeat(64), tenant: "a", rpm: 1 }]);
    const { passes, send, started, state, told } = desk;
    told(50_000);
    const [large] = send("a", 60_000);
    const [, small] = send("a", 1_000, 2);
    expect(started.map(({ job }) => job)).not.toContain(small!.job);
    passes(state.now + HOUR_MS);
    expect(new Set(started.map(({ job }) => job)).size).toBe(3);
    expect(started.map(({ job }) => job)).toContain(large!.job);
  });
});
