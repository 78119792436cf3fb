import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { delayed, type Fleet, HEADER_SLOTS, openFleet, place, postName, vacate } from "../../policy/placement.ts";

const START = 1_780_000_000_000;
const names = (fleet: Fleet, calls: number, now = START): string[] => Array.from({ length: calls }, () => place(fleet, now).name);

describe("a fleet", () => {
  it("grows by one dispatcher for each six calls that wait for headers", () => {
    const fleet = openFleet("wnam", 10);
    expect(names(fleet, 13)).toEqual([...Array(6).fill("disp-wnam-00"), ...Array(6).fill("disp-wnam-01"), "disp-wnam-02"]);
  });

  it("spreads what is more than its most dispatchers can take evenly over all", () => {
    const fleet = openFleet("wnam", 2);
    names(fleet, 12 + 8);
    expect(fleet.posts.map((post) => [post.name, post.starts.length])).toEqual([
      ["disp-wnam-00", 10],
      ["disp-wnam-01", 10],
    ]);
  });

  it("comes back to its first dispatchers when they are idle again", () => {
    const fleet = openFleet("wnam", 10);
    for (const name of names(fleet, 18)) vacate(fleet, name, null);
    expect(names(fleet, 1)).toEqual(["disp-wnam-00"]);
    expect(fleet.posts.length).toBe(3);
  });

  it("counts a call as waiting for three times the mean time to headers", () => {
    const fleet = openFleet("wnam", 10);
    names(fleet, 6);
    expect(names(fleet, 1, START + 5_999)).toEqual(["disp-wnam-01"]);
    expect(names(fleet, 1, START + 6_000)).toEqual(["disp-wnam-00"]);
  });

  it("counts one that left late as waiting from then on, and once", () => {
    const fleet = openFleet("wnam", 10);
    names(fleet, 6);
    delayed(fleet, "disp-wnam-00", START, START + 3_000);
    expect(names(fleet, 1, START + 5_999)).toEqual(["disp-wnam-01"]);
    expect(names(fleet, 6, START + 6_000)).toEqual([...Array(5).fill("disp-wnam-00"), "disp-wnam-01"]);
    // The call was thought to have its headers, or was let go before a restart.
    delayed(fleet, "disp-wnam-01", undefined, START + 9_000);
    expect(fleet.posts[1]!.starts).toEqual([START + 5_999, START + 6_000, START + 9_000]);
    delayed(fleet, "disp-enam-00", START, START + 9_000);
    expect(fleet.posts).toHaveLength(2);
  });

  it("learns how long headers take", () => {
    const fleet = openFleet("wnam", 10);
    for (let call = 0; call < 200; call++) {
      place(fleet, START);
      vacate(fleet, "disp-wnam-00", 100);
    }
    expect(fleet.headersMs).toBeCloseTo(100, 0);
    vacate(fleet, "disp-wnam-00", null);
    expect(fleet.headersMs).toBeCloseTo(100, 0);
  });

  it("gives no dispatcher more than 150 streams to hold, though their headers came long ago", () => {
    const fleet = openFleet("wnam", 10);
    for (let call = 0; call < 151; call++) place(fleet, START + call * 10_000);
    expect(fleet.posts.map((post) => post.held)).toEqual([150, 1]);
  });

  it("does not mind the end of a call of a dispatcher that it does not know", () => {
    const fleet = openFleet("wnam", 10);
    vacate(fleet, "disp-enam-00", 100);
    expect(fleet.posts).toEqual([]);
  });

  it("never gives two dispatchers one name, whichever of them still held calls when the coordinator woke", () => {
    fc.assert(
      fc.property(fc.uniqueArray(fc.nat(12), { maxLength: 8 }), (indexes) => {
        const fleet = openFleet("wnam", 20);
        for (const index of indexes) fleet.posts.push({ name: postName("wnam", index), starts: [], held: 1 });
        names(fleet, 15 * HEADER_SLOTS);
        const all = fleet.posts.map((post) => post.name);
        expect(new Set(all).size).toBe(all.length);
      }),
    );
  });

  // Law: no dispatcher is handed a call while, by our count, six of its calls still wait, unless all have six and none may be added.
  it("never gives a dispatcher a seventh call to wait for, until all have six", () => {
    const step = fc.oneof(
      { weight: 5, arbitrary: fc.record({ do: fc.constant("start" as const), ms: fc.nat(200) }) },
      {
        weight: 4,
        arbitrary: fc.record({ do: fc.constant("end" as const), which: fc.nat(1_000), headersMs: fc.option(fc.nat(5_000), { nil: null }) }),
      },
      { weight: 1, arbitrary: fc.record({ do: fc.constant("idle" as const), ms: fc.nat(20_000) }) },
    );
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 5 }), fc.array(step, { maxLength: 150 }), (max, steps) => {
        const fleet = openFleet("weur", max);
        /** Calls under way; those that began too long ago count as having their headers. */
        let running: { post: string; at: number }[] = [];
        let now = START;
        for (const step of steps) {
          if (step.do !== "end") now += step.ms;
          if (step.do === "start") {
            const since = now - 2 * fleet.headersMs;
            const waits = (post: string) => running.filter((call) => call.post === post && call.at > since).length;
            const before = fleet.posts.map((post) => post.name);
            const { name } = place(fleet, now);
            const full = before.length === max && fleet.posts.every((post) => post.starts.length >= HEADER_SLOTS);
            if (!full) expect(waits(name)).toBeLessThan(HEADER_SLOTS);
            // A new dispatcher comes only when the others are full.
            if (!before.includes(name)) expect(fleet.posts.slice(0, -1).every((post) => post.starts.length >= HEADER_SLOTS)).toBe(true);
            running.push({ post: name, at: now });
          }
          if (step.do === "end" && running.length > 0) {
            const call = running[step.which % running.length]!;
            running = running.filter((each) => each !== call);
            vacate(fleet, call.post, step.headersMs);
          }
          expect(fleet.posts.length).toBeLessThanOrEqual(max);
          for (const post of fleet.posts) expect(post.held).toBe(running.filter((call) => call.post === post.name).length);
        }
      }),
      { numRuns: 500 },
    );
  });
});
