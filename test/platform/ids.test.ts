import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type JobName, jobId, newNonce, numberOf, parseJobId, siteOf, spotOf, tenantTag } from "../../platform/ids.ts";
import { CHANNEL_LIMIT } from "../../schemas/channel.ts";

const NAME: JobName = { channel: "user-42", number: 7, nonce: "k3v9zq", at: 1_780_000_000_000 };
const tenant = fc.string({ unit: fc.constantFrom(..."abcXYZ019_.-"), minLength: 1, maxLength: 64 });
const name: fc.Arbitrary<JobName> = fc.record({
  channel: fc.oneof(
    fc.string({ unit: "binary", minLength: 1, maxLength: CHANNEL_LIMIT }),
    fc.string({ unit: "grapheme", minLength: 1, maxLength: 20 }),
    fc.constantFrom("~0", "~lobby-3", "a/b", "\u0000", "\ufeff", "💧".repeat(64), "€".repeat(CHANNEL_LIMIT)),
  ),
  number: fc.oneof(fc.nat(100), fc.maxSafeNat()),
  nonce: fc.string({ unit: fc.constantFrom(..."0123456789abcdefghijklmnopqrstuvwxyz"), minLength: 6, maxLength: 6 }),
  at: fc.integer({ min: 0, max: 32_503_680_000_000 }),
});

describe("a job id", () => {
  it("looks the same for ever: clients keep it", () => {
    expect(jobId("alice", NAME)).toBe("job_11ht1wn0mppy1i4gk3v9zq7_dXNlci00Mg");
  });

  // Law: an id contains its whole name, and nothing is lost on the way.
  it("comes back as what it was made of, whatever the tenant and the channel", () => {
    fc.assert(
      fc.property(tenant, name, (tenant, name) => {
        const id = jobId(tenant, name);
        expect(id).toMatch(/^[A-Za-z0-9_-]{1,1100}$/);
        expect(parseJobId(tenant, id)).toEqual(name);
      }),
      { numRuns: 1_000 },
    );
  });

  it("tells whoever does not know the tenant its mailbox and its number; what has not its form tells nothing", () => {
    fc.assert(
      fc.property(tenant, name, (tenant, name) => {
        expect(spotOf(jobId(tenant, name))).toEqual({ site: siteOf(tenant, name.channel), number: name.number });
        expect(numberOf(jobId(tenant, name))).toBe(name.number);
      }),
      { numRuns: 1_000 },
    );
    const id = jobId("alice", NAME);
    for (const text of ["", "job_1", "batch_abc", id.slice(0, 26), id.slice(1), `x${id}`]) expect(spotOf(text)).toBeNull();
  });

  it("is nobody's but its tenant's", () => {
    fc.assert(
      fc.property(tenant, tenant, name, (mine, other, name) => {
        fc.pre(mine !== other);
        expect(parseJobId(other, jobId(mine, name))).toBeNull();
      }),
      { numRuns: 1_000 },
    );
  });

  it("sorts a tenant's jobs by the time at which they were accepted", () => {
    fc.assert(
      fc.property(name, name, (a, b) => {
        fc.pre(a.at !== b.at);
        expect(jobId("alice", a) < jobId("alice", b)).toBe(a.at < b.at);
      }),
    );
  });

  it.each<[string, string]>([
    ["nothing", ""],
    ["another prefix", "batch_abc"],
    ["no channel", "job_11ht1wn0mppy1i4gk3v9zq7_"],
    ["no number", "job_11ht1wn0mppy1i4gk3v9zq_dXNlci00Mg"],
    ["a line break after it", `${jobId("alice", NAME)}\n`],
    ["a path", "job_../../etc/passwd_x"],
    ["capitals", jobId("alice", NAME).toUpperCase()],
    ["bytes that are no UTF-8", "job_11ht1wn0mppy1i4gk3v9zq7__w"],
    ["base64 of a length that there is not", "job_11ht1wn0mppy1i4gk3v9zq7_dXNlc"],
    ["very much", `job_11ht1wn0mppy1i4gk3v9zq7_${"A".repeat(1_000_000)}`],
  ])("is not to be had from %s", (_, text) => {
    expect(parseJobId("alice", text)).toBeNull();
  });

  // Law: a job has exactly one id. Any other text that found it would be followed, cancelled and listed under a name that its events do not carry.
  it("is the only text that names its job", () => {
    expect(parseJobId("alice", "job_11ht1wn0mppy1i4gk3v9zq007_dXNlci00Mg")).toBeNull();
    expect(parseJobId("alice", "job_11ht1wn0mppy1i4gk3v9zq7_dXNlci00Mh")).toBeNull();
    const damaged = fc.tuple(name, fc.nat(1_100), fc.constantFrom(..."0aZz_-=+ \n/")).map(([name, at, letter]) => {
      const id = jobId("alice", name);
      const place = at % id.length;
      return id.slice(0, place) + letter + id.slice(place + 1);
    });
    const stretched = fc.tuple(name, fc.nat(1_100)).map(([name, at]) => {
      const id = jobId("alice", name);
      return `${id.slice(0, at % id.length)}0${id.slice(at % id.length)}`;
    });
    const hostile = fc.oneof(
      damaged,
      stretched,
      fc.string({ unit: "binary" }),
      fc.string().map((tail) => `job_${tail}`),
    );
    fc.assert(
      fc.property(hostile, (text) => {
        const parsed = parseJobId("alice", text);
        if (parsed) expect(jobId("alice", parsed)).toBe(text);
      }),
      { numRuns: 3_000 },
    );
  });
});

describe("parts of an id", () => {
  it("are a tag of seven digits for any tenant", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), (tenant) => {
        expect(tenantTag(tenant)).toMatch(/^[0-9a-z]{7}$/);
      }),
    );
  });

  it("are a nonce of six, hardly ever the same twice", () => {
    const many = Array.from({ length: 200 }, newNonce);
    for (const each of many) expect(each).toMatch(/^[0-9a-z]{6}$/);
    expect(new Set(many).size).toBeGreaterThan(190);
  });
});
