import { describe, expect, it } from "vitest";
import { FIELDS, readFields } from "../../dashboard/shown/fields.ts";
import { leverOrder, redriveOrder, resetOrder, setOrder } from "../../dashboard/shown/orders.ts";
import { PoolTuning, TenantTuning } from "../../schemas/tuning.ts";
import { pool, queue, tenant } from "./states.ts";

const state = queue({
  pools: [
    pool({ depth: 7, in_flight: 1, scheduled: 2, tenants: [tenant("alice", 3, 1)] }),
    pool({ id: "q", depth: 3, in_flight: 2, tenants: [tenant("alice", 1, 2)] }),
  ],
});

describe("a lever", () => {
  it("of everything, a pool or a tenant -> is the request that moves that alone", () => {
    expect(leverOrder("pause", { kind: "all" }, state).request).toEqual({ method: "POST", path: "/v1/queue/pause", body: {} });
    expect(leverOrder("drain", { kind: "pool", id: "p" }, state).request).toMatchObject({ path: "/v1/queue/drain", body: { pool: "p" } });
    expect(leverOrder("resume", { kind: "tenant", id: "a" }, state).request).toMatchObject({
      path: "/v1/queue/resume",
      body: { tenant: "a" },
    });
  });

  it("pause -> counts what goes on and what waits", () => {
    const { done, says, title } = leverOrder("pause", { kind: "all" }, state);
    expect([title, done]).toEqual(["Pause everything?", "Everything is paused."]);
    expect(says[0]).toBe("No new calls start. 3 calls in flight go on.");
    expect(says[1]).toMatch(/^10 queued jobs keep their places, and new jobs are accepted\./);
    expect(leverOrder("pause", { kind: "pool", id: "p" }, state).says[0]).toBe(
      "No new calls of this pool start. 1 call in flight goes on.",
    );
  });

  it("drain -> new jobs are refused, and of a tenant nobody counts what is scheduled", () => {
    expect(leverOrder("drain", { kind: "all" }, state).says[1]).toBe(
      "Accepted jobs go on: 10 jobs queued, 3 calls in flight, 2 jobs scheduled.",
    );
    const { says } = leverOrder("drain", { kind: "tenant", id: "alice" }, state);
    expect(says.slice(0, 2)).toEqual([
      "New jobs of this tenant are refused (503, draining). Running batches wait.",
      "Accepted jobs go on: 4 jobs queued, 3 calls in flight.",
    ]);
  });

  it("resume of a pool while everything is paused -> says that this is not enough", () => {
    expect(leverOrder("resume", { kind: "pool", id: "p" }, state).says.join(" ")).not.toContain("Everything");
    const { says } = leverOrder("resume", { kind: "pool", id: "p" }, { ...state, paused: true });
    expect(says.at(-1)).toBe("Everything is paused: none of the pool's jobs start until everything is resumed.");
  });
});

describe("limits", () => {
  it("to be set -> each is shown as it is and as it will be", () => {
    const order = setOrder("pool", "p", { rpm: 500, concurrency: null }, { rpm: 300, concurrency: 20, burst_seconds: null });
    expect(order.says.slice(0, 3)).toEqual([
      "Requests per minute: 500 → 300.",
      "Concurrent calls: none → 20.",
      "Burst (seconds of the rate): learned.",
    ]);
    expect(order.request).toEqual({ method: "PATCH", path: "/v1/pools/p", body: { rpm: 300, concurrency: 20, burst_seconds: null } });
  });

  it("fewer tokens a minute -> what is too large for them waits", () => {
    const says = (before: number | null, tpm: number | null) => setOrder("pool", "p", { tpm: before }, { tpm }).says.join(" ");
    expect(says(500, 100)).toContain("wait until it is raised");
    expect(says(500, 900)).not.toContain("wait until it is raised");
    expect(setOrder("pool", "p", { rpm: 5 }, { rpm: 1 }).says.join(" ")).not.toContain("wait until it is raised");
  });

  it("to be set -> the service is asked what they would do to what waits, where they do anything", () => {
    const { forecast } = setOrder("pool", "p", {}, { rpm: 300 });
    expect(forecast!.request).toEqual({ method: "POST", path: "/v1/simulate", body: { pools: { p: { rpm: 300 } } } });
    const waits = { as_is: { last: 125.3, never: 0 }, simulated: { last: 3_700, never: 0 } };
    const pools = [
      { id: "p", depth: 9, ...waits, tenants: [{ id: "a", as_is: { last: 10, never: 0 }, simulated: { last: 20, never: 0 } }] },
      {
        id: "q",
        depth: 1,
        as_is: { last: 0, never: 0 },
        simulated: { last: 0, never: 0 },
        tenants: [{ id: "a", as_is: { last: 30, never: 0 }, simulated: { last: 5, never: 0 } }],
      },
    ];
    expect(forecast!.words({ pools })).toMatch(
      /^All waiting jobs would have started in about 1 h 1 min; with the current settings, in about 2 min 5 s\./,
    );
    const some = { ...pools[0], simulated: { last: 60, never: 3 } };
    expect(forecast!.words({ pools: [some] })).toMatch(
      /^With these settings, 3 of the waiting jobs would never start, and the others would have started in about 1 min.*; with the current ones, all waiting jobs would have started in about 2 min 5 s\./,
    );
    expect(forecast!.words({ pools: [{ ...pools[0], simulated: { last: null, never: 9 } }] })).toMatch(
      /^With these settings, no waiting job would ever start;/,
    );
    expect(forecast!.words({ pools: [{ ...pools[0], depth: 0 }] })).toBe("No job of this pool is waiting.");
    // For a tenant: across all pools.
    const ofTenant = setOrder("tenant", "a", {}, { weight: 2, max_queued: 5 }).forecast!;
    expect(ofTenant.request.body).toEqual({ tenants: { a: { weight: 2 } } });
    expect(ofTenant.words({ pools })).toMatch(/in about 20 s; with the current settings, in about 30 s\./);
    expect(ofTenant.words({ pools: [] })).toBe("No job of this tenant is waiting.");
    expect(setOrder("tenant", "a", {}, { max_queued: 5 }).forecast).toBeNull();
  });

  it("a name is one segment of the path, whatever is in it", () => {
    expect(resetOrder("tenant", "a/b?c#d %", "set: x").request.path).toBe("/v1/tenants/a%2Fb%3Fc%23d%20%25");
    expect(resetOrder("pool", "\ud800", "set: x").request.path).toBe("/v1/pools/%EF%BF%BD");
  });

  it("forms ask for all that the service lets an operator set", () => {
    expect(FIELDS.pool.map(({ key }) => key).sort()).toEqual(Object.keys(PoolTuning.shape).sort());
    expect(FIELDS.tenant.map(({ key }) => key).sort()).toEqual(Object.keys(TenantTuning.shape).sort());
    for (const { key, none } of FIELDS.pool) expect(PoolTuning.safeParse({ [key]: null }).success).toBe(none !== null);
    for (const { key, none } of FIELDS.tenant) expect(TenantTuning.safeParse({ [key]: null }).success).toBe(none !== null);
  });

  it("a form left empty sets nothing; a number, or the word for none, sets that", () => {
    expect(readFields(FIELDS.pool, { rpm: "", tpm: " " })).toEqual({ ok: true, set: {} });
    const texts = { rpm: " 12,500 ", tpm: "0.5", rpd: "None", burst_seconds: "learned" };
    expect(readFields(FIELDS.pool, texts)).toEqual({ ok: true, set: { rpm: 12_500, tpm: 0.5, rpd: null, burst_seconds: null } });
  });

  it("what is no such number -> is said of its field, and nothing is set", () => {
    for (const text of ["0", "-1", "1e9", "1,50", "many", "none", "Infinity"]) {
      expect(readFields(FIELDS.pool, { rpm: text })).toEqual({
        ok: false,
        field: "rpm",
        complaint: "Requests per minute: enter a number above 0.",
      });
    }
    expect(readFields(FIELDS.tenant, { max_queued: "1.5" })).toMatchObject({
      field: "max_queued",
      complaint: expect.stringMatching(/whole number above 0, or "none"\.$/),
    });
  });
});

it("a redrive says that it costs again", () => {
  const { request, says } = redriveOrder({ job: "job_1", tenant: "alice" });
  expect(says[0]).toMatch(/submitted again, as a new job of tenant alice .* may cost as much again/);
  expect(request.body).toEqual({ jobs: ["job_1"] });
});
