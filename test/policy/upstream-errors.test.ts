import { readFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ERRORS, excerptOf, kindOf, mayHaveWorked, type Row, wordOf } from "../../policy/upstream-errors.ts";

type Said = Parameters<typeof kindOf>[0];
const said = (some: Partial<Said>): Said => ({ status: null, code: null, type: null, ...some });

/** An error that this row was written for, with the status and type that usually come with its code. */
function exampleOf({ code, type, status }: Row): Said {
  const usual = typeof status === "object" && status !== null ? status[0] + 18 : status === undefined ? 429 : status;
  return said({ status: usual, code: code ?? null, type: type ?? null });
}

const nameOf = ({ code, type, status }: Row) => {
  const shown = Array.isArray(status) ? status.join("–") : status === null ? "no status" : status;
  return [code && `code ${code}`, type && `type ${type}`, shown].filter((part) => part !== undefined).join(", ");
};

describe("each row of the table", () => {
  it.each(ERRORS.map((row) => [nameOf(row), row.kind, row] as const))("%s -> %s", (_, kind, row) => {
    expect(kindOf(exampleOf(row))).toBe(kind);
  });

  it("goes by code before type before status", () => {
    const rank = ({ code, type }: Row) => (code ? 0 : type ? 1 : 2);
    expect(ERRORS.map(rank)).toEqual(ERRORS.map(rank).sort());
  });

  it("stands in docs/operating.md, and nothing else does", () => {
    const docs = readFileSync(join(import.meta.dirname, "../../docs/operating.md"), "utf8");
    const table = docs.slice(docs.indexOf("### Errors of upstream")).split("\n## ")[0]!;
    const rows = [...table.matchAll(/^\| (.+?) \| `(\w+)` \|$/gm)];
    expect(rows.map(([, what, kind]) => `${what!.replaceAll("`", "")} -> ${kind}`)).toEqual(
      ERRORS.map((row) => `${nameOf(row)} -> ${row.kind}`),
    );
  });
});

describe("errors as upstream has been seen to word them", () => {
  it.each<[string, Partial<Said>, string]>([
    ["a wrong key", { status: 401, code: "invalid_api_key", type: "invalid_request_error" }, "credentials"],
    ["a key without the permission", { status: 403, type: "insufficient_permissions" }, "credentials"],
    ["a model that the project may not use", { status: 403, code: "model_not_found", type: "invalid_request_error" }, "refused"],
    ["a model that is not there", { status: 404, code: "model_not_found", type: "invalid_request_error" }, "refused"],
    ["a country", { status: 403, code: "unsupported_country_region_territory", type: "request_forbidden" }, "region"],
    ["a rate limit by its type", { status: 429, type: "tokens", code: "rate_limit_exceeded" }, "rate_limit"],
    ["an account that is not active", { status: 429, type: "billing_not_active" }, "billing"],
    ["a spend limit", { status: 429, type: "insufficient_quota", code: "project_spend_limit_exceeded" }, "billing"],
    ["too fast a growth", { status: 429, type: "rate_limit_error", code: "slow_down" }, "slow_down"],
    ["the same as it was", { status: 503, code: "slow_down" }, "slow_down"],
    ["overload", { status: 503, code: "server_is_overloaded", type: "service_unavailable_error" }, "failed"],
    ["too long a prompt", { status: 400, code: "context_length_exceeded", type: "invalid_request_error" }, "refused"],
    ["a proxy's page", { status: 502 }, "failed"],
    ["an event in a stream", { type: "server_error" }, "failed"],
    ["a bad request in a stream", { type: "invalid_request_error" }, "refused"],
    ["a connection that broke", {}, "failed"],
    ["a status that is no error", { status: 302 }, "failed"],
  ])("%s", (_, error, kind) => {
    expect(kindOf(said(error))).toBe(kind);
  });
});

describe("upstream's own word on another try", () => {
  it("decides between failed and refused, but of a server that failed, and turns no wait or halt into either", () => {
    const kinds = (error: Partial<Said>) => [true, false, null].map((shouldRetry) => kindOf({ ...said(error), shouldRetry }));
    expect(kinds({ status: 500 })).toEqual(["failed", "failed", "failed"]);
    expect(kinds({ status: 503, code: "server_is_overloaded" })).toEqual(["failed", "failed", "failed"]);
    expect(kinds({ status: 409 })).toEqual(["failed", "refused", "failed"]);
    expect(kinds({ status: 400 })).toEqual(["failed", "refused", "refused"]);
    expect(kinds({ status: 429, code: "rate_limit_exceeded" })).toEqual(["rate_limit", "rate_limit", "rate_limit"]);
    expect(kinds({ status: 429, code: "insufficient_quota" })).toEqual(["billing", "billing", "billing"]);
    expect(kinds({ status: 401 })).toEqual(["credentials", "credentials", "credentials"]);
  });
});

it("whether upstream may have done the work that it failed at: a gateway's word and a break leave it open, upstream's own do not", () => {
  expect([null, 408, 502, 504, 520, 524, 527].map(mayHaveWorked)).not.toContain(false);
  expect([409, 425, 500, 501, 503, 528].map(mayHaveWorked)).not.toContain(true);
});

describe("what upstream says", () => {
  it("is kept as it was said", () => {
    expect(excerptOf("No such model: ü 😀.")).toBe("No such model: ü 😀.");
    expect(wordOf("model_not_found")).toBe("model_not_found");
  });

  it("what names the account is left out, for tenants are shown it: a part of the key, the organization, the project", () => {
    expect(excerptOf("Incorrect API key provided: sk-proj-********************abcd. You can find your API key at https://x.")).toBe(
      "Incorrect API key provided: sk-…. You can find your API key at https://x.",
    );
    expect(
      excerptOf("Rate limit reached for gpt-5-mini in organization org-Ab3dEf6hIj9lMn2pQr5tUv8x on tokens per min (TPM): Limit 500"),
    ).toBe("Rate limit reached for gpt-5-mini in organization org-… on tokens per min (TPM): Limit 500");
    expect(excerptOf("Project `proj_Ab3dEf6hIj9lMn2pQr5tUv8x` does not have access to model `gpt-5`")).toBe(
      "Project `proj_…` does not have access to model `gpt-5`",
    );
    expect(excerptOf("user-org-Ab3dEf6hIj9lMn2pQr5tUv8x")).toBe("user-org-…");
    expect(excerptOf(`invalid value: ${"sk-".repeat(4_000_000)}`).length).toBeLessThan(5_000);
    const cut = excerptOf(`${"x".repeat(3_990)} sk-proj-Ab3dEf6hIj9lMn2pQr5tUv8x`);
    expect(cut).not.toContain("proj");
    for (const plain of ["The org-chart of user-defined sk-learning", "model `o3-mini` not found", "org-wide limits"])
      expect(excerptOf(plain)).toBe(plain);
  });

  it.each([
    ["in a stretch that begins as a key does", "sk-learning-for-org-AbCdEfGhIjKlMnOpQrStUvWx", "sk-…"],
    ["in a word", "cyborg-Ab3dEf6hIj9lMn2pQr5tUv8x", "cyborg-…"],
    ["behind another", "org-Ab3dEf6hIj9lMn2pQr5tUv8x_proj_Cd4eFg7hIj9lMn2pQr5tUv8x", "org-…"],
    ["that is short", "in organization org-abc123 on", "in organization org-… on"],
    ["longer than any", `org-${"Ab3dEf6h".repeat(100)}.`, "org-…."],
    ["of a key without a digit", "sk-AbCdEfGhIjKlMnOpQrStUvWx", "sk-…"],
    ["of a key in a word", "keysk-proj-Ab3dEf6hIj9lMn2pQr5tUv8x", "keysk-…"],
    ["none", "task-20250101 of user-agent", "task-20250101 of user-agent"],
  ])("a name %s -> no more of it than its beginning", (_, text, shown) => {
    expect(excerptOf(text)).toBe(shown);
  });

  it("whatever names stand beside and within each other, and wherever a long message is cut: nothing of them is shown", () => {
    const random = fc.string({ unit: fc.constantFrom(..."ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"), minLength: 16, maxLength: 300 });
    const name = fc.tuple(fc.constantFrom("org-", "proj_", "user-"), random);
    const key = fc.tuple(fc.constantFrom(" sk-", "_sk-", "-sk-", "sk-proj-", "sk-svcacct-", "sk-admin-"), random);
    const word = fc.constantFrom("sk-learning-for-", "org-", "user-", "proj_", "limit", "-", "_", "*", " ", ".", "`", "ü", "😀");
    const filling = fc.nat(4_100).map((length) => "x".repeat(length));
    const text = fc.array(fc.oneof(name, key, word, word, filling), { maxLength: 12 }).map((parts) => parts.flat().join(""));
    fc.assert(
      fc.property(text, (said) => {
        expect(excerptOf(said).replace(/ \(\d+ characters\)$/, "")).not.toMatch(/[A-Z0-9]/);
      }),
      { numRuns: 1_000 },
    );
  });

  it("is kept in part where it is long, and never with half a character", () => {
    const kept = excerptOf("😀".repeat(3_000_000));
    expect(kept.length).toBeLessThan(5_000);
    expect(kept.isWellFormed()).toBe(true);
    expect(kept).toMatch(/^😀+… \(6000000 characters\)$/u);
    expect(excerptOf(`x${"😀".repeat(3_000_000)}`)).toMatch(/^x😀+… \(6000001 characters\)$/u);
  });

  it("has a code, if it has one, that is a word or a number, and names nothing of the account", () => {
    expect(wordOf(400)).toBe("400");
    expect(wordOf("messages[0].content")).toBe("messages[0].content");
    for (const none of [undefined, null, { a: 1 }, ["a"], true, "x".repeat(100_000)]) expect(wordOf(none)).toBeNull();
    for (const told of ["my very private prompt", "zeile\numbruch", "sk-proj-Ab3dEf6hIj9lMn2pQr5tUv8x", "org-Ab3dEf6hIj9lMn2pQr5tUv8x"])
      expect(wordOf(told)).toBeNull();
  });

  it("repeats what was sent to it and must never come back -> that is left out, wherever it stands and whatever it looks like", () => {
    const secrets = ["gsk_LocalSecret+Key/01=", "$1.*"];
    expect(excerptOf("you sent Bearer gsk_LocalSecret+Key/01= and $1.*, gsk_LocalSecret+Key/01=", secrets)).toBe(
      "you sent Bearer … and …, …",
    );
    expect(wordOf("x-gsk_LocalSecret", ["gsk_LocalSecret"])).toBeNull();
    for (let before = 3_970; before <= 4_005; before++)
      expect(excerptOf(`${"x".repeat(before)}gsk_LocalSecret+Key/01= and so on`, secrets)).not.toContain("gsk");
  });
});
